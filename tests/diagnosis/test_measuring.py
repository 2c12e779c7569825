"""Everything that is measured, of every cell that is installed."""

import json

import pytest
import torch

from seqlab import registry
from seqlab.cells.lstm import LSTM
from seqlab.diagnosis.layers import in_double, run_layers
from seqlab.diagnosis.measuring import describe, measure
from seqlab.diagnosis.tracing import Trace
from seqlab.recurrence.stack import RecurrentStack
from seqlab.tasks.cells import cell_factory

T, B, H = 6, 4, 5
LENGTHS = torch.tensor([6, 2, 0, 5])
VARIANTS = [
    *("lstm:peephole=full,projection=2", "lstm:peephole=diagonal,layer_norm=true", "gru:reset=before"),
    *("gru:layer_norm=true", "rrnn:feedback=updated", "elman:activation=relu"),
]


def given(stack: RecurrentStack) -> Trace:
    generator = torch.Generator().manual_seed(1)
    x_TBI = torch.randn(T, B, H, generator=generator)
    gradient = torch.randn(T, B, stack.output_size, generator=generator)
    gradient[torch.arange(T)[:, None] >= LENGTHS] = 0.0
    return Trace(x_TBI, stack.initial_state(B, x_TBI), LENGTHS, None, gradient, None)


@pytest.mark.parametrize("spec", [*registry.names(registry.CELLS), *VARIANTS])
def test_every_cell_is_measured(spec: str) -> None:
    torch.manual_seed(2)
    stack = RecurrentStack(lambda size: cell_factory(spec)(size, H), H)
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    (found,) = measure(stack, given(stack), 20)
    json.dumps(found, allow_nan=False)
    gradient, states = found["gradient"], list(stack.cells[0].states)
    assert gradient["verdict"] in ("vanishes", "fades", "keeps", "explodes")
    assert 0 <= gradient["reach"] <= gradient["steps"]
    assert gradient["rows"][:2] == [3, 3] and gradient["rows"][-1] in (1, 2)
    assert list(gradient["parts"]) == list(found["states"]["parts"]) == states
    assert found["states"]["step"] == sorted(set(found["states"]["step"])) and found["states"]["step"][-1] == 20
    jacobian = found["jacobian"]
    assert jacobian["largest"] >= jacobian["median"] >= jacobian["smallest"] >= 0 and jacobian["largest"] > 0
    for gate in found["saturation"]:
        assert 0 <= gate["left"] + gate["right"] <= 1 + 1e-9
    for name, value in stack.state_dict().items():
        assert torch.equal(value, before[name]) and value.dtype == torch.float32
    assert stack.training


@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True, "residual": True, "normalization": "layer"},
        {"normalization": "batch", "zoneout": 0.2},
        {"bidirectional": True, "normalization": "batch", "initial_state": "learned", "zoneout": {"c": 0.3}},
    ],
)
def test_layers_are_run_as_the_stack_runs_them(options: dict) -> None:
    torch.manual_seed(3)
    stack = RecurrentStack(lambda size: LSTM(size, 3), H, 3, **options)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    stack(torch.randn(T, B, H), lengths=LENGTHS)  # so that running averages are some
    each = given(stack)
    stack.eval()
    expected, _ = stack(each.x_TBI, lengths=LENGTHS)

    def loop(index, cell, x_TBI, state, between):
        outputs = []
        for t, x_BI in enumerate(x_TBI):
            before = between.before(t, state) if between else state
            _, state = cell(x_BI, before)
            state = between.after(t, before, state) if between else state
            outputs.append(cell.readout(x_BI, before, state))
        return torch.stack(outputs)

    doubled, wide = in_double(stack), each.like(torch.zeros((), dtype=torch.double))
    found = run_layers(doubled, wide.x_TBI, doubled.initial_state(B, wide.x_TBI), LENGTHS, None, loop)
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-6)
    assert expected.abs().max() > 0.1


def test_resets_are_followed_in_both_directions() -> None:
    torch.manual_seed(4)
    stack = RecurrentStack(lambda size: LSTM(size, 3), H, bidirectional=True).eval()
    resets_TB = torch.rand(T, B, generator=torch.Generator().manual_seed(5)) < 0.4
    each = given(stack)
    expected, _ = stack(each.x_TBI, lengths=LENGTHS, resets=resets_TB)

    def loop(index, cell, x_TBI, state, between):
        outputs = []
        for t, x_BI in enumerate(x_TBI):
            output, state = cell(x_BI, between.before(t, state))
            outputs.append(output)
        return torch.stack(outputs)

    found = run_layers(stack, each.x_TBI, each.state, LENGTHS, resets_TB, loop)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_description_names_layers_directions_and_cells() -> None:
    torch.manual_seed(5)
    stack = RecurrentStack(lambda size: cell_factory("gru")(size, 3), H, 2, bidirectional=True)
    each = given(stack)
    each.in_steps, each.passes = True, 3
    found = describe(stack, each, trained=[{"n": n} for n in range(4)])
    assert [(cell["name"], cell["cell"], cell["trained"]) for cell in found["cells"]] == [
        ("layer 1 forward", "gru", {"n": 0}),
        ("layer 1 backward", "gru", {"n": 1}),
        ("layer 2 forward", "gru", {"n": 2}),
        ("layer 2 backward", "gru", {"n": 3}),
    ]
    assert found["note"] == (
        "runs step by step; measured over the inputs it had: through its states, not what is fed back; "
        "runs 3 times in a batch; measured in the longest"
    )
