"""Translating text with one model or several: searching or sampling, with n-best lists and attention.

Shape suffixes: S = source steps, T = target steps, B = sentences, N = lines that are not empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.data.pairs import Ragged
from seqlab.data.tokenizers import BOS, EOS
from seqlab.decoding.beam import beam_search
from seqlab.decoding.ensemble import Ensemble
from seqlab.decoding.sampling import Sampling
from seqlab.decoding.search import Search, changed
from seqlab.decoding.stepper import Hypothesis
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.tasks.attention_maps import AttentionMap, mean_attention
from seqlab.tasks.base import Task
from seqlab.tasks.batching import Batching
from seqlab.tasks.forced import are_lines, token_names
from seqlab.tasks.sampled import sample_outputs

ROOM = 10
"""Tokens that are left behind a prefix, at least, where no length is set."""


@dataclass(frozen=True)
class Candidate:
    """One translation of a line."""

    text: str
    tokens: list[int]
    """Token ids, without the end of sentence."""
    score: float
    """What candidates are ranked by; see :class:`~seqlab.decoding.search.Search`."""
    log_probability: float
    """Of the tokens and the end of sentence given the source, in nats."""


class Translator:
    """Translates with one task or with an ensemble.

    ::

        translator = Translator([seqlab.load("runs/a"), seqlab.load("runs/b")])
        translator.decode(["A dog runs."], beam=8, n_best=3)

    Args:
        tasks: The members, on one device; the settings of the search are the first one's.
        mean: What an ensemble averages: ``probabilities`` or ``log-probabilities``.
        names: What to call the members in errors, such as their runs.
        batch_tokens: The most source tokens of a batch, padding included; fewer where memory runs out.

    Raises:
        UserError: A task does not translate, two have different vocabularies, or the mean is unknown.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        mean: str = "probabilities",
        names: Sequence[str] | None = None,
        batch_tokens: int = 4000,
    ):
        self.names = list(names or (f"model {number}" for number in range(1, len(tasks) + 1)))
        for task, name in zip(tasks, self.names, strict=True):
            if not isinstance(getattr(task, "network", None), EncoderDecoder):
                raise UserError(f"{name} does not translate: its task is {type(task).__name__}")
        self.networks = [task.eval().network for task in tasks]
        self.stepper: Any = self.networks[0] if len(tasks) == 1 else Ensemble(self.networks, mean)
        self.search, self.device, self.batching = tasks[0].search, tasks[0].device, Batching(batch_tokens)
        self.tokenizers = tasks[0].source_tokenizer, tasks[0].target_tokenizer
        for task, name in zip(tasks, self.names, strict=True):
            for side, own, other in zip(
                ("source", "target"), self.tokenizers, (task.source_tokenizer, task.target_tokenizer), strict=True
            ):
                if own is not other and own.model != other.model:
                    raise UserError(
                        f"{self.names[0]} and {name} have different {side} vocabularies: an ensemble needs runs of the "
                        "same tokenizers; see data.tokenizer.file"
                    )

    def translate(self, lines: Sequence[str], **options: Any) -> list[str]:
        """The best translation of each line, empty for an empty one; options are those of :meth:`decode`."""
        return [found[0].text if found else "" for found in self.decode(lines, **({"n_best": 1} | options))]

    def decode(
        self,
        lines: Sequence[str],
        *,
        prefixes: Sequence[str] | None = None,
        sampling: Sampling | None = None,
        seed: int = 1,
        first: int = 1,
        done: Callable[[int], Any] | None = None,
        **changes: Any,
    ) -> list[list[Candidate]]:
        """Searches for the translations of lines, or draws them.

        Args:
            lines: Source sentences.
            prefixes: What the translation of each begins with, as text; nothing where it is empty.
            sampling: Draw one translation of each line in place of a search, of which only ``max_length`` counts.
            seed: Seed of what is drawn; a line's depends on the seed and its number alone.
            first: Number of the first line, for seeds and errors.
            done: Called with the number of lines of each batch that is done, to show progress.
            changes: Settings of :class:`~seqlab.decoding.search.Search` that are not the run's own, such as ``n_best``.

        Returns:
            For each line at most ``n_best`` candidates, the best first; none for an empty line.

        Raises:
            UserError: Lines or prefixes are not lists of text of one length, a setting is unknown or out of its range,
                a prefix is too long, or a sentence does not fit into memory.
        """
        search = changed(self.search, changes)
        _check_lines("translate", lines)
        if prefixes is not None:
            _check_lines("prefixes", prefixes)
            if len(prefixes) != len(lines):
                raise UserError(f"there are {len(prefixes)} prefixes for {len(lines)} lines: give one for each")
        numbers = [number for number, line in enumerate(lines) if line.strip()]
        source_N = self._sources(lines, numbers)
        texts_N = ["" if prefixes is None else prefixes[number] for number in numbers]
        begun_N = [self.tokenizers[1].encode(text) if text else [] for text in texts_N]
        limits_N = _limits(search, source_N.lengths_N, begun_N, [first + number for number in numbers])

        @torch.no_grad()
        def process(index_B: np.ndarray) -> list[list[Hypothesis]]:
            state = self.stepper.start(*self._padded(source_N, index_B))
            limits_B, begun_B = limits_N[index_B].to(self.device), [begun_N[index] for index in index_B]
            if sampling is not None:
                rows = [first + numbers[index] for index in index_B]
                drawn = sample_outputs(self.stepper, state, limits_B, begun_B, sampling, seed, rows)
                return [[output] for output in drawn]
            given = begun_B if any(begun_B) else None
            return beam_search(self.stepper, state, limits_B, bos=BOS, eos=EOS, search=search, prefixes=given)

        results: list[list[Candidate]] = [[] for _ in lines]
        for batch, found in self.batching.run(source_N.lengths_N, process, lambda i: f"line {first + numbers[i]}"):
            for index, hypotheses in zip(batch, found, strict=True):
                begin = texts_N[index], begun_N[index]
                results[numbers[index]] = [self._candidate(hypothesis, *begin) for hypothesis in hypotheses]
            if done is not None:
                done(len(batch))
        return results

    # ------------------------------------------------------------------------------------------------------- attention

    def attention(self, lines: Sequence[str], **options: Any) -> list[AttentionMap | None]:
        """Where the best translation of each line looked, None for an empty line; options are those of :meth:`decode`.

        Raises:
            UserError: See :meth:`decode` and :meth:`check_attention`.
        """
        self.check_attention()
        found = self.decode(lines, **({"n_best": 1} | options))
        return self.look(lines, [candidates[0] if candidates else None for candidates in found])

    def check_attention(self) -> None:
        """Makes sure that there is something to look at.

        Raises:
            UserError: A member has no attention.
        """
        for network, name in zip(self.networks, self.names, strict=True):
            if network.decoder.attention is None:
                raise UserError(f"{name} has no attention to show (model.attention none)")

    def look(
        self, lines: Sequence[str], candidates: Sequence[Candidate | None], *, first: int = 1
    ) -> list[AttentionMap | None]:
        """Where given translations looked, as they are read again; of an ensemble the mean of its members.

        Args:
            lines: Source sentences.
            candidates: The translation of each; None leaves a line out.
            first: Number of the first line, for errors.

        Raises:
            UserError: A sentence does not fit into memory.
        """
        chosen = [(number, found) for number, found in enumerate(candidates) if found is not None]
        source_N = self._sources(lines, [number for number, _ in chosen])
        target_N = Ragged(found.tokens for _, found in chosen)

        def process(index_B: np.ndarray) -> list[np.ndarray]:
            given_TB = target_N.padded(index_B, [BOS], []).to(self.device)
            weights_BTS = mean_attention(self.networks, *self._padded(source_N, index_B), given_TB).cpu().numpy()
            # The last token that is given predicts the end of sentence.
            steps_B, source_B = target_N.lengths_N[index_B] + 1, source_N.lengths_N[index_B]
            return [weights_BTS[b, : steps_B[b], : source_B[b]] for b in range(len(index_B))]

        maps: list[AttentionMap | None] = [None] * len(lines)
        source_names, target_names = map(token_names, self.tokenizers)
        lengths_N = np.maximum(source_N.lengths_N, target_N.lengths_N + 1)
        for batch, found in self.batching.run(lengths_N, process, lambda i: f"line {first + chosen[i][0]}"):
            for index, weights_TS in zip(batch, found, strict=True):
                number, candidate = chosen[index]
                maps[number] = AttentionMap(
                    [source_names[token] for token in source_N[index]],
                    [target_names[token] for token in (*candidate.tokens, EOS)],
                    weights_TS.tolist(),
                    lines[number],
                    candidate.text,
                    candidate.score,
                )
        return maps

    # ---------------------------------------------------------------------------------------------------------- pieces

    def _sources(self, lines: Sequence[str], numbers: Sequence[int]) -> Ragged:
        """The source tokens of some lines, each closed by EOS."""
        return Ragged([*self.tokenizers[0].encode(lines[number]), EOS] for number in numbers)

    def _padded(self, source_N: Ragged, index_B: np.ndarray) -> tuple[Tensor, Tensor]:
        """A batch of sources ``[S, B]`` and their lengths, on the device."""
        lengths_B = torch.from_numpy(source_N.lengths_N[index_B])
        return source_N.padded(index_B, [], []).to(self.device), lengths_B.to(self.device)

    def _candidate(self, hypothesis: Hypothesis, prefix: str, begun: list[int]) -> Candidate:
        """A hypothesis with its text, which has the prefix as it was written: its tokens may have it otherwise, where
        they leave spaces out or do not know a word."""
        decode = self.tokenizers[1].decode
        text, head = decode(hypothesis.tokens), decode(begun)
        if begun and text.startswith(head):
            rest = text[len(head) :]
            text = (prefix.rstrip() if rest[:1].isspace() else prefix) + rest
        return Candidate(text, hypothesis.tokens, hypothesis.score, hypothesis.log_probability)


def _limits(search: Search, lengths_N: np.ndarray, begun_N: Sequence[Sequence[int]], lines_N: Sequence[int]) -> Tensor:
    """The most tokens of each output; where ``max_length`` does not say it, there is room behind a long prefix.

    Raises:
        UserError: A prefix holds the end of sentence or leaves no room; it is named by the number of its line.
    """
    limits_N = search.limits(torch.from_numpy(lengths_N))
    for index, (begun, line) in enumerate(zip(begun_N, lines_N, strict=True)):
        if EOS in begun:
            raise UserError(f"the prefix of line {line} holds the end of sentence, behind which nothing can follow")
        if search.max_length is None:
            limits_N[index] = max(int(limits_N[index]), len(begun) + ROOM)
        elif len(begun) > search.max_length:
            raise UserError(
                f"the prefix of line {line} has {len(begun)} tokens, more than max_length {search.max_length}"
            )
    return limits_N


def _check_lines(name: str, lines: Sequence[str]) -> None:
    if not are_lines(lines):
        raise UserError(f"{name} takes a list of lines of text, as in {name}(['A sentence.'])")
