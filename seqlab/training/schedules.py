"""Learning rates over time.

A schedule multiplies the optimizer's learning rate by a factor for each optimizer step. Its length is the recipe's
``trainer.max_steps``, so that a resumed run has the same one.
"""

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from seqlab.errors import UserError


class Schedule:
    """A constant rate after a linear warm-up; the base of the others.

    Args:
        warmup: Steps over which the rate rises from near 0.
    """

    monitor: str | None = None
    """The score a schedule listens to, for one that is stepped after validations instead of after batches."""

    def __init__(self, warmup: int = 0):
        if warmup < 0:
            raise UserError(f"schedule: warmup must not be negative, not {warmup}")
        self.warmup = warmup

    def factor(self, step: int, total: int) -> float:
        """The factor at a step (from 0), without the warm-up."""
        return 1.0

    def configure(self, optimizer: Optimizer, total: int) -> LRScheduler | ReduceLROnPlateau:
        """The torch scheduler of an optimizer for a run of ``total`` steps, -1 if that is open."""

        def rate(step: int) -> float:
            return min(1.0, (step + 1) / self.warmup if self.warmup else 1.0) * self.factor(step, total)

        return LambdaLR(optimizer, rate)


class Constant(Schedule):
    """The optimizer's own rate, after the warm-up."""


class InverseSquareRoot(Schedule):
    """Falls with the inverse square root of the step after the warm-up (Vaswani et al. 2017).

    Args:
        warmup: Steps over which the rate rises; at their end it is the optimizer's own.
    """

    def __init__(self, warmup: int = 1000):
        super().__init__(warmup)

    def factor(self, step: int, total: int) -> float:
        warmup = max(self.warmup, 1)
        return math.sqrt(warmup / max(step + 1, warmup))


class Noam(Schedule):
    """Rises along a line and falls with the inverse square root of the step, at rates that fit the width of the model:
    lr = factor x size^-0.5 x min(step^-0.5, step x warmup^-1.5), steps counted from 1.

    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 3, where the factor is 1; here it is the
    optimizer's learning rate (model.optimizer.lr). It is the same as :class:`InverseSquareRoot` with the rate
    lr / sqrt(size x warmup), which is the highest that is reached.

    Args:
        size: d, the width of the model, such as the size of its embeddings.
        warmup: Steps over which the rate rises.

    Raises:
        UserError: One of them is not positive.
    """

    def __init__(self, size: int, warmup: int = 4000):
        super().__init__(warmup)
        if size < 1 or warmup < 1:
            raise UserError(f"schedule Noam: size and warmup must be at least 1, not {size} and {warmup}")
        self.size = size

    def configure(self, optimizer: Optimizer, total: int) -> LRScheduler:
        """The torch scheduler of an optimizer."""

        def rate(step: int) -> float:
            return self.size**-0.5 * min((step + 1) ** -0.5, (step + 1) * self.warmup**-1.5)

        return LambdaLR(optimizer, rate)


class _Limited(Schedule):
    """A schedule that needs to know its end."""

    def __init__(self, warmup: int = 0, final: float = 0.0):
        super().__init__(warmup)
        self.final = final

    def configure(self, optimizer: Optimizer, total: int) -> LRScheduler | ReduceLROnPlateau:
        if total < 1:
            raise UserError(f"schedule {type(self).__name__} needs an end: set trainer.max_steps")
        return super().configure(optimizer, total)

    def progress(self, step: int, total: int) -> float:
        """The share of the way from the end of the warm-up to the end, between 0 and 1."""
        return min(1.0, max(0.0, (step - self.warmup) / max(1, total - self.warmup)))


class Cosine(_Limited):
    """Falls along half a cosine to ``final`` x the rate (Loshchilov and Hutter 2017).

    Args:
        warmup: Steps over which the rate rises.
        final: Factor at the end.
    """

    def factor(self, step: int, total: int) -> float:
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * self.progress(step, total)))


class Linear(_Limited):
    """Falls along a line to ``final`` x the rate.

    Args:
        warmup: Steps over which the rate rises.
        final: Factor at the end.
    """

    def factor(self, step: int, total: int) -> float:
        return 1 - (1 - self.final) * self.progress(step, total)


class Step(Schedule):
    """Falls in steps: at step ``after``, and then every ``every`` steps, the rate is multiplied by ``factor``.

    W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014, section 4.1, count in
    epochs: after 6 of them the rate is divided by 1.2, and then after each further one. That is ``every`` = the
    optimizer steps of an epoch, ``after`` = 6 times as many, ``factor`` = 0.833. An epoch has as many steps as the data
    has batches, divided by the devices and by ``trainer.accumulate_grad_batches``: about N / (T B) for a text of N
    tokens that is read in windows of T tokens of B rows.

    Args:
        after: Optimizer steps at the whole rate.
        every: Optimizer steps between two falls.
        factor: What the rate is multiplied by.
        warmup: Steps over which the rate rises.
    """

    def __init__(self, after: int, every: int, factor: float = 0.5, warmup: int = 0):
        super().__init__(warmup)
        if after < 0 or every < 1 or not 0 < factor < 1:
            raise UserError(
                "schedule Step: after must not be negative, every must be at least 1 and factor between 0 and 1, not "
                f"{after}, {every} and {factor}"
            )
        self.after, self.every, self.shrink = after, every, factor

    def factor(self, step: int, total: int) -> float:
        return self.shrink ** (1 + (step - self.after) // self.every) if step >= self.after else 1.0


class Plateau(Schedule):
    """Lowers the rate when a validation score has stopped getting better.

    Args:
        monitor: Name of the score, such as val/bleu.
        mode: max if more is better, else min.
        factor: What the rate is multiplied by.
        patience: Validations without a better score that are waited for.
        minimum: The rate does not fall below it.
    """

    def __init__(
        self,
        monitor: str = "val/perplexity",
        mode: str = "min",
        factor: float = 0.5,
        patience: int = 2,
        minimum: float = 0.0,
    ):
        super().__init__()
        if mode not in ("min", "max") or not 0 < factor < 1:
            raise UserError(
                f"schedule Plateau: mode is min or max and factor between 0 and 1, not {mode!r} and {factor}"
            )
        self.mode: Literal["min", "max"] = "max" if mode == "max" else "min"
        self.monitor, self.shrink, self.patience, self.minimum = monitor, factor, patience, minimum

    def configure(self, optimizer: Optimizer, total: int) -> ReduceLROnPlateau:
        return ReduceLROnPlateau(
            optimizer, mode=self.mode, factor=self.shrink, patience=self.patience, min_lr=self.minimum
        )
