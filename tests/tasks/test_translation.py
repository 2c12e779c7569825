"""The loss of a translation: what is added in training, and what validation never sees.

Shape suffixes: S = source steps, T = target steps, B = sentences, V = target vocabulary.
"""

import pytest
import torch

from seqlab.data.pairs import Batch
from seqlab.data.words import Words
from seqlab.errors import UserError
from seqlab.metrics import Perplexity
from seqlab.tasks import Translation
from seqlab.training.scheduled_sampling import Linear

V = 11
SOURCES, TARGETS = [5, 2, 3], [4, 6, 2]


def make(**options):
    """A task in float64 with large random weights; a tokenizer is asked for no more than the number of its tokens."""
    sizes = {"embedding_size": 6, "encoder_size": 4, "decoder_size": 5, "metrics": {"perplexity": Perplexity()}}
    task = Translation(range(V), range(V), "lstm", optimizer=torch.optim.SGD, **(sizes | options)).double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.normal_(std=1.0, generator=generator)
    return task


def batch():
    """Padded pairs."""
    generator = torch.Generator().manual_seed(1)
    source_SB = torch.randint(4, V, (max(SOURCES), 3), generator=generator)
    target_TB = torch.randint(4, V, (max(TARGETS) + 2, 3), generator=generator)
    target_TB[0] = 2
    for b, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        source_SB[source - 1, b], source_SB[source:, b] = 3, 0
        target_TB[target + 1, b], target_TB[target + 2 :, b] = 3, 0
    tokens = sum(TARGETS) + 3
    return Batch(torch.arange(3), source_SB, torch.tensor(SOURCES), target_TB, tokens, tokens, [])


def outputs(task):
    with torch.no_grad():
        return task.eval().outputs(batch(), {"tokens"}, fitting=True)["tokens"]


@pytest.mark.parametrize("feeding", [False, True])
def test_the_coverage_loss_is_added_in_training_alone(feeding):
    """For each pair alone: its attention weights step by step, and what they have in common with their sums."""
    options = {"coverage": True, "input_feeding": feeding}
    plain, task, pairs = make(**options), make(**options, coverage_loss=0.7), batch()
    expected = 0.0
    for b, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        state, seen = plain.network.start(pairs.source_SB[:source, b : b + 1], torch.tensor([source])), 0.0
        for t in range(target + 1):
            _, state = plain.network.step(pairs.target_TB[t, b : b + 1], state)
            weights = state.coverage_RS - seen
            expected = expected + torch.minimum(weights, torch.as_tensor(seen)).sum().item()
            seen = state.coverage_RS
    difference = (task.loss(pairs) - plain.loss(pairs)).item()
    assert difference == pytest.approx(0.7 * expected, rel=1e-9)
    assert expected > 1
    torch.testing.assert_close(outputs(task), outputs(plain), rtol=0, atol=0)


def test_the_loss_is_of_the_mixed_tokens():
    """Those that the schedule gives are read, the true ones are predicted; validation reads the true ones alone."""
    plain, pairs = make(), batch()
    task = make(scheduled_sampling=Linear(start=0.3, minimum=0.3))
    torch.manual_seed(3)
    loss = task.loss(pairs)
    torch.manual_seed(3)
    state = task.network.start(pairs.source_SB, pairs.source_lengths_B)
    mixed_TB = task.scheduled_sampling.mix(task.network, state, pairs.target_TB[:-1], 0)
    assert not torch.equal(mixed_TB, pairs.target_TB[:-1])
    expected = 0.0
    for b, target in enumerate(TARGETS):
        logits_TV = task.network.output(task.network.decoder(mixed_TB, state)[:, b])
        for t in range(target + 1):
            nll_V = -logits_TV[t].log_softmax(-1)
            expected = expected + 0.9 * nll_V[pairs.target_TB[t + 1, b]] + 0.1 * nll_V.mean()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0, check_dtype=False)
    torch.testing.assert_close(outputs(task), outputs(plain), rtol=0, atol=0)


def test_without_the_options_no_random_number_is_drawn():
    task, random_state = make(), torch.get_rng_state()
    task.train().loss(batch())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_two_vocabularies_of_one_size_are_not_one_matrix():
    with pytest.raises(UserError, match=r"data\.target_tokenizer makes a vocabulary for each: take two-way"):
        Translation(
            Words(["a", "b"]),
            Words(["c", "d"]),
            tying="three-way",
            metrics={"perplexity": Perplexity()},
            optimizer=torch.optim.SGD,
        )
