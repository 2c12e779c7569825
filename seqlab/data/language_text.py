"""The data module of language modelling."""

import logging
from typing import Any

import numpy as np
from datasets import Dataset

from seqlab.data.base import MOST_TOKENS, DataModule
from seqlab.data.batches import PlannedBatches, tell_long
from seqlab.data.encoded_text import EncodedText, encode_documents, tell_unknown
from seqlab.data.split_texts import SplitTexts
from seqlab.data.streams import Documents, Windows
from seqlab.data.text_corpora import Texts, Unit
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, load_tokenizer
from seqlab.data.trained_tokenizers import train_tokenizer
from seqlab.errors import UserError
from seqlab.specs import check_range

log = logging.getLogger("seqlab")

MANY_UNKNOWN = 0.2
EVALUATION_TOKENS = 500
"""Targets of a batch in an evaluation; how many changes no score."""


class LanguageText(DataModule):
    """Running text, as rows of one long stream or as documents on their own.

    Every line of the text ends in EOS. The tokenizer is trained on the training text at first use, and from then on
    belongs to the run and to every checkpoint.

    Args:
        train: Training text: pydocs; a text, .jsonl or .parquet file; several, with commas between them or as a pattern
            such as ``texts/*.txt``; or hub:NAME or hub:NAME:CONFIG, a data set of the Hugging Face Hub.
        val: Validation text, the same way. null: the corpus' own, or the last 5 % of the training documents.
        test: Test text, the same way. null: the corpus' own, or none.
        document: A document is a line, a paragraph (up to a blank line), or a file (of a table, a row; of pydocs, a
            topic).
        key: Key or column that holds the text, of .jsonl, .parquet and the Hub.
        tokenizer: How the tokenizer is trained.
        stateful: Carry the state from window to window of a stream; false: each document is an example on its own.
        streams: Rows of the stream on each device, in training.
        window: Tokens of a row before the state is cut off from its past, in training.
        random_window: Draw the lengths of windows, as AWD-LSTM does.
        reset_documents: Let the state start anew where a document begins.
        validation_streams: Rows in the validations of a fit. More are faster; each but the first starts without what
            came before it.
        test_streams: Rows in an evaluation.
        batch_tokens: The most tokens of a batch where stateful is false: documents x longest, padding included.
        max_length: Training documents of more tokens are left out where stateful is false, and counted.
        workers: Processes that build training batches ahead.
        seed: Seed of the order of batches and of random windows; the run's unless set.

    Raises:
        UserError: A size is not positive.
    """

    def __init__(
        self,
        train: str | list[str] = "pydocs",
        val: str | list[str] | None = None,
        test: str | list[str] | None = None,
        document: Unit = "line",
        key: str = "text",
        tokenizer: TokenizerSettings = TokenizerSettings(lossless=True),  # noqa: B008  (read, never changed)
        stateful: bool = True,
        streams: int = 32,
        window: int = 35,
        random_window: bool = False,
        reset_documents: bool = False,
        validation_streams: int = 10,
        test_streams: int = 1,
        batch_tokens: int = 2000,
        max_length: int = 200,
        workers: int = 0,
        seed: int = 1,
    ):
        super().__init__(batch_tokens, workers, seed)
        sizes = {
            "streams": streams,
            "window": window,
            "validation_streams": validation_streams,
            "test_streams": test_streams,
            "max_length": max_length,
        }
        for name, size in sizes.items():
            check_range(f"data.{name}", size, 1, MOST_TOKENS)
        if not isinstance(tokenizer, TokenizerSettings):
            raise UserError(f"data.tokenizer is a group of settings such as {{kind: word}}, not {tokenizer!r}")
        tokenizer.check()
        if tokenizer.dropout:
            raise UserError(
                "data.tokenizer.dropout is drawn anew in each epoch, for pairs of sentences; running text is encoded "
                "once: leave it 0"
            )
        self.settings = tokenizer
        self.stateful, self.streams, self.window, self.random_window = stateful, streams, window, random_window
        self.reset_documents, self.max_length = reset_documents, max_length
        self.validation_streams, self.test_streams = validation_streams, test_streams
        self._tokenizer: Tokenizer | None = None
        self._texts = SplitTexts(train, {"val": val, "test": test}, document, key)

    # -------------------------------------------------------------------------------------------------------- text

    def has(self, split: str) -> bool:
        """Whether a split has a corpus."""
        return split in self._texts

    def look_up(self) -> None:
        """Makes sure that the corpora of all splits are there.

        Raises:
            UserError: A file is missing, or the Hub cannot be reached.
        """
        self._texts.look_up()

    def text(self, split: str) -> Dataset:
        """The documents of a split, with the column ``text``.

        Raises:
            UserError: The split has no corpus, or the corpus cannot be read.
        """
        return self._texts[split]

    # -------------------------------------------------------------------------------------------------------- tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, trained now if there is none yet."""
        if self._tokenizer is None:
            self._tokenizer = train_tokenizer(self.text("train"), ["text"], self.settings, unit="documents")
        return self._tokenizer

    def encoded(self, split: str) -> Documents:
        """A split as token ids. Where documents are examples, blank and too long ones of training are left out.

        Raises:
            UserError: No training document is left, or the text is too short for the rows of its stream.
        """
        documents = Documents(encode_documents(Texts(self.text(split)), self.tokenizer))
        tokens, unknown = len(documents.text.tokens_S), documents.text.sizes.unknown
        if split == "val" and self._texts.held_out:
            log.info(
                "data: held the last %s training documents out for validation (data.val is null)", f"{len(documents):,}"
            )
        if split != "train":
            tell_unknown(f"tokens of data.{split}", unknown, tokens, "is it text of the same kind?", many=MANY_UNKNOWN)
            if not self.stateful:
                tell_long(split, documents.target_lengths_N - 1, self.max_length)
            return documents
        log.info(
            "data: %s training tokens in %s documents, %.2f %% of them unknown; a vocabulary of %s",
            f"{tokens:,}",
            f"{len(documents):,}",
            100 * unknown / tokens,
            f"{len(self.tokenizer):,}",
        )
        return documents if self.stateful else self._filtered(documents)

    def _filtered(self, documents: Documents) -> Documents:
        lengths_N = documents.target_lengths_N - 1  # without the last EOS
        blank_N, long_N = lengths_N == 0, lengths_N > self.max_length
        counts = f"{blank_N.sum():,} blank ones, {long_N.sum():,} of over {self.max_length} tokens"
        kept = np.flatnonzero(~blank_N & ~long_N)
        if not len(kept):
            raise UserError(f"none of {len(documents):,} training documents is left: {counts} (data.max_length)")
        if len(kept) < len(documents):
            log.info("data: left %s of these documents out: %s", f"{len(documents) - len(kept):,}", counts)
        return documents.select(kept)

    def prepare(self) -> None:
        """Reads and encodes every split that has a corpus, so that what is wrong with one shows at once.

        Raises:
            UserError: A corpus is missing, damaged, empty or too short.
        """
        super().prepare()
        if self.stateful:
            self._stream("train", self.streams, self.window, "streams")
            self._stream("val", self.validation_streams, 1, "validation_streams")
            if self.has("test"):
                self._stream("test", self.test_streams, 1, "test_streams")
        self._texts.clear()  # tokens are all that is needed from here on

    # -------------------------------------------------------------------------------------------------------- batches

    def _encoded_text(self, split: str) -> EncodedText:
        documents = self._examples(split)
        assert isinstance(documents, Documents)
        return documents.text

    def _stream(self, split: str, rows: int, window: int, setting: str) -> EncodedText:
        """The text of a split, if it is long enough for rows of a window each."""
        text = self._encoded_text(split)
        if len(text.tokens_S) < rows * window:
            raise UserError(
                f"the {split} text has {len(text.tokens_S):,} tokens, less than one window in each row: {rows} rows "
                f"(data.{setting}) x {window} tokens{' (data.window)' if split == 'train' else ''}"
            )
        return text

    def _plan(self, epoch: int) -> PlannedBatches:
        if not self.stateful:
            return super()._plan(epoch)
        trainer = self.trainer
        world_size = trainer.world_size if trainer else 1
        rows = self.streams * world_size
        return Windows(
            self._stream("train", rows, self.window, "streams"),
            rows,
            self.window,
            random=self.random_window,
            seed=self.seed,
            epoch=epoch,
            rank=trainer.global_rank if trainer else 0,
            world_size=world_size,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
            resets=self.reset_documents,
        ).batches()

    def val_dataloader(self) -> PlannedBatches:
        """Batches of the validation text in the course of a fit: ``validation_streams`` rows, this rank's share."""
        return self._scored("val", self.validation_streams, "validation_streams")

    def evaluation_batches(self, split: str, window: int | None = None) -> PlannedBatches:
        """Batches that predict every token of a split once: ``test_streams`` rows, this rank's share.

        Args:
            split: The split.
            window: Tokens of a row in each batch; as is convenient if None, since that changes no score.
        """
        return self._scored(split, self.test_streams, "test_streams", window)

    def _scored(self, split: str, rows: int, setting: str, window: int | None = None) -> PlannedBatches:
        if not self.stateful:
            return super().evaluation_batches(split)
        text, trainer = self._stream(split, rows, 1, setting), self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        length = window or max(1, EVALUATION_TOKENS // rows)
        return Windows(
            text, rows, length, rank=rank, world_size=world_size, resets=self.reset_documents, scored=True
        ).batches()

    def describe(self, split: str) -> dict[str, Any]:
        """Name, sizes and a checksum of the text of a split, and the rows it is evaluated in (null: documents)."""
        text = self._encoded_text(split)
        return {
            "name": self._texts.name(split),
            "split": split,
            "documents": len(text.starts_N),
            "tokens": len(text.tokens_S),
            **text.sizes._asdict(),
            "sha256": text.sha256,
            "streams": self.test_streams if self.stateful else None,
        }

    # -------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """The tokenizer, and the position in the training data."""
        return {**super().state_dict(), "tokenizer": self.tokenizer.model}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved tokenizer and position."""
        self._tokenizer = load_tokenizer(state_dict["tokenizer"])
        super().load_state_dict(state_dict)
