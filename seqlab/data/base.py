"""What the commands ask of a data module."""

from abc import abstractmethod
from collections.abc import Iterable, Sized
from typing import Any, Protocol

from lightning.pytorch import LightningDataModule


class Batches(Sized, Iterable, Protocol):
    """Batches that know how many they are."""


class DataModule(LightningDataModule):
    """A Lightning data module that a run can be fitted on, evaluated on and taken up from.

    Its batches have ``tokens`` and ``step_tokens`` (see :class:`seqlab.tasks.base.Task`) and ``index_B``, the numbers
    of their examples. ``state_dict`` holds the position in the training data and what was learned from it, such as a
    tokenizer, as tensors, numbers, text or bytes. A property whose name is a required argument of the task fills it.
    """

    @abstractmethod
    def prepare(self) -> None:
        """Reads what a fit needs, so that what is wrong with it shows before anything is written.

        Raises:
            UserError: A corpus is missing, damaged or empty.
        """

    @abstractmethod
    def has(self, split: str) -> bool:
        """Whether a split (``train``, ``val`` or ``test``) has a corpus."""

    @abstractmethod
    def evaluation_batches(self, split: str) -> Batches:
        """Batches of every example of a split, this rank's share."""

    @abstractmethod
    def text(self, split: str) -> Any:
        """The raw examples of a split, as a dataset whose rows are dicts.

        Raises:
            UserError: The split has no corpus.
        """

    @abstractmethod
    def describe(self, split: str) -> dict[str, Any]:
        """What a score says of the data behind it: name, size, checksum."""
