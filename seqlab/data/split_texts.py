"""The texts of the splits: given by name, the training corpus' own, or for validation the end of its documents."""

from collections.abc import Mapping

from datasets import Dataset

from seqlab.data.text_corpora import Unit, look_up, own_splits, text_corpus
from seqlab.errors import UserError

HELD_OUT_SHARE = 0.05

Name = str | list[str]
"""What :func:`~seqlab.data.text_corpora.text_corpus` reads."""


class SplitTexts:
    """Running text, of which every split is read at most once.

    Args:
        train: The training corpus.
        others: Those of the splits ``val`` and ``test``; None is for the training corpus' own, or, of validation, for
            the last 5 % of its documents.
        document: What a document is.
        key: Key or column that holds the text, of tables.
    """

    def __init__(self, train: Name, others: Mapping[str, Name | None], document: Unit, key: str):
        self.train, self.others, self.document, self.key = train, others, document, key
        self._texts: dict[str, Dataset] = {}

    def __contains__(self, split: str) -> bool:
        """Whether a split has a corpus."""
        return split != "test" or self.others["test"] is not None or "test" in own_splits(self.train)

    def __getitem__(self, split: str) -> Dataset:
        """The documents of a split, with the column ``text``.

        Raises:
            UserError: The split has no corpus, or the corpus cannot be read.
        """
        if split not in self._texts:
            self._texts |= self._read(split)
        return self._texts[split]

    def look_up(self) -> None:
        """Makes sure that the corpora of all splits are there.

        Raises:
            UserError: One is missing.
        """
        look_up([name for name in (self.train, *self.others.values()) if name is not None])

    def name(self, split: str) -> Name:
        """The corpus that a split is of."""
        given = self.others.get(split)
        return self.train if given is None else given

    @property
    def held_out(self) -> bool:
        """Whether the validation text is a part of the training text, which then is without it."""
        return self.others["val"] is None and "val" not in own_splits(self.train)

    def clear(self) -> None:
        """Forgets what was read; it is read again where it is asked for."""
        self._texts.clear()

    def _read(self, split: str) -> dict[str, Dataset]:
        """The documents of a split, and of those that are read along with it."""
        if split == "test" and split not in self:
            raise UserError("there is no test corpus: give one with --data.test NAME")
        if split == "test" or not self.held_out:
            return {split: text_corpus(self.name(split), split, self.document, self.key)}
        corpus = text_corpus(self.train, "train", self.document, self.key)
        kept = len(corpus) - int(len(corpus) * HELD_OUT_SHARE)
        if kept == len(corpus):
            lines = "" if self.document == "line" else ", or take lines for documents with --data.document line"
            raise UserError(
                f"the training text is {len(corpus)} documents, too few to hold some out for validation: give data.val"
                f"{lines}"
            )
        return {"train": corpus.select(range(kept)), "val": corpus.select(range(kept, len(corpus)))}
