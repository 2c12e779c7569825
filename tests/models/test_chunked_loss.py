"""The loss in chunks against torch's cross-entropy of all logits."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.models import chunked_loss
from seqlab.models.chunked_loss import can_chunk, chunked_cross_entropy
from seqlab.models.loss import smoothed_cross_entropy


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five tokens of eleven, the last of them smaller."""
    monkeypatch.setitem(chunked_loss.CHUNK_LOGITS, "cpu", 5 * 11 + 3)


def setting(dtype: torch.dtype = torch.float64, tokens: int = 13) -> tuple[Tensor, Tensor, nn.Linear]:
    generator = torch.Generator().manual_seed(3)
    output = nn.Linear(7, 11).to(dtype)
    with torch.no_grad():
        for parameter in output.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    features = torch.randn(tokens, 7, generator=generator).to(dtype).requires_grad_()
    return features, torch.randint(11, (tokens,), generator=generator), output


def gradients(loss: Tensor, features: Tensor, output: nn.Linear) -> list[Tensor]:
    return [loss, *torch.autograd.grad(loss * 0.3, [features, output.weight, output.bias])]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tokens", [1, 5, 13])
def test_it_is_the_cross_entropy_of_all_logits(smoothing: float, tokens: int) -> None:
    features, targets, output = setting(tokens=tokens)
    plain = functional.cross_entropy(output(features), targets, label_smoothing=smoothing, reduction="sum")
    found = chunked_cross_entropy(features, targets, output, smoothing)
    for one, other in zip(gradients(plain, features, output), gradients(found, features, output), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)


def test_no_token_is_no_loss() -> None:
    features, targets, output = setting()
    loss, *rest = gradients(chunked_cross_entropy(features[:0], targets[:0], output), features, output)
    assert loss == 0 and not any(part.any() for part in rest)


def test_a_matrix_shared_with_the_embedding_gets_both_gradients() -> None:
    _, targets, output = setting()
    tokens = targets.flip(0)

    def gradient(loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, output.weight)[0]

    expected = gradient(
        functional.cross_entropy(output(functional.embedding(tokens, output.weight)), targets, reduction="sum")
    )
    found = gradient(chunked_cross_entropy(functional.embedding(tokens, output.weight), targets, output))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_under_autocast_it_is_as_exact_as_bfloat16_products() -> None:
    features, targets, output = setting(torch.float32, tokens=200)
    exact = functional.cross_entropy(output(features), targets, reduction="sum")
    expected = gradients(exact, features, output)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(chunked_cross_entropy(features, targets, output), features, output)
        logits = output(features).float()
        plain = gradients(functional.cross_entropy(logits, targets, reduction="sum"), features, output)
    assert found[0].dtype == torch.float32 and found[2].dtype == torch.float32
    for one, other, reference in zip(plain, found, expected, strict=True):
        assert (other - reference).abs().max() <= 1.1 * (one - reference).abs().max() + 1e-3 * reference.abs().max()


def test_parameters_in_bfloat16_have_a_loss_in_float32() -> None:
    features, targets, output = setting(torch.bfloat16, tokens=900)
    exact = functional.cross_entropy(output(features).float(), targets, reduction="sum")
    found = chunked_cross_entropy(features, targets, output)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0)
    for one, other in zip(gradients(exact, features, output), gradients(found, features, output), strict=True):
        assert other.dtype == one.dtype
        torch.testing.assert_close(other, one, rtol=0.02, atol=0.02 * float(one.detach().abs().max()))


def test_where_it_does_not_stand_in() -> None:
    features, targets, output = setting(torch.float32)
    assert can_chunk(output, features)
    assert not can_chunk(nn.Sequential(output), features)
    assert not can_chunk(nn.Linear(7, 11, bias=False), features)
    with torch.no_grad():
        assert not can_chunk(output, features)
    with torch.autocast("cpu", torch.float16):
        assert not can_chunk(output, features)
        loss = smoothed_cross_entropy(features, targets, output, 0.1)
    assert loss.dtype == torch.float32
