"""The language-model task: its loss, penalties, carried state and scores.

Shape suffixes: T = time steps, B = rows.
"""

import math

import pytest
import torch
from lightning.pytorch import Trainer

from seqlab.data.encoded_text import Sizes
from seqlab.data.streams import StreamBatch
from seqlab.data.tokenizers import PAD, TokenizerSettings, make_tokenizer
from seqlab.errors import UserError
from seqlab.metrics import BitsPerByte, Perplexity, WordPerplexity
from seqlab.tasks.language_model import LanguageModel

T, B = 7, 3
WORDS = make_tokenizer(["a b c d e f g"], TokenizerSettings("word", 20))


def make(**options):
    torch.manual_seed(1)
    options = {"embedding_size": 5, "hidden_size": 6, "cell": "lstm", **options}
    metrics = {"perplexity": Perplexity(), "word": WordPerplexity(), "byte": BitsPerByte()}
    return LanguageModel(WORDS, **options, metrics=metrics, optimizer=torch.optim.SGD).double()


def batch(steps=T, *, first=True, seed=2, ended=0, scale=1.0, sizes=None):
    """A window; ``ended`` steps of the last row are padding."""
    draw = torch.Generator().manual_seed(seed)
    inputs_TB, targets_TB = (torch.randint(4, len(WORDS), (steps, B), generator=draw) for _ in range(2))
    if ended:
        inputs_TB[-ended:, -1] = targets_TB[-ended:, -1] = PAD
    tokens = steps * B - ended
    return StreamBatch(
        inputs_TB, targets_TB, None, None, first, scale, tokens, tokens, torch.arange(B), 2 * B, sizes or Sizes()
    )


def nll_by_hand(task, window, state=None):
    """Each real token's negative log-likelihood, and the last state."""
    features, raw, state = task.network(window.inputs_TB, state)
    log_probs = task.network.output.log_probs(features)
    nll = -log_probs.gather(-1, window.targets_TB[..., None])[..., 0]
    return nll[window.targets_TB != PAD], features, raw, state


def test_the_loss_is_the_summed_cross_entropy_of_real_tokens():
    task, window = make().eval(), batch(ended=2)
    nll, _, _, _ = nll_by_hand(task, window)
    assert len(nll) == window.tokens
    torch.testing.assert_close(task.loss(window), nll.sum(), rtol=0, atol=1e-11)


def test_penalties_are_their_definitions():
    """Mean squares, as often as there are tokens, so that the mean over tokens has them once."""
    plain, penalised = make(dropout=0.5), make(dropout=0.5, activation_penalty=2.0, temporal_penalty=3.0)
    window = batch()
    losses = []
    for task in (plain, penalised):
        torch.manual_seed(3)
        losses.append(task.loss(window))
    torch.manual_seed(3)
    _, features, raw, _ = nll_by_hand(plain, window)
    expected = 2 * features.square().mean() + 3 * (raw[1:] - raw[:-1]).square().mean()
    torch.testing.assert_close((losses[1] - losses[0]) / window.tokens, expected, rtol=1e-5, atol=0)


def test_the_state_is_carried_to_the_next_window_without_its_history():
    task = make()
    first, second, new = batch(seed=2), batch(5, first=False, seed=3), batch(5, seed=3)
    _, _, _, state = nll_by_hand(task, first)
    carried = tuple(tuple(part.detach() for part in cell) for cell in state)
    expected = nll_by_hand(task, second, carried)[0].sum()
    assert not torch.isclose(expected, nll_by_hand(task, second)[0].sum(), atol=1e-6)
    task.loss(first)
    loss = task.loss(second)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-11)
    parameters = list(task.parameters())
    grads, expected_grads = (torch.autograd.grad(each, parameters, allow_unused=True) for each in (loss, expected))
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-11)
    torch.testing.assert_close(task.loss(new), nll_by_hand(task, new)[0].sum(), rtol=0, atol=1e-11)


def test_a_validation_leaves_the_carried_state_alone():
    one, other = make(), make()
    for task in (one, other):
        task.loss(batch(seed=2))
    other.outputs(batch(seed=9), {"tokens"}, fitting=True)
    assert torch.equal(one.loss(batch(first=False, seed=3)), other.loss(batch(first=False, seed=3)))


def test_windows_change_no_score():
    """Scored in windows of any length with the state carried: the same perplexities."""
    task = make().eval()
    whole, sizes = batch(20, ended=3), Sizes(words=40, bytes=200, unknown=0)
    expected = None
    for lengths in ((20,), (7, 13), (1,) * 20):
        parts, position = [], 0
        for number, length in enumerate(lengths):
            window = slice(position, position + length)
            position += length
            targets_TB = whole.targets_TB[window]
            tokens = int((targets_TB != PAD).sum())
            parts.append(
                whole._replace(
                    inputs_TB=whole.inputs_TB[window],
                    targets_TB=targets_TB,
                    first=number == 0,
                    tokens=tokens,
                    step_tokens=tokens,
                    sizes=sizes if number == 0 else Sizes(),
                )
            )
        for _ in task.score(parts):
            pass
        scores = {name: float(value) for name, value in task.compute_metrics().items()}
        expected = expected or scores
        assert scores == pytest.approx(expected, rel=1e-9)
    nll = nll_by_hand(task, whole)[0].detach()
    by_hand = {
        "perplexity": math.exp(nll.mean()),
        "word": math.exp(nll.sum() / 40),
        "byte": float(nll.sum()) / math.log(2) / 200,
    }
    assert expected == pytest.approx(by_hand, rel=1e-6)


def test_signatures_name_streams_and_unknown_words():
    task = make().eval()
    for _ in task.score([batch(sizes=Sizes(10, 50, 4))]):
        pass
    task.compute_metrics()
    signatures = task.signatures()
    assert signatures["perplexity"] == f"per:token|eos:yes|smoothing:no|streams:{2 * B}"  # of two devices
    assert signatures["word"] == f"per:word|eos:yes|smoothing:no|unknown:4|compares:no|streams:{2 * B}"
    assert signatures["byte"].startswith("per:byte|") and "unknown:4" in signatures["byte"]


def test_the_learning_rate_is_scaled_with_the_window():
    """And is itself again after the step."""
    task = make()
    task.make_optimizer = lambda parameters: torch.optim.SGD(parameters, lr=0.5)
    before = [parameter.detach().clone() for parameter in task.parameters()]
    windows = [batch(scale=0.25)]
    trainer = Trainer(
        max_steps=1,
        num_sanity_val_steps=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(windows, batch_size=None)
    trainer.fit(task, loader, loader)
    other = make()
    (other.loss(windows[0]) / windows[0].tokens).backward()
    for parameter, old, twin in zip(task.parameters(), before, other.parameters(), strict=True):
        expected = old if twin.grad is None else old - 0.5 * 0.25 * twin.grad
        torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-12)
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("options", [{"activation_penalty": -1.0}, {"temporal_penalty": -0.5}])
def test_penalties_are_not_negative(options):
    with pytest.raises(UserError, match="must not be negative"):
        make(**options)


def test_the_carried_state_is_in_the_checkpoint():
    one, other, checkpoint = make(), make(), {}
    one.loss(batch(seed=2))
    one.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    assert torch.equal(one.loss(batch(first=False, seed=3)), other.loss(batch(first=False, seed=3)))
