"""The data module of translation."""

import hashlib
import logging
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset

from seqlab.data.base import DataModule
from seqlab.data.batches import PlannedBatches
from seqlab.data.corpora import BUILT_IN, parallel_corpus
from seqlab.data.pairs import EncodedPairs
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, load_tokenizer
from seqlab.errors import UserError

log = logging.getLogger("seqlab")

HELD_OUT_SHARE, HELD_OUT_MOST = 0.02, 1000


class ParallelText(DataModule):
    """Pairs of sentences in two languages.

    The tokenizer is joint: one for both languages. It is trained on the training pairs at first use, and from then on
    belongs to the run and to every checkpoint.

    Args:
        source: Source language: the suffix of its files, or a language of the phrasebook (en, de, fr, es).
        target: Target language.
        train: Training pairs: phrasebook, a path prefix PREFIX of the files PREFIX.<source> and PREFIX.<target>, or two
            files with a comma between them.
        val: Validation pairs, the same way. null: the built-in corpus' own, or 2 % (at most 1,000) held out of train.
        test: Test pairs, the same way. null: the built-in corpus' own, or none.
        tokenizer: How the tokenizer is trained.
        batch_tokens: The most tokens of a training batch: pairs x longest side, padding included.
        max_length: Training pairs with a side of more tokens are left out, and counted.
        workers: Processes that build batches ahead.
        seed: Seed of the order of batches; the run's unless set.
    """

    def __init__(
        self,
        source: str = "en",
        target: str = "de",
        train: str | list[str] = "phrasebook",
        val: str | list[str] | None = None,
        test: str | list[str] | None = None,
        tokenizer: TokenizerSettings = TokenizerSettings(),  # noqa: B008  (read, never changed)
        batch_tokens: int = 2000,
        max_length: int = 100,
        workers: int = 0,
        seed: int = 1,
    ):
        super().__init__(batch_tokens, workers, seed)
        if max_length < 1:
            raise UserError(f"data.max_length must be positive, not {max_length}")
        if not isinstance(tokenizer, TokenizerSettings):
            raise UserError(f"data.tokenizer is a group of settings such as {{kind: bpe}}, not {tokenizer!r}")
        self.source, self.target = source, target
        self.names = {"train": train, "val": val, "test": test}
        self.settings, self.max_length = tokenizer, max_length
        self._tokenizer: Tokenizer | None = None

    # -------------------------------------------------------------------------------------------------------- text

    @cached_property
    def _trained_on(self) -> tuple[Dataset, Dataset | None]:
        """The training text, and what was held out of it for validation."""
        name = self.names["train"]
        assert name is not None
        corpus = parallel_corpus(name, "train", self.source, self.target)
        if self.names["val"] is not None or name in BUILT_IN:
            return corpus, None
        held_out = min(HELD_OUT_MOST, int(len(corpus) * HELD_OUT_SHARE))
        if held_out < 1:
            raise UserError(f"{len(corpus)} pairs are too few to hold some out for validation: give data.val")
        order = np.random.default_rng(0).permutation(len(corpus))  # the same pairs whatever the run's seed
        log.info("data: held %s of %s pairs out for validation (data.val is null)", f"{held_out:,}", f"{len(corpus):,}")
        return corpus.select(np.sort(order[held_out:])), corpus.select(np.sort(order[:held_out]))

    def text(self, split: str) -> Dataset:
        """The text of a split, with the columns ``source`` and ``target``.

        Raises:
            UserError: The split has no corpus, or the corpus cannot be read.
        """
        if split == "train":
            return self._trained_on[0]
        name = self.names[split]
        if name is None and self.names["train"] in BUILT_IN:
            name = self.names["train"]
        if name is not None:
            return parallel_corpus(name, split, self.source, self.target)
        if split == "val" and (held_out := self._trained_on[1]) is not None:
            return held_out
        raise UserError(f"there is no {split} corpus: give one with --data.{split} PREFIX")

    def has(self, split: str) -> bool:
        """Whether a split has a corpus."""
        return split != "test" or self.names["test"] is not None or self.names["train"] in BUILT_IN

    # -------------------------------------------------------------------------------------------------------- tokens

    @property
    def source_tokenizer(self) -> Tokenizer:
        """The source side's tokenizer, trained now if there is none yet."""
        if self._tokenizer is None:
            corpus = self.text("train")
            log.info("data: training a %s tokenizer on %s pairs", self.settings.kind, f"{len(corpus):,}")
            lines = [line for side in ("source", "target") for line in corpus[side]]
            self._tokenizer = Tokenizer.train(lines, self.settings)
        return self._tokenizer

    @property
    def target_tokenizer(self) -> Tokenizer:
        """The target side's tokenizer: the same one."""
        return self.source_tokenizer

    def encoded(self, split: str) -> EncodedPairs:
        """A split as token ids. Training pairs with an empty or too long side are left out, and counted.

        Raises:
            UserError: No training pair is left.
        """
        pairs = EncodedPairs(self.text(split), self.source_tokenizer, self.target_tokenizer)
        return self._filtered(pairs) if split == "train" else pairs

    def _filtered(self, pairs: EncodedPairs) -> EncodedPairs:
        lengths = np.stack([pairs.source.lengths_N, pairs.target.lengths_N])
        empty = lengths.min(0) == 0
        long = ~empty & (lengths.max(0) > self.max_length)
        counts = f"{empty.sum():,} with an empty side, {long.sum():,} with a side of over {self.max_length} tokens"
        kept = np.flatnonzero(~empty & ~long)
        if not len(kept):
            raise UserError(f"none of {len(pairs):,} training pairs is left: {counts} (data.max_length)")
        log.info(
            "data: %s training pairs%s", f"{len(kept):,}", f"; left out {counts}" if len(kept) < len(pairs) else ""
        )
        return pairs if len(kept) == len(pairs) else pairs.select(kept)

    # -------------------------------------------------------------------------------------------------------- batches

    def evaluation_batches(self, split: str) -> PlannedBatches:
        """Batches of every pair of a split, with their references; this rank's share where there are several."""
        batches = super().evaluation_batches(split)
        return PlannedBatches(batches.examples, batches.plan, references=True)

    def describe(self, split: str) -> dict[str, Any]:
        """Name, languages, number of pairs and a checksum of the text of a split."""
        corpus = self.text(split)
        digest = hashlib.sha256()
        for source, target in zip(corpus["source"], corpus["target"], strict=True):
            digest.update(f"{source}\t{target}\n".encode())
        return {
            "name": self.names[split] or self.names["train"],
            "split": split,
            "languages": [self.source, self.target],
            "pairs": len(corpus),
            "sha256": digest.hexdigest(),
        }

    # -------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """The tokenizer, and the position in the training data."""
        return {**super().state_dict(), "tokenizer": self.source_tokenizer.model}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved tokenizer and position."""
        super().load_state_dict(state_dict)
        self._tokenizer = load_tokenizer(state_dict["tokenizer"])
