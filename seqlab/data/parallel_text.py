"""The data module of translation."""

import hashlib
import logging
from functools import cached_property, partial
from typing import Any

import numpy as np
from datasets import Dataset

from seqlab.data.ahead import Ahead
from seqlab.data.arrow import Texts
from seqlab.data.base import MOST_TOKENS, DataModule
from seqlab.data.batches import PlannedBatches, tell_long
from seqlab.data.corpora import Languages, look_up, own_splits, parallel_corpus
from seqlab.data.encoded_text import tell_unknown
from seqlab.data.encoding import helpful_processes
from seqlab.data.mixture import Training, checked_weights, scored_text, training_text
from seqlab.data.pairs import EncodedPairs
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, load_tokenizer
from seqlab.data.trained_tokenizers import remedy, train_tokenizer
from seqlab.errors import UserError
from seqlab.specs import check_range

log = logging.getLogger("seqlab")

AHEAD_FROM = 1 << 20
"""Bytes of training text from which on another process draws the next epoch of BPE-dropout while the present one
trains. With less, that takes a second or two."""


class ParallelText(DataModule):
    """Pairs of sentences in two languages.

    The tokenizer is joint: one for both languages, unless the target side has settings of its own. It is trained on the
    training pairs at first use, and from then on belongs to the run and to every checkpoint.

    Args:
        source: Source language: the suffix of its files, its key in rows, or a language of the phrasebook (en, de, fr,
            es).
        target: Target language.
        train: Training pairs: phrasebook; a path prefix PREFIX of the files PREFIX.<source> and PREFIX.<target>; two
            files with a comma between them; a .tsv, .jsonl or .parquet file; hub:NAME or hub:NAME:CONFIG, a data set of
            the Hugging Face Hub or a folder; or a list of several corpora.
        val: Validation pairs, the same way, and with as many further references as the files or rows have. null: the
            corpus' own, or 2 % (at most 1,000) held out of train.
        test: Test pairs, the same way. null: the corpus' own, or none.
        weights: How often an epoch passes over each training corpus: 2.5 is twice over the whole and once over a half
            drawn anew. null: once over each.
        source_key: Key of the source in rows of .jsonl, .parquet and the Hub; the language unless set.
        target_key: Key of the target.
        tokenizer: How the tokenizer is made.
        target_tokenizer: How the target side's tokenizer is made, each side's then of its own text. null: one joint
            tokenizer.
        batch_tokens: The most tokens of a training batch: pairs x longest side, padding included.
        max_length: Training pairs with a side of more tokens are left out, and counted.
        workers: Processes that build batches ahead; if any, several also draw the epochs of BPE-dropout of a large
            corpus.
        seed: Seed of the order of batches; the run's unless set.
    """

    def __init__(
        self,
        source: str = "en",
        target: str = "de",
        train: str | list[str] = "phrasebook",
        val: str | list[str] | None = None,
        test: str | list[str] | None = None,
        weights: list[float] | None = None,
        source_key: str | None = None,
        target_key: str | None = None,
        tokenizer: TokenizerSettings = TokenizerSettings(),  # noqa: B008  (read, never changed)
        target_tokenizer: TokenizerSettings | None = None,
        batch_tokens: int = 2000,
        max_length: int = 100,
        workers: int = 0,
        seed: int = 1,
    ):
        super().__init__(batch_tokens, workers, seed)
        check_range("data.max_length", max_length, 1, MOST_TOKENS)
        for name, settings in (("tokenizer", tokenizer), ("target_tokenizer", target_tokenizer or tokenizer)):
            if not isinstance(settings, TokenizerSettings):
                raise UserError(f"data.{name} is a group of settings such as {{kind: bpe}}, not {settings!r}")
            settings.check(f"data.{name}")
        self.source, self.target = source, target
        self.names = {"train": train, "val": val, "test": test}
        self.languages = Languages(source, target, source_key, target_key)
        if not train:
            raise UserError("data.train names no corpus")
        self.weights = checked_weights(weights, len(self._named("train")))
        self.settings, self.target_settings, self.max_length = tokenizer, target_tokenizer, max_length
        self._tokenizer: Tokenizer | None = None
        self._kept = np.empty(0, dtype=np.int64)
        self._target_tokenizer: Tokenizer | None = None
        self._ahead: Ahead[EncodedPairs] = Ahead()

    # -------------------------------------------------------------------------------------------------------- text

    def _named(self, split: str) -> list[str]:
        """The names of a split's corpora; none if it has none."""
        name = self.names[split]
        if name is None:
            name = self.names["train"] if split in self._own_splits else []
        return [name] if isinstance(name, str) else name or []

    @cached_property
    def _own_splits(self) -> set[str]:
        """The splits that every training corpus has of its own."""
        return set.intersection(*(set(own_splits(name)) for name in self._named("train")))

    @cached_property
    def _training(self) -> Training:
        return training_text(self._corpora("train"), hold_out=not self._named("val"))

    def _corpora(self, split: str) -> list[Dataset]:
        return [parallel_corpus(name, split, self.languages) for name in self._named(split)]

    def text(self, split: str) -> Dataset:
        """The text of a split, with the columns ``source`` and ``target``.

        A split that is scored has ``references`` too, a list of text whose first is the target, where there are several
        of them.

        Raises:
            UserError: The split has no corpus, or the corpus cannot be read.
        """
        if split == "train":
            return self._training.text
        if self._named(split):
            return scored_text(self._corpora(split))
        if split == "val" and (held_out := self._training.held_out) is not None:
            return held_out
        raise UserError(f"there is no {split} corpus: give one with --data.{split} NAME")

    def look_up(self) -> None:
        """Makes sure that the corpora of all splits are there.

        Raises:
            UserError: A file is missing, or the Hub cannot be reached.
        """
        given = [[name] if isinstance(name, str) else name or [] for name in self.names.values()]
        look_up([name for names in given for name in names], self.languages)

    def has(self, split: str) -> bool:
        """Whether a split has a corpus."""
        return split != "test" or bool(self._named("test"))

    def passes(self) -> list[tuple[int, float]]:
        """For each training corpus, how many of its pairs are trained on, and how often an epoch passes over them."""
        if self.weights is None:
            return []
        self._examples("train")  # which leaves some out
        return self._training.passes(self._kept, self.weights)

    # -------------------------------------------------------------------------------------------------------- tokens

    @property
    def source_tokenizer(self) -> Tokenizer:
        """The source side's tokenizer, trained now if there is none yet."""
        if self._tokenizer is None:
            columns = ["source"] if self.target_settings else ["source", "target"]
            self._tokenizer = train_tokenizer(self.text("train"), columns, self.settings)
        return self._tokenizer

    @property
    def target_tokenizer(self) -> Tokenizer:
        """The target side's tokenizer: the same one, unless the target side has settings of its own."""
        if self.target_settings is None:
            return self.source_tokenizer
        if self._target_tokenizer is None:
            self._target_tokenizer = train_tokenizer(
                self.text("train"), ["target"], self.target_settings, "data.target_tokenizer"
            )
        return self._target_tokenizer

    def encoded(self, split: str) -> EncodedPairs:
        """A split as token ids. Training pairs with an empty or too long side are left out, and counted.

        Raises:
            UserError: No training pair is left.
        """
        pairs = EncodedPairs(self.text(split), self.source_tokenizer, self.target_tokenizer)
        if split != "test":
            for side, (unknown, tokens) in pairs.unknown.items():
                own = side == "target" and self.target_settings is not None
                tokenizer = self.target_tokenizer if own else self.source_tokenizer
                settings = (self.target_settings if own else None) or self.settings
                name = f"data.{'target_' if own else ''}tokenizer"
                advice = remedy(tokenizer, split, name, trained=settings.file is None)
                tell_unknown(f"{side} tokens of data.{split}", unknown, tokens, advice)
        if split == "train":
            return self._filtered(pairs)
        tell_long(split, np.maximum(pairs.source_lengths_N, pairs.target_lengths_N) - 1, self.max_length)
        return pairs

    @property
    def _devices(self) -> int | None:
        return self.trainer.num_devices if self.trainer else None

    def _plan(self, epoch: int) -> PlannedBatches:
        dropout = self.settings.dropout, (self.target_settings or self.settings).dropout
        if any(dropout):
            pairs = self._examples("train")
            assert isinstance(pairs, EncodedPairs)
            processes = helpful_processes(pairs.bytes, self._devices) if self.workers else 0
            draw = partial(pairs.with_dropout, dropout, seed=self.seed)
            self._splits["train"] = self._ahead.take(epoch) or draw(epoch=epoch, processes=processes)
            if self._goes_on_after(epoch) and pairs.bytes >= AHEAD_FROM:
                draw = partial(draw, epoch=epoch + 1, processes=max(processes, 1))
                self._ahead.begin(epoch + 1, lambda stop: draw(stop=stop))
        return super()._plan(epoch)

    def _goes_on_after(self, epoch: int) -> bool:
        """Whether a trainer may go on after an epoch."""
        if self.trainer is None:
            return False
        most = self.trainer.max_epochs
        return most is None or most < 0 or epoch + 1 < most

    def teardown(self, stage: str) -> None:
        """Ends what is made ahead, at the end of a fit."""
        super().teardown(stage)
        self._ahead.close()

    def on_exception(self, exception: BaseException) -> None:
        """Ends what is made ahead, after an error or Ctrl-C."""
        super().on_exception(exception)
        self._ahead.close()

    def prepare(self) -> None:
        super().prepare()
        if self.weights and not sum(round(count * weight) for count, weight in self.passes() or ()):
            raise UserError(f"data.weights {self.weights} leave an epoch without a pair: give larger ones")

    def _filtered(self, pairs: EncodedPairs) -> EncodedPairs:
        lengths = np.stack([pairs.source_lengths_N, pairs.target_lengths_N]) - 1  # without EOS
        empty = lengths.min(0) == 0
        long = ~empty & (lengths.max(0) > self.max_length)
        counts = f"{empty.sum():,} with an empty side, {long.sum():,} with a side of over {self.max_length} tokens"
        kept = self._kept = np.flatnonzero(~empty & ~long).astype(np.int32)
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
        """Name, languages, number of pairs and a checksum of the text of a split, all references included."""
        corpus, digest = self.text(split), hashlib.sha256()
        targets = Texts(corpus, "references" if "references" in corpus.column_names else "target")
        for source, target in zip(Texts(corpus, "source"), targets, strict=True):
            row = [source, target] if isinstance(target, str) else [source, *target]
            digest.update(("\t".join(row) + "\n").encode())
        return {
            "name": self.names[split] or self.names["train"],
            "split": split,
            "languages": [self.source, self.target],
            "pairs": len(corpus),
            "sha256": digest.hexdigest(),
        }

    # -------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """The tokenizer or tokenizers, and the position in the training data."""
        state = {**super().state_dict(), "tokenizer": self.source_tokenizer.model}
        return state | ({"target_tokenizer": self.target_tokenizer.model} if self.target_settings else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up saved tokenizers and position."""
        super().load_state_dict(state_dict)
        self._tokenizer = load_tokenizer(state_dict["tokenizer"])
        if self.target_settings:
            self._target_tokenizer = load_tokenizer(state_dict["target_tokenizer"])
