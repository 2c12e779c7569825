"""Stacks of the cells that torch has too: two layers and both directions on packed sequences.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.cells.lstm import LSTM
from seqlab.recurrence.stack import RecurrentStack

T, B, I, H, P = 7, 4, 3, 5, 2  # noqa: E741
LENGTHS = [5, 7, 1, 3]
SUFFIXES = {True: ["_l0", "_l0_reverse", "_l1", "_l1_reverse"], False: ["_l0", "_l1"]}
NAMES = {"input.weight": "weight_ih", "input.bias": "bias_ih", "project_output.weight": "weight_hr"}
NAMES |= {"recurrent.weight": "weight_hh", "recurrent.bias": "bias_hh"}
MODULES = {
    "elman": lambda **options: nn.RNN(I, H, 2, **options),
    "elman-relu": lambda **options: nn.RNN(I, H, 2, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTM(I, H, 2, **options),
    "lstm-narrow": lambda **options: nn.LSTM(I, H, 2, proj_size=P, **options),
    "gru": lambda **options: nn.GRU(I, H, 2, **options),
}
ENGINES = {  # None is native where no last state of an LSTM is asked for
    "elman": [None, "plain", "deferred", "factored", "native"],
    "elman-relu": [None, "plain", "native"],
    "lstm": [None, "plain", "deferred", "factored"],
    "lstm-narrow": [None, "plain", "deferred"],
    "gru": [None, "plain", "deferred", "factored", "native"],
}
RUNS = [(name, engine) for name, engines in ENGINES.items() for engine in engines]
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def both(lab, name, bidirectional, holder="stack", engine=None):
    """A stack and torch's module with the same random weights, and pairs of these in the stack's order."""
    module = MODULES[name](bidirectional=bidirectional).double()
    stack = RecurrentStack(
        lambda size: lab.cells[name](size, H), I, 2, bidirectional=bidirectional, engine=engine
    ).double()
    lab.randomised(stack if holder == "stack" else module)
    pairs = [
        (weight, getattr(module, NAMES[key] + suffix))
        for cell, suffix in zip(stack.cells, SUFFIXES[bidirectional], strict=True)
        for key, weight in cell.named_parameters()
    ]
    assert len(pairs) == len(list(module.parameters())) == len(list(stack.parameters()))
    with torch.no_grad():
        for weight, module_weight in pairs:
            target, source = (module_weight, weight) if holder == "stack" else (weight, module_weight)
            target.copy_(source)
    return stack, module, pairs


def run_module(module, x_TBI, parts, packed):
    """Outputs and last states, one for each part ``[cells, B, S]``."""
    initial = None if parts is None else tuple(parts) if len(parts) == 2 else parts[0]
    if not packed:
        output_TBO, finals = module(x_TBI, initial)
    else:
        output, finals = module(pack_padded_sequence(x_TBI, LENGTHS, enforce_sorted=False), initial)
        output_TBO, _ = pad_packed_sequence(output)
    return output_TBO, finals if isinstance(finals, tuple) else (finals,)


def assert_same(lab, stack, module, pairs, *, given, packed):
    x_TBI = lab.inputs()
    sizes = stack.state_sizes[0]
    parts = [lab.draw(len(stack.cells), B, size, seed=5 + k).requires_grad_() for k, size in enumerate(sizes)]
    state = tuple(tuple(part[cell] for part in parts) for cell in range(len(stack.cells))) if given else None
    output_TBO, finals = stack(x_TBI, state, lengths=torch.tensor(LENGTHS) if packed else None)
    expected_TBO, expected_finals = run_module(module, x_TBI, parts if given else None, packed)
    results = (output_TBO, *(torch.stack(part) for part in zip(*finals, strict=True)))
    expected = (expected_TBO, *expected_finals)
    torch.testing.assert_close(results, expected, rtol=0, atol=1e-12)
    inputs = (x_TBI, *(parts if given else ()))
    grads = lab.gradients(results, (*inputs, *(weight for weight, _ in pairs)))
    expected_grads = lab.gradients(expected, (*inputs, *(weight for _, weight in pairs)))
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-12)
    assert all(grad.abs().max() > 1e-3 for grad in grads)


def test_a_projection_that_torch_refuses_is_no_kernel_of_torch():
    for projection in (H, H + 1):
        with pytest.raises(ValueError, match="proj_size has to be smaller than hidden_size"):
            nn.LSTM(I, H, proj_size=projection)
        assert RecurrentStack(lambda size, p=projection: LSTM(size, H, projection=p), I).engines() == ["deferred"]


@pytest.mark.parametrize("given", [True, False], ids=["given-state", "default-state"])
@pytest.mark.parametrize("bidirectional", [True, False], ids=["both-directions", "one-direction"])
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_two_layers_are_torchs_on_packed_sequences(lab, name, engine, bidirectional, given):
    """Outputs, last states in torch's order, and the gradients of inputs, initial states and weights."""
    assert_same(lab, *both(lab, name, bidirectional, engine=engine), given=given, packed=True)


@pytest.mark.parametrize("bidirectional", [True, False], ids=["both-directions", "one-direction"])
@pytest.mark.parametrize("holder", ["stack", "module"])
@pytest.mark.parametrize("name", MODULES)
def test_two_layers_are_torchs_on_full_rows_whichever_holds_the_weights(lab, name, holder, bidirectional):
    assert_same(lab, *both(lab, name, bidirectional, holder), given=True, packed=False)


@pytest.mark.parametrize("name", MODULES)
def test_two_layers_are_torchs_on_packed_sequences_without_last_states(lab, name):
    """The case in which native runs an LSTM on padded rows."""
    stack, module, pairs = both(lab, name, True)
    assert stack.engines() == ["native"] * 4
    x_TBI = lab.inputs()
    output_TBO, finals = stack(x_TBI, lengths=torch.tensor(LENGTHS), last=False)
    assert finals is None
    expected_TBO, _ = run_module(module, x_TBI, None, True)
    torch.testing.assert_close(output_TBO, expected_TBO, rtol=0, atol=1e-12)
    grads = lab.gradients((output_TBO,), (x_TBI, *(weight for weight, _ in pairs)))
    expected_grads = lab.gradients((expected_TBO,), (x_TBI, *(weight for _, weight in pairs)))
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-12)
