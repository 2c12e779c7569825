"""What the commands ask of a data module, and what follows from the examples of its splits."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from seqlab.data.batches import Examples, PlannedBatches, plan_evaluation, plan_training
from seqlab.data.loader import TrainingBatches
from seqlab.specs import check_range

SPLITS = ("train", "val", "test")
MOST_TOKENS = 10**9
MOST_WORKERS = 1000


class DataModule(LightningDataModule, ABC):
    """A Lightning data module that a run can be fitted on, evaluated on and taken up from.

    A subclass writes :meth:`has`, :meth:`text` and :meth:`encoded`; batches, their order, the position in it and the
    description of the data follow. What it learns from the training text, such as a tokenizer, it adds to
    :meth:`state_dict` and takes back in :meth:`load_state_dict`, as tensors, numbers, text or bytes. A property whose
    name is a required argument of the task fills it.

    Args:
        batch_tokens: The most tokens of a batch: examples x longest side, padding included.
        workers: Processes that build training batches ahead.
        seed: Seed of the order of batches; the run's unless set.

    Raises:
        UserError: A number is out of its range.
    """

    def __init__(self, batch_tokens: int = 2000, workers: int = 0, seed: int = 1):
        super().__init__()
        check_range("data.batch_tokens", batch_tokens, 1, MOST_TOKENS)
        check_range("data.workers", workers, 0, MOST_WORKERS)
        self.batch_tokens, self.workers, self.seed = batch_tokens, workers, seed
        self._train = TrainingBatches(self._plan, workers=workers, pin_memory=torch.cuda.is_available())
        self._splits: dict[str, Examples] = {}

    @abstractmethod
    def has(self, split: str) -> bool:
        """Whether a split (``train``, ``val`` or ``test``) has a corpus."""

    @abstractmethod
    def text(self, split: str) -> Any:
        """The raw examples of a split, as a dataset (or a list) whose rows are dicts.

        Raises:
            UserError: The split has no corpus, or the corpus cannot be read.
        """

    @abstractmethod
    def encoded(self, split: str) -> Examples:
        """The examples of a split as numbers, ready to be made batches of; it is asked for once."""

    def look_up(self) -> None:
        """Makes sure that the corpora of all splits are there, which is told before one is read; nothing by default.

        Raises:
            UserError: One is missing.
        """

    def passes(self) -> Sequence[tuple[int, float]]:
        """How often an epoch passes over which training examples; see :func:`seqlab.data.batches.plan_training`."""
        return ()

    def prepare(self) -> None:
        """Reads every split that has a corpus, so that what is wrong with one shows before anything is written.

        Raises:
            UserError: A corpus is missing, damaged or empty.
        """
        self.look_up()
        for split in SPLITS:
            if self.has(split):
                self._examples(split)

    def train_dataloader(self) -> TrainingBatches:
        """Batches of the training examples, in an order and a number of each epoch's own.

        The trainer asks anew for each epoch, since it takes the number of batches as fixed until then.
        """
        if self.trainer is not None:
            self._train.set_epoch(self.trainer.current_epoch)
        return self._train

    def val_dataloader(self) -> PlannedBatches:
        """Batches of the validation examples, this rank's share."""
        return self.evaluation_batches("val")

    def evaluation_batches(self, split: str) -> PlannedBatches:
        """Batches of every example of a split, sorted by length: this rank's share where there are several."""
        examples, trainer = self._examples(split), self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        plan = plan_evaluation(examples, self.batch_tokens, rank=rank, world_size=world_size)
        return PlannedBatches(examples, plan)

    def describe(self, split: str) -> dict[str, Any]:
        """What a score says of the data behind it: split, number of examples and a checksum of their text."""
        rows, digest = self.text(split), hashlib.sha256()
        for row in rows:
            digest.update(("\t".join(map(str, row.values())) + "\n").encode())
        return {"split": split, "examples": len(rows), "sha256": digest.hexdigest()}

    def state_dict(self) -> dict[str, Any]:
        """The position in the training data."""
        return {"position": self._train.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved position."""
        self._train.load_state_dict(state_dict["position"])

    def _examples(self, split: str) -> Examples:
        if split not in self._splits:
            self._splits[split] = self.encoded(split)
        return self._splits[split]

    def _plan(self, epoch: int) -> PlannedBatches:
        """This rank's training batches of an epoch."""
        trainer, examples = self.trainer, self._examples("train")
        plan = plan_training(
            examples,
            self.batch_tokens,
            seed=self.seed,
            epoch=epoch,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
            passes=self.passes(),
        )
        return PlannedBatches(examples, plan)
