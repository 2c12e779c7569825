"""What the loss of a batch sends into the layers, however these are called.

Shape suffixes: S = source steps, T = target steps, B = rows, E = embedding size.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.diagnosis.gradients import entries
from seqlab.diagnosis.layers import run_layers
from seqlab.diagnosis.tracing import trace
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.recurrence.stack import RecurrentStack

S, T, B = 6, 5, 3
SOURCE_LENGTHS, TARGET_LENGTHS = torch.tensor([6, 2, 4]), torch.tensor([3, 5, 1])
REAL_TB = torch.arange(T)[:, None] < TARGET_LENGTHS


def translator(cell: type = GRU, **options) -> EncoderDecoder:
    torch.manual_seed(1)
    sizes = {"embedding_size": 4, "encoder_size": 3, "decoder_size": 5, "tying": "two-way"}
    return EncoderDecoder(9, 11, cell, cell, **sizes, **options).double().eval()


def loss_of(model: EncoderDecoder, counted_TB: Tensor) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(2)
    source_SB = torch.randint(9, (S, B), generator=generator)
    target_TB = torch.randint(11, (T + 1, B), generator=generator)

    def loss() -> Tensor:
        features_TBE = model(source_SB, SOURCE_LENGTHS, target_TB[:-1])
        return functional.cross_entropy(model.output(features_TBE)[counted_TB], target_TB[1:][counted_TB])

    return loss


def stacks_of(model: EncoderDecoder) -> dict[str, RecurrentStack]:
    return {"encoder": model.encoder.layers, "decoder": model.decoder.layers}


@pytest.mark.parametrize("feeding", [False, True])
def test_what_enters_a_decoder_last_is_the_loss_of_its_last_token(feeding: bool) -> None:
    model = translator(input_feeding=feeding)
    last_TB = torch.arange(T)[:, None] == TARGET_LENGTHS - 1
    whole, last = (trace(stacks_of(model), loss_of(model, each))["decoder"] for each in (REAL_TB, last_TB))
    assert whole.in_steps == last.in_steps == feeding
    assert whole.lengths_B.tolist() == TARGET_LENGTHS.tolist() and whole.passes == 1
    assert entries(whole, 0, 1)[0].tolist() == (TARGET_LENGTHS - 1).tolist()
    scale = int(REAL_TB.sum()) / B  # of two means
    torch.testing.assert_close(whole.gradient_TBO[last_TB] * scale, last.gradient_TBO[last_TB], rtol=1e-9, atol=1e-15)
    assert last.gradient_TBO[last_TB].norm(dim=-1).min() > 1e-6
    assert whole.gradient_TBO[~REAL_TB].abs().max() == 0 and whole.gradient_TBO[0, 0].abs().max() > 0


def test_with_input_feeding_the_inputs_are_those_that_it_had() -> None:
    model = translator(LSTM, input_feeding=True, decoder_layers=2)
    loss, seen = loss_of(model, REAL_TB), []
    model.decoder.combine.register_forward_hook(lambda *call: seen.append(call[2].detach().tanh()))
    found = trace(stacks_of(model), loss)["decoder"]
    assert found.x_TBI.shape == (T, B, 8) and found.in_steps
    assert torch.equal(found.x_TBI[1:, :, 4:], torch.stack(seen[: T - 1])) and not found.x_TBI[0, :, 4:].any()
    assert len(seen) == T and model.decoder.layers.engine == "deferred"


@pytest.mark.parametrize("bridge", ["mean", "last"])
def test_what_enters_an_encoder_is_autograds(bridge: str) -> None:
    model = translator(LSTM, bridge=bridge)
    loss, outputs = loss_of(model, REAL_TB), []
    found = trace(stacks_of(model), loss)["encoder"]
    assert found.lengths_B.tolist() == SOURCE_LENGTHS.tolist()

    def keep(module: nn.Module, args: tuple, result: tuple) -> tuple:
        outputs.append(result)
        return result

    model.encoder.layers.engine = "plain"
    model.encoder.layers.register_forward_hook(keep)
    total = loss()
    ((memory_SBM, last),) = outputs
    expected = torch.autograd.grad(total, memory_SBM, retain_graph=True)[0]
    torch.testing.assert_close(found.gradient_TBO, expected, rtol=1e-9, atol=1e-15)
    assert expected[3, 0].abs().max() > 0
    if bridge == "mean":
        assert found.finals is None
    else:
        parts = [part for cell in last for part in cell]
        entering = [part for cell in found.finals for part in cell]
        torch.testing.assert_close(entering, list(torch.autograd.grad(total, parts)), rtol=1e-9, atol=1e-15)
        assert min(part.abs().max() for part in entering) > 0


def test_calls_that_go_on_from_one_another_are_one_pass() -> None:
    torch.manual_seed(3)
    stack = RecurrentStack(lambda size: LSTM(size, 5), 4, 2).double().eval()
    x = torch.randn(7, B, 4, dtype=torch.double)

    def in_one() -> Tensor:
        return stack(x)[0].square().sum()

    def in_three() -> Tensor:
        stack(x[:2])  # another sequence, of which nothing enters
        total, state = 0, None
        for part in x.split([1, 4, 2]):
            output, state = stack(part, state)
            total = total + output.square().sum()
        with torch.no_grad():
            stack(x.repeat(3, 1, 1))
        return total

    whole, parts = (trace({"stack": stack}, loss)["stack"] for loss in (in_one, in_three))
    assert (whole.in_steps, whole.passes, parts.in_steps, parts.passes) == (False, 1, True, 2)
    for name in ("x_TBI", "lengths_B"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))
    assert torch.equal(whole.gradient_TBO[-2:], parts.gradient_TBO[-2:])

    def loop(index, cell, x_TBI, state, between):
        outputs = []
        for x_BI in x_TBI:
            output, state = cell(x_BI, state)
            outputs.append(output)
        return torch.stack(outputs)

    output = run_layers(stack, parts.x_TBI, parts.state, parts.lengths_B, None, loop)
    torch.testing.assert_close(2 * output, whole.gradient_TBO)


def test_layers_that_are_frozen_or_unused() -> None:
    model = translator().requires_grad_(False)
    other = RecurrentStack(lambda size: GRU(size, 5), 4)
    found = trace({**stacks_of(model), "other": other}, loss_of(model, REAL_TB))
    assert list(found) == ["encoder", "decoder"]
    assert all(each.gradient_TBO.abs().max() > 0 for each in found.values())
    assert trace({"other": other}, lambda: torch.zeros(())) == {}
    assert other._forward_hooks == {}
