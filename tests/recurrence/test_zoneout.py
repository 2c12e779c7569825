"""Zoneout (Krueger et al. 2017): units that keep their old value, at random in training and in proportion otherwise.

Shape suffixes: T = time steps, B = rows, S = size of a state part.
"""

import pytest
import torch

from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.unroll import unroll

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 4, 0, 5]
EXACT = {"rtol": 0, "atol": 1e-12}
NAMES = ["elman", "jordan", "lstm", "lstm-narrow", "lstm-all", "gru", "rrnn", "rrnn-updated", "parallel", "pointwise"]
ENGINES = [None, "plain", "deferred"]


def by_hand(cell, x_TBI, state, keep, lengths=None, reverse=False, resets=None):
    """s_t = d_t s_{t-1} + (1 - d_t) s~_t for each row alone; ``keep(k, step, row)`` is d of part k at its n-th step."""
    outputs, lasts = [], []
    for row, length in enumerate(lengths or [T] * B):
        parts = tuple(part[row : row + 1] for part in state)
        output_TO = [x_TBI.new_zeros(cell.output_size)] * T
        steps = range(length)
        for step, t in enumerate(reversed(steps) if reverse else steps):
            if resets is not None and resets[t, row]:
                parts = cell.initial_state(1, x_TBI)
            x_1I = x_TBI[t, row : row + 1]
            proposed = cell.step(cell.project(x_1I), parts)
            new = tuple(
                keep(k, step, row) * old + (1 - keep(k, step, row)) * part
                for k, (old, part) in enumerate(zip(parts, proposed, strict=True))
            )
            output_TO[t] = cell.readout(x_1I, parts, new)[0]
            parts = new
        outputs.append(torch.stack(output_TO))
        lasts.append(parts)
    return torch.stack(outputs, 1), tuple(torch.cat(part) for part in zip(*lasts, strict=True))


def masks(cell, probabilities, seed):
    """The masks ``[T, B, S]`` of each part with a probability, drawn in the order of the parts."""
    torch.manual_seed(seed)
    return [
        torch.empty(T, B, size, dtype=torch.double).bernoulli_(p) if p else torch.zeros(T, B, size)
        for size, p in zip(cell.state_sizes, probabilities, strict=True)
    ]


@pytest.mark.parametrize(("lengths", "reverse"), [(None, False), (LENGTHS, False), (LENGTHS, True)])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_evaluation_takes_the_expected_value(lab, name, engine, lengths, reverse):
    cell, x_TBI, p = lab.cell(name).eval(), lab.inputs(), 0.3
    state, random_state = lab.state(cell), torch.get_rng_state()
    options = {"lengths": None if lengths is None else torch.tensor(lengths), "reverse": reverse, "engine": engine}
    output_TBO, last = unroll(cell, x_TBI, state, zoneout=p, **options)
    assert torch.equal(torch.get_rng_state(), random_state)
    expected_TBO, expected_last = by_hand(cell, x_TBI, state, lambda k, step, row: p, lengths, reverse)
    inputs = (x_TBI, *state, *cell.parameters())
    lab.assert_same((output_TBO, *last), (expected_TBO, *expected_last), inputs)


@pytest.mark.parametrize(("lengths", "reverse"), [(None, False), (LENGTHS, False), (LENGTHS, True)])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_training_keeps_the_units_of_the_masks(lab, name, engine, lengths, reverse):
    """Each step has masks of its own; a row that is read backwards has them in the order of its steps."""
    cell, x_TBI, p = lab.cell(name), lab.inputs(), 0.3
    state, keep = lab.state(cell), masks(cell, [p] * len(cell.states), seed=11)
    torch.manual_seed(11)
    options = {"lengths": None if lengths is None else torch.tensor(lengths), "reverse": reverse, "engine": engine}
    output_TBO, last = unroll(cell, x_TBI, state, zoneout=p, **options)
    expected = by_hand(cell, x_TBI, state, lambda k, step, row: keep[k][step, row], lengths, reverse)
    inputs = (x_TBI, *state, *cell.parameters())
    lab.assert_same((output_TBO, *last), (expected[0], *expected[1]), inputs)
    assert not torch.equal(keep[0][0], keep[0][1])


@pytest.mark.parametrize("by_part", [{"c": 0.5, "h": 0.05}, {"c": 0.5}, {"h": 0.4}, {"h": 0.0, "c": 0.2}])
@pytest.mark.parametrize("training", [True, False])
def test_every_part_has_its_own_probability(lab, training, by_part):
    cell, x_TBI = lab.cell("lstm").train(training), lab.inputs()
    state, probabilities = lab.state(cell), [by_part.get("h", 0.0), by_part.get("c", 0.0)]
    keep = masks(cell, probabilities, seed=5)
    torch.manual_seed(5)
    output_TBO, last = unroll(cell, x_TBI, state, zoneout=by_part)
    expected_TBO, expected_last = by_hand(
        cell, x_TBI, state, lambda k, step, row: keep[k][step, row] if training else probabilities[k]
    )
    inputs = (x_TBI, *state, *cell.parameters())
    lab.assert_same((output_TBO, *last), (expected_TBO, *expected_last), inputs)


def test_units_are_kept_with_the_given_probability(lab):
    """In training a unit is the old or the new one, nothing between."""
    cell, x_TBI, p = lab.cell("gru", I, 50), lab.draw(40, B, I, seed=2), 0.2
    torch.manual_seed(3)
    states_TBS, _ = unroll(cell, x_TBI, zoneout=p)
    previous_TBS = torch.cat([torch.zeros(1, B, 50, dtype=torch.double), states_TBS[:-1]])
    kept = states_TBS == previous_TBS
    assert kept.double().mean().item() == pytest.approx(p, abs=0.02)
    (proposed_TBS,) = cell.step(cell.project(x_TBI), (previous_TBS,))
    torch.testing.assert_close(states_TBS[~kept], proposed_TBS[~kept], **EXACT)
    assert not torch.equal(kept[5], kept[6])
    assert not torch.equal(kept[5, 0], kept[5, 1])


@pytest.mark.parametrize("name", ["lstm", "rrnn", "pointwise"])
def test_plain_and_deferred_draw_the_same_masks(lab, name):
    cell, x_TBI = lab.cell(name), lab.inputs()
    state, results = lab.state(cell), []
    for engine in ("plain", "deferred"):
        torch.manual_seed(7)
        output_TBO, last = unroll(cell, x_TBI, state, zoneout=0.4, engine=engine)
        results.append((output_TBO, *last))
    lab.assert_same(*results, (x_TBI, *state, *cell.parameters()))


@pytest.mark.parametrize("zoneout", [0.0, 0, {}, {"h": 0.0}])
def test_a_probability_of_0_changes_nothing(lab, zoneout):
    cell, x_TBI = lab.cell("lstm"), lab.inputs()
    random_state = torch.get_rng_state()
    found, expected = unroll(cell, x_TBI, zoneout=zoneout), unroll(cell, x_TBI, engine="native")
    assert torch.equal(torch.get_rng_state(), random_state)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("engine", ["plain", "deferred"])
def test_zoneout_with_resets_and_windows(lab, engine, window):
    """A reset comes before the step, so that a unit that is kept keeps its first value; masks are not drawn anew."""
    cell, x_TBI, p = lab.cell("learned"), lab.inputs(), 0.4
    state, keep = lab.state(cell), masks(cell, [p], seed=9)
    resets = lab.draw(T, B, seed=8) > 0.3
    assert resets.any(0).all()
    torch.manual_seed(9)
    output_TBO, last = unroll(cell, x_TBI, state, zoneout=p, resets=resets, window=window, engine=engine)
    expected = by_hand(cell, x_TBI, state, lambda k, step, row: keep[k][step, row], resets=resets)
    if window is None:
        lab.assert_same((output_TBO, *last), (expected[0], *expected[1]), (x_TBI, *state, *cell.parameters()))
    torch.testing.assert_close((output_TBO, last), expected, **EXACT)


def test_every_cell_of_a_stack_has_it(lab):
    stack = lab.randomised(RecurrentStack(lambda size: lab.cells["gru"](size, H), I, 2, zoneout=0.25)).eval()
    x_TBI = lab.inputs()
    output_TBO, finals = stack(x_TBI)
    for cell, final in zip(stack.cells, finals, strict=True):
        x_TBI, last = by_hand(cell, x_TBI, cell.initial_state(B, x_TBI), lambda k, step, row: 0.25)
        torch.testing.assert_close(final, last, **EXACT)
    torch.testing.assert_close(output_TBO, x_TBI, **EXACT)


@pytest.mark.parametrize(
    ("zoneout", "problem"),
    [
        (1.0, "zoneout must be at least 0 and below 1, not 1.0"),
        (-0.1, "zoneout must be at least 0 and below 1, not -0.1"),
        ({"h": 0.1, "c": 1.5}, "zoneout must be at least 0 and below 1, not 1.5"),
        ({"m": 0.1}, "zoneout: LSTM has no state part 'm' (its parts: h, c)"),
    ],
)
def test_impossible_probabilities_are_refused(lab, zoneout, problem):
    with pytest.raises(UserError) as refused:
        unroll(lab.cell("lstm"), lab.inputs(), zoneout=zoneout)
    assert str(refused.value) == problem
    with pytest.raises(UserError) as refused:
        RecurrentStack(lambda size: lab.cells["lstm"](size, H), I, zoneout=zoneout)
    assert str(refused.value) == problem
