"""Force decoding: the log-probabilities of texts that are given, token by token.

Shape suffixes: S = source steps, T = target steps, B = texts of a batch, N = real tokens, E = width of the features.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.data.encoded_text import encode_text
from seqlab.data.pairs import Ragged
from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.language_model import RecurrentLanguageModel
from seqlab.models.loss import real_tokens, token_scores
from seqlab.recurrence.stack import StackState
from seqlab.tasks.batching import Batching

LOGITS = 1 << 24
"""The most logits at once: 64 MiB in float32."""

NLL = Callable[[Tensor, Tensor], Tensor]
"""Features ``[N, E]`` and targets ``[N]`` to the negative log-likelihood of each."""
Done = Callable[[int], Any] | None


@dataclass(frozen=True)
class Forced:
    """What a model makes of a text that it was given."""

    tokens: list[int]
    """Token ids of the text, with the EOS that ends it."""
    log_probabilities: list[float]
    """That of each token given all before it, in nats."""
    source_unknown: int = 0
    """Tokens of the source that are UNK."""

    @property
    def log_probability(self) -> float:
        """That of the whole text, its end included, in nats."""
        return math.fsum(self.log_probabilities)

    @property
    def perplexity(self) -> float:
        """Per token."""
        return perplexity(self.log_probability, len(self.tokens))

    @property
    def unknown(self) -> int:
        """Tokens that are UNK, each scored as such."""
        return self.tokens.count(UNK)


def perplexity(log_probability: float, tokens: int) -> float:
    """``exp`` of the mean negative log-likelihood of a token; infinite where that is too large for a number."""
    try:
        return math.exp(-log_probability / tokens)
    except OverflowError:
        return math.inf


@torch.no_grad()
def force_pairs(
    network: EncoderDecoder,
    tokenizers: tuple[Tokenizer, Tokenizer],
    sources: Sequence[str],
    targets: Sequence[str],
    batching: Batching | None = None,
    done: Done = None,
) -> list[Forced]:
    """Gives each target as the translation of its source.

    Args:
        network: The model, in evaluation mode.
        tokenizers: Those of the source and of the target side.
        sources: Source sentences; an empty one is its end alone.
        targets: Their targets.
        batching: How pairs are put into batches, by their longer side; of 4,000 tokens if None.
        done: Called with the number of pairs of each batch that is done.

    Returns:
        What the model makes of each target, in the same order.

    Raises:
        UserError: The sides are not lists of text, or not of one length, or a pair does not fit into memory.
    """
    _check_lines(sources)
    _check_lines(targets)
    if len(sources) != len(targets):
        raise UserError(f"log_probabilities takes a target for each source, not {len(targets)} for {len(sources)}")
    source, target = (
        Ragged([*tokenizer.encode(line), EOS] for line in lines)
        for tokenizer, lines in zip(tokenizers, (sources, targets), strict=True)
    )
    device, vocabulary = network.output.weight.device, network.output.out_features

    def nll(features_NE: Tensor, targets_N: Tensor) -> Tensor:
        return token_scores(features_NE, targets_N, network.output)[0]

    def process(index_B: np.ndarray) -> list[Forced]:
        lengths_B = torch.from_numpy(source.lengths_N[index_B]).to(device)
        target_TB = target.padded(index_B, [BOS], []).to(device)
        features_TBE = network(source.padded(index_B, [], []).to(device), lengths_B, target_TB[:-1])
        scores_TB = _scores(features_TBE, target_TB[1:], nll, vocabulary)
        unknown_B = [int((source[index] == UNK).sum()) for index in index_B]
        return [
            Forced(*row, unknown) for row, unknown in zip(_by_text(target, index_B, scores_TB), unknown_B, strict=True)
        ]

    return _all(np.maximum(source.lengths_N, target.lengths_N), process, targets, batching or Batching(), done)


@torch.no_grad()
def force_lines(
    network: RecurrentLanguageModel,
    tokenizer: Tokenizer,
    lines: Sequence[str],
    batching: Batching | None = None,
    done: Done = None,
) -> list[Forced]:
    """Reads each line on its own, from EOS and the state that a text starts with, as if a line had ended before it.

    Args:
        network: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        lines: The lines; one with line feeds is a document, of which every line ends in EOS.
        batching: How lines are put into batches; of 4,000 tokens if None.
        done: Called with the number of lines of each batch that is done.

    Returns:
        What the model makes of each line, in the same order.

    Raises:
        UserError: The lines are not a list of text, or one does not fit into memory.
    """
    _check_lines(lines)
    text = Ragged(encode_text(line, tokenizer) for line in lines)
    device, batching = network.embedding.weight.device, batching or Batching()

    def process(index_B: np.ndarray) -> list[Forced]:
        targets_TB = text.padded(index_B, [], []).to(device)
        scores_TB, _ = _read(network, torch.full_like(targets_TB[0], EOS), targets_TB, None, batching.batch_tokens)
        return [Forced(*row) for row in _by_text(text, index_B, scores_TB)]

    return _all(text.lengths_N, process, lines, batching, done)


class ForcedStream:
    """Reads lines as one text: each starts with the state after the one before, from call to call.

    Args:
        network: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        batch_tokens: The most tokens that are read at once.
    """

    def __init__(self, network: RecurrentLanguageModel, tokenizer: Tokenizer, batch_tokens: int = 4000):
        self.network, self.tokenizer, self.batch_tokens = network, tokenizer, batch_tokens
        self._state: StackState | None = None

    @torch.no_grad()
    def __call__(self, lines: Sequence[str], done: Done = None) -> list[Forced]:
        """What the model makes of the next lines.

        Raises:
            UserError: The lines are not a list of text.
        """
        _check_lines(lines)
        text = [encode_text(line, self.tokenizer) for line in lines]
        if not text:
            return []
        flat = torch.tensor([token for tokens in text for token in tokens], device=self.network.embedding.weight.device)
        before = flat.new_full((1,), EOS)  # the end of the last line, or what stands before a text
        scores_T1, self._state = _read(self.network, before, flat[:, None], self._state, self.batch_tokens)
        scores = iter(scores_T1[:, 0].tolist())
        if done is not None:
            done(len(lines))
        return [Forced(tokens, [next(scores) for _ in tokens]) for tokens in text]


def token_names(tokenizer: Tokenizer) -> list[str]:
    """What to call each token: its text, ``<unk>``, ``<eos>``, or ``<0xE9>`` for a byte that is no character."""
    names = tokenizer.pieces()
    if tokenizer.kind_name == "byte":
        names = [f"<0x{token - EOS - 1:02X}>" if name == "\ufffd" else name for token, name in enumerate(names)]
    names[UNK], names[EOS] = "<unk>", "<eos>"
    return names


def _all(
    lengths_N: np.ndarray,
    process: Callable[[np.ndarray], list[Forced]],
    texts: Sequence[str],
    batching: Batching,
    done: Done,
) -> list[Forced]:
    """The results of all texts, in their order."""
    found: dict[int, Forced] = {}
    for batch, results in batching.run(lengths_N, process, lambda number: f"the text {texts[number][:40]!r}"):
        found.update(zip(batch, results, strict=True))
        if done is not None:
            done(len(batch))
    return [found[number] for number in range(len(texts))]


def _by_text(texts: Ragged, index_B: np.ndarray, scores_TB: Tensor) -> Iterator[tuple[list[int], list[float]]]:
    """The tokens of each text of a batch, and their scores without those of padding."""
    for index, scores in zip(index_B, scores_TB.t().tolist(), strict=True):
        tokens = texts[index].tolist()
        yield tokens, scores[: len(tokens)]


def _read(
    network: RecurrentLanguageModel, first_B: Tensor, targets_TB: Tensor, state: StackState | None, batch_tokens: int
) -> tuple[Tensor, StackState | None]:
    """Log-probabilities ``[T, B]`` of targets after a first token, and the state before the last of them is read;
    window by window, so that memory does not grow with the longest line."""
    inputs_TB, vocabulary = torch.cat([first_B[None], targets_TB[:-1]]), len(network.embedding.weight)
    window, parts = max(1, batch_tokens // targets_TB.shape[1]), []
    for inputs, targets in zip(inputs_TB.split(window), targets_TB.split(window), strict=True):
        features_TBE, _, state = network(inputs, state)
        parts.append(_scores(features_TBE, targets, network.output.nll, vocabulary))
    return torch.cat(parts), state


def _scores(features_TBE: Tensor, targets_TB: Tensor, nll: NLL, vocabulary: int) -> Tensor:
    """Log-probabilities ``[T, B]`` of targets, 0 for padding; never of so many at once that logits fill the memory."""
    features_NE, targets_N = real_tokens(features_TBE, targets_TB, PAD)
    parts = zip(*(part.split(max(1, LOGITS // vocabulary)) for part in (features_NE, targets_N)), strict=True)
    nll_N = torch.cat([nll(*part) for part in parts])
    return nll_N.new_zeros(targets_TB.shape).masked_scatter_(targets_TB != PAD, -nll_N)


def are_lines(lines: Any) -> bool:
    """Whether something is a list of text, or serves as one; an iterator, which can be read but once, does not."""
    is_list = hasattr(lines, "__len__") and hasattr(lines, "__getitem__") and not isinstance(lines, str | Mapping)
    return is_list and all(isinstance(line, str) for line in lines)


def _check_lines(lines: Sequence[str]) -> None:
    if not are_lines(lines):
        raise UserError("log_probabilities takes lists of lines of text, as in ['A sentence.']")
