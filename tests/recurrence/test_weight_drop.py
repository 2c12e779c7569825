"""Weight drop: one mask for a whole sequence on every recurrent map, and the cell as it was afterwards.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import copy

import pytest
import torch

from seqlab.cells.base import RecurrentCell, RecurrentLinear
from seqlab.cells.gru import GRU
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.unroll import unroll
from seqlab.recurrence.weight_drop import dropped_weights

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}
MAPS = {  # the recurrent maps of each cell
    "elman": ["recurrent"],
    "jordan": ["recurrent", "output"],
    "lstm": ["recurrent"],
    "lstm-full": ["recurrent", "peephole"],
    "lstm-narrow": ["recurrent", "project_output"],
    "gru": ["recurrent"],
    "gru-before": ["recurrent", "candidate"],
    "rrnn": ["recurrent", "auxiliary_recurrent"],
    "rrnn-updated": ["recurrent", "auxiliary_recurrent"],
    "pointwise": ["recurrent"],
}
ENGINES = {
    "elman": ["plain", "deferred", "factored", "native"],
    "jordan": ["plain", "deferred"],
    "lstm": ["plain", "deferred", "factored", "native"],
    "lstm-full": ["plain", "deferred"],
    "lstm-narrow": ["plain", "deferred", "native"],
    "gru": ["plain", "deferred", "factored", "native"],
    "gru-before": ["plain", "deferred"],
    "rrnn": ["plain", "deferred"],
    "rrnn-updated": ["plain", "deferred"],
    "pointwise": ["plain", "deferred", "factored"],
}
RUNS = [(name, engine) for name, engines in ENGINES.items() for engine in engines]


class Recording(GRU):
    """Keeps the weights that each step sees."""

    def step(self, gx, state):
        self.seen.append(self.recurrent.weight.detach().clone())
        return super().step(gx, state)


@pytest.mark.parametrize("name", MAPS)
def test_kept_weights_are_scaled_and_nothing_else_changes(lab, name):
    cell, p = lab.cell(name, I, 30), 0.4
    before = {key: weight.clone() for key, weight in cell.state_dict().items()}
    dropped = {f"{key}.weight" for key in MAPS[name]}
    assert {f"{key}.weight" for key, m in cell.named_modules() if isinstance(m, RecurrentLinear)} == dropped
    torch.manual_seed(4)
    with dropped_weights(cell, p):
        for key, weight in cell.named_parameters():
            if key in dropped:
                kept = weight != 0
                torch.testing.assert_close(weight[kept], before[key][kept] / (1 - p), **EXACT)
                four_deviations = 4 * (p * (1 - p) / kept.numel()) ** 0.5
                assert kept.double().mean().item() == pytest.approx(1 - p, abs=four_deviations)
            else:
                assert torch.equal(weight, before[key])


def test_one_mask_serves_all_steps_and_the_next_call_has_another(lab):
    cell = lab.randomised(Recording(I, H))
    cell.seen = []
    unroll(cell, lab.inputs(), weight_drop=0.5, engine="plain")
    unroll(cell, lab.inputs(), weight_drop=0.5, engine="plain", window=3)
    first, second = cell.seen[:T], cell.seen[T:]
    assert len(second) == T
    assert all(torch.equal(weight, first[0]) for weight in first)
    assert all(torch.equal(weight, second[0]) for weight in second)
    assert not torch.equal(first[0], second[0])
    assert (first[0] == 0).any()


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_every_engine_is_the_cell_with_fewer_weights(lab, name, engine):
    """Results and gradients under one seed: those of kept weights are scaled, those of dropped ones are 0."""
    cell, x_TBI, p = lab.cell(name), lab.inputs(), 0.4
    state, thin = lab.state(cell), copy.deepcopy(cell)
    torch.manual_seed(6)
    with dropped_weights(cell, p):
        masks = {key: cell.get_submodule(key).weight.detach() != 0 for key in MAPS[name]}
        values = {key: cell.get_submodule(key).weight.detach().clone() for key in MAPS[name]}
    with torch.no_grad():
        for key, value in values.items():
            thin.get_submodule(key).weight.copy_(value)
    torch.manual_seed(6)
    output_TBO, last = unroll(cell, x_TBI, state, weight_drop=p, engine=engine)
    expected_TBO, expected_last = unroll(thin, x_TBI, state, engine="plain")
    results, expected = (output_TBO, *last), (expected_TBO, *expected_last)
    torch.testing.assert_close(results, expected, **EXACT)
    inputs = (x_TBI, *state)
    grads = lab.gradients(results, (*inputs, *cell.parameters()))
    expected_grads = list(lab.gradients(expected, (*inputs, *thin.parameters())))
    for number, (key, _) in enumerate(cell.named_parameters(), len(inputs)):
        if (owner := key.removesuffix(".weight")) in masks:
            expected_grads[number] = expected_grads[number] * masks[owner] / (1 - p)
            assert not masks[owner].all()
            assert masks[owner].any()
    torch.testing.assert_close(grads, tuple(expected_grads), **EXACT)


@pytest.mark.parametrize("name", MAPS)
def test_it_is_off_in_evaluation_and_without_a_probability(lab, name):
    cell, x_TBI, random_state = lab.cell(name), lab.inputs(), torch.get_rng_state()
    expected = unroll(cell, x_TBI)
    torch.testing.assert_close(unroll(cell, x_TBI, weight_drop=0.0), expected, rtol=0, atol=0)
    torch.testing.assert_close(unroll(cell.eval(), x_TBI, weight_drop=0.7), expected, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", MAPS)
def test_parameters_and_their_order_are_restored(lab, name):
    cell = lab.cell(name)
    before = list(cell.named_parameters())
    values = [parameter.clone() for _, parameter in before]
    unroll(cell, lab.inputs(), weight_drop=0.5)[0].sum().backward()
    with pytest.raises(ZeroDivisionError), dropped_weights(cell, 0.5):
        raise ZeroDivisionError
    after = list(cell.named_parameters())
    assert [key for key, _ in after] == [key for key, _ in before]
    assert all(new is old for (_, new), (_, old) in zip(after, before, strict=True))
    assert all(torch.equal(new, value) for (_, new), value in zip(after, values, strict=True))
    assert list(cell.state_dict()) == [key for key, _ in before]


def test_an_exception_inside_a_step_restores_the_weights(lab):
    class Failing(GRU):
        def update(self, gx, gh, state):
            raise ZeroDivisionError(isinstance(self.recurrent.weight, torch.nn.Parameter))

    cell = Failing(I, H)
    weight = cell.recurrent.weight
    for engine in ("plain", "deferred"):
        with pytest.raises(ZeroDivisionError, match="False"):  # it was replaced
            unroll(cell, torch.zeros(T, B, I), weight_drop=0.5, engine=engine)
        assert cell.recurrent.weight is weight
        assert "forward" not in vars(cell.recurrent)


def test_maps_that_a_third_party_makes_as_recurrent_are_dropped(lab):
    class Own(RecurrentCell):
        def __init__(self):
            super().__init__(I, H)
            self.of_state = self.make_linear(H, ("a",), recurrent=True)
            self.of_gates = self.make_linear(H, ("a",))
            self.plain = torch.nn.Linear(H, H)

    cell = lab.randomised(Own())
    with dropped_weights(cell, 0.5):
        dropped = [key for key, weight in cell.named_parameters() if (weight == 0).any()]
    assert dropped == ["recurrent.weight", "of_state.weight"]


def test_every_cell_of_a_stack_has_masks_of_its_own(lab):
    stack = lab.randomised(RecurrentStack(lambda size: Recording(size, H), I, 2, weight_drop=0.5, engine="plain"))
    for cell in stack.cells:
        cell.seen = []
    x_TBI = lab.inputs()
    stack(x_TBI)
    first, second = (cell.seen[0] == 0 for cell in stack.cells)
    assert first.any()
    assert second.any()
    assert not torch.equal(first, second)
    stack.eval()(x_TBI)
    assert all(torch.equal(cell.seen[-1], cell.recurrent.weight) for cell in stack.cells)


@pytest.mark.parametrize("probability", [1.0, 1.5, -0.1])
def test_impossible_probabilities_are_refused(lab, probability):
    problem = f"^weight_drop must be at least 0 and below 1, not {probability}$"
    with pytest.raises(UserError, match=problem):
        RecurrentStack(lambda size: GRU(size, H), I, weight_drop=probability)
    with pytest.raises(UserError, match=problem):
        unroll(lab.cell("gru"), lab.inputs(), weight_drop=probability)


def test_a_cell_without_a_recurrent_map_has_nothing_to_drop(lab):
    cell = lab.cell("parallel", I, H)
    for drop in (
        lambda: unroll(cell, torch.zeros(T, B, I), weight_drop=0.5),
        lambda: RecurrentStack(lambda size: lab.cell("parallel", size, H), I, weight_drop=0.5),
    ):
        with pytest.raises(UserError, match="has no recurrent map"):
            drop()
