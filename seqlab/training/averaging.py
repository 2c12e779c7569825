"""Averages of weights, which stand in for the weights themselves in validation and in use.

Training goes on with the raw weights. They are a checkpoint's ``state_dict``; the averages are its ``averaged``, by the
name of the parameter, and are what :func:`seqlab.runs.loading.restore` hands out.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.training.freezing import trained_parameters


@runtime_checkable
class Averages(Protocol):
    """What keeps averages of weights: an :class:`Average`, or an optimizer that averages by itself."""

    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """An average for each of the weights; an empty list as long as there are none."""
        ...


class Average(ABC):
    """A running average of a model's weights.

    Args:
        every: Optimizer steps between two updates.

    Raises:
        UserError: A setting is out of its range.
    """

    def __init__(self, every: int = 1):
        if every < 1:
            raise UserError(f"average {type(self).__name__}: every must be at least 1, not {every}")
        self.every = every

    @abstractmethod
    def update(self, weights: Sequence[Tensor]) -> None:
        """Takes in the weights as they are now; always the same ones in the same order."""

    @abstractmethod
    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """An average for each of the weights; an empty list before the first update."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on, as tensors and numbers."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a saved state."""


class EMA(Average):
    """The exponential moving average: the mean of the weights after each update, the one i updates ago counted
    decay^i times.

    With d = decay, a_1 = w_1 and a_n = a_{n-1} + (1 - d) / (1 - d^n) (w_n - a_{n-1}). The divisor is the correction of
    D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 3: without it the weights that
    training began with would stay in the average for some 1 / (1 - d) updates.

    In a run of few such spans the average lags behind, since it is over most of the run. With ``warmup`` it reaches
    back a ninth of the updates at most: a_n = a_{n-1} + (1 - d_n) (w_n - a_{n-1}), d_n = min(d, (1 + n) / (10 + n)), as
    in TensorFlow's ``ExponentialMovingAverage(decay, num_updates)``, which is d from n = 9 / (1 - d) on.

    Args:
        decay: How much less an update counts than the next one; the average reaches back some 1 / (1 - decay) updates.
        every: Optimizer steps between two updates.
        warmup: Begin with a lower decay, for runs of fewer than some 10 / (1 - decay) updates.

    Raises:
        UserError: A setting is out of its range.
    """

    def __init__(self, decay: float = 0.999, every: int = 1, warmup: bool = False):
        super().__init__(every)
        if not 0 <= decay < 1:
            raise UserError(f"average EMA: decay must be at least 0 and below 1, not {decay}")
        self.decay, self.warmup = decay, warmup
        self._averages: list[Tensor] = []
        self._updates = 0

    def update(self, weights: Sequence[Tensor]) -> None:
        """Takes in the weights as they are now."""
        self._updates += 1
        if self._averages:  # read from a checkpoint they are not yet where the weights are
            self._averages = [
                average.to(weight.device) for average, weight in zip(self._averages, weights, strict=True)
            ]
            move_averages(self._averages, weights, self._share())
        else:
            self._averages = start_averages(weights)

    def _share(self) -> float:
        """How far an update moves the average."""
        if self.warmup:
            return 1 - min(self.decay, (1 + self._updates) / (10 + self._updates))
        return (1 - self.decay) / (1 - self.decay**self._updates)

    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The average of each weight."""
        return self._averages

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many updates they saw."""
        return {"averages": self._averages, "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a saved state."""
        self._averages, self._updates = list(state["averages"]), state["updates"]


class LastN(Average):
    """The plain mean of the last few of the weights that were taken at regular steps, as if of so many checkpoints
    (A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 6.1).

    Memory and ``last.ckpt`` hold each of them.

    Args:
        count: How many.
        every: Optimizer steps between two of them.

    Raises:
        UserError: A setting is out of its range.
    """

    def __init__(self, count: int = 5, every: int = 500):
        super().__init__(every)
        if count < 1:
            raise UserError(f"average LastN: count must be at least 1, not {count}")
        self.count = count
        self._taken: list[list[Tensor]] = []

    def update(self, weights: Sequence[Tensor]) -> None:
        """Takes in the weights as they are now."""
        self._taken = [*self._taken, start_averages(weights)][-self.count :]

    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each weight."""
        return [
            torch.stack([value.to(weight.device) for value in values]).mean(0)
            for weight, *values in zip(weights, *self._taken, strict=True)
            if values
        ]

    def state_dict(self) -> dict[str, Any]:
        """The weights that were taken."""
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a saved state."""
        self._taken = list(state["taken"])


class AveragedWeights(Callback):
    """Puts averages in the place of a task's weights while it is validated, and beside them into checkpoints.

    The values are exchanged in place, so parameters that are shared stay shared. Parameters that are not trained are
    left alone. So are buffers, as ``torch.optim.swa_utils.AveragedModel`` does unless it is told otherwise: the running
    statistics of a batch normalisation, which are averages already, are those of the newest weights.

    Args:
        average: The average; if None, the optimizer's where it is an :class:`Averages`, else there is none.
    """

    def __init__(self, average: Average | None = None):
        self.average = average
        self._raw: list[Tensor] = []
        self._step = 0

    def state_dict(self) -> dict[str, Any]:
        """The state of the average; that of an optimizer is saved with the optimizer."""
        return self.average.state_dict() if self.average is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state."""
        if self.average is not None:
            self.average.load_state_dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step  # with accumulation several batches end at one step
        if self.average is not None and step != self._step and step % self.average.every == 0:
            self.average.update(list(trained_parameters(pl_module).values()))
        self._step = step

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights: list[Tensor] = list(trained_parameters(pl_module).values())
        if averages := self._averages(trainer, weights):
            self._raw = [weight.detach().clone() for weight in weights]
            torch._foreach_copy_(weights, averages)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_back(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._put_back(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._put_back(pl_module)  # in mid-validation only a run saves that is told to end, as by a batch system
        named = trained_parameters(pl_module)
        if averages := self._averages(trainer, list(named.values())):
            checkpoint["averaged"] = dict(zip(named, averages, strict=True))

    def _averages(self, trainer: Trainer, weights: Sequence[Tensor]) -> list[Tensor]:
        source: Any = self.average if self.average is not None else next(iter(trainer.optimizers), None)
        return source.averages(weights) if isinstance(source, Averages) else []

    @torch.no_grad()
    def _put_back(self, module: nn.Module) -> None:
        """Gives the module its raw weights again, if it has others."""
        if self._raw:
            torch._foreach_copy_(list(trained_parameters(module).values()), self._raw)
            self._raw = []


@torch.no_grad()
def use_averages(module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Gives a module the averages of a checkpoint in place of its weights, if the checkpoint has any."""
    weights = dict(module.named_parameters())
    for name, average in checkpoint.get("averaged", {}).items():
        weights[name].copy_(average)


def start_averages(weights: Sequence[Tensor]) -> list[Tensor]:
    """Copies of weights, in single precision at least: in less, a small step of an average would be rounded away."""
    with torch.inference_mode(False):  # what is made in inference mode cannot be changed in training
        return [weight.detach().to(torch.promote_types(weight.dtype, torch.float32), copy=True) for weight in weights]


@torch.no_grad()
def move_averages(averages: list[Tensor], weights: Sequence[Tensor], share: float) -> None:
    """Moves averages, in place, by a share of the way to the weights."""
    values = [weight.detach().to(average.dtype) for average, weight in zip(averages, weights, strict=True)]
    torch._foreach_lerp_(averages, values, share)
