"""What all tasks share: the training step, validation by metrics, optimizer and schedule."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seqlab import registry
from seqlab.errors import UserError
from seqlab.metrics import Metric
from seqlab.recurrence.stack import RecurrentStack
from seqlab.training.averaging import Average, Averages
from seqlab.training.freezing import freeze, trained_parameters
from seqlab.training.gradients import clipped_before_unscaling, normalize_gradients, weight_penalty
from seqlab.training.guards import SkipStep, TakenAverages
from seqlab.training.ntasgd import Validated
from seqlab.training.schedules import Constant, Schedule
from seqlab.training.settings import TrainingSettings

OptimizerCallable = Callable[[Iterable], Optimizer]
Outputs = dict[str, dict[str, Any]]
"""Named outputs of a batch, each with the arguments that metrics take; see :mod:`seqlab.metrics.base`."""

MANY = 1 << 62
USES = ("translate", "generate")
"""What some tasks do and others do not."""


class NotItsUse(UserError, AttributeError):
    """What is asked of a task is another task's; an AttributeError too, so that ``hasattr`` says so."""


class Task(LightningModule, ABC):
    """The base of every task. A subclass writes :meth:`loss` and :meth:`outputs`, and may write :meth:`examples`.

    A batch has two counts: ``tokens``, over which its summed loss is taken, and ``step_tokens``, the same for its whole
    optimizer step. Dividing by the second makes accumulated batches and several devices add up to exactly the mean over
    the step's tokens, whatever their sizes.

    Arguments of a subclass that are attributes of the data module, such as tokenizers, are filled from it.

    Args:
        metrics: Validation scores by the name they are logged under, as ``val/<name>``.
        optimizer: Called with the parameters.
        schedule: The learning rate over time; constant if None.
        average: A running average of the weights, which stands in for them in validation and in use.
    """

    unit: ClassVar[str] = "target tokens"
    """What a batch's ``tokens`` counts, as speed is told in."""
    example: ClassVar[str] = "example"
    """What an example is, as intervals of scores tell what was drawn."""
    sizes: ClassVar[tuple[str, ...]] = ()
    """Arguments that are widths of recurrent layers: what a number of parameters is reached by."""

    def __init__(
        self,
        *,
        metrics: dict[str, Metric],
        optimizer: OptimizerCallable,
        schedule: Schedule | None = None,
        average: Average | None = None,
    ):
        super().__init__()
        self.metrics = nn.ModuleDict(metrics)
        self._make_optimizer, self.schedule, self.average = optimizer, schedule or Constant(), average
        self.training_settings = TrainingSettings()
        self.skipped = False
        """Whether the last optimizer step was left out; see :class:`~seqlab.training.guards.Guard`."""
        self.validation_signatures: dict[str, str] = {}
        """How the scores of the last validation of a fit were computed."""

    def __getattr__(self, name: str) -> Any:
        if name in USES:
            own = [f"{use}(...)" for use in USES if hasattr(type(self), use)]
            does = f"; it has {' and '.join(own)}" if own else ""
            raise NotItsUse(f"a task of class {type(self).__name__} does not {name}{does}")
        return super().__getattr__(name)

    @classmethod
    def sizes_of(cls, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of :attr:`sizes` that decide, given all arguments."""
        return cls.sizes

    def train_by(self, settings: TrainingSettings) -> None:
        """Takes up how its parameters are to be trained, and freezes those that are not; to be called once.

        Raises:
            UserError: A pattern matches no parameter, or nothing is left to train.
        """
        self.training_settings = settings
        freeze(self, settings.freeze)

    def initialise(self) -> None:
        """Gives weights a start that is not random, such as word vectors; nothing by default.

        Called before the first step of a run, after all checks, and never on a task that takes up a checkpoint: files
        that it reads may be gone by then.
        """

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """The training loss of a batch, summed over its ``tokens``."""

    @abstractmethod
    def outputs(self, batch: Any, needs: set[str], *, fitting: bool) -> Outputs:
        """The named outputs of a batch that metrics need.

        Args:
            batch: The batch.
            needs: Names of the outputs.
            fitting: Whether this is a validation in the course of a fit, where a cheaper search will do.
        """

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        total, settings = self.loss(batch), self.training_settings
        self.log("train/loss", total.detach() / batch.tokens, batch_size=batch.tokens)  # comparable: without penalties
        if settings.l1_penalty or settings.l2_penalty:
            # By each batch's share of the step's tokens, so that a step has it once, of whatever batches it is made.
            total = total + batch.tokens * weight_penalty(self, settings.l1_penalty, settings.l2_penalty)
        # Lightning divides by the accumulated batches, and DDP by the devices.
        return total * (self.trainer.accumulate_grad_batches * self.trainer.world_size / batch.step_tokens)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.update_metrics(batch, fitting=True)

    def on_validation_epoch_end(self) -> None:
        listeners = [] if self.trainer.sanity_checking else self._listeners()
        self.validation_signatures = {}  # until the scores are computed, which some of them tell of
        # The metrics themselves, not their values: Lightning would round those to float32. It computes and resets them.
        for name, metric in self._metrics():
            self.log(f"val/{name}", metric)
            # Here and not when the validation has ended, so that checkpoints written then know of it.
            for monitor, listener in listeners:
                if monitor == f"val/{name}":
                    listener(float(metric.compute()))

    def on_validation_end(self) -> None:
        self.validation_signatures = self.signatures()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["signatures"] = self.validation_signatures or self.signatures()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validation_signatures = checkpoint.get("signatures", {})  # for a fit that ends without validating again

    def update_metrics(self, batch: Any, *, fitting: bool = False) -> Outputs:
        """Adds a batch to every metric; returns the outputs they were given."""
        outputs = self.outputs(batch, {metric.needs for _, metric in self._metrics()}, fitting=fitting)
        self.add_outputs(outputs)
        return outputs

    def add_outputs(self, outputs: Outputs) -> None:
        """Gives outputs to the metrics that need them.

        Raises:
            UserError: A metric needs an output that is not among them.
        """
        for name, metric in self._metrics():
            if metric.needs not in outputs:
                raise UserError(
                    f"model.metrics.{name}: {type(metric).__name__} scores an output {metric.needs!r}, which "
                    f"{type(self).__name__} does not give (it gives: {', '.join(outputs) or 'none of those asked for'})"
                )
            metric.update(**outputs[metric.needs])

    def compute_metrics(self) -> dict[str, Tensor]:
        """The score of every metric over the batches since the last call."""
        scores = {}
        for name, metric in self._metrics():
            scores[name] = metric.compute()
            metric.reset()
        return scores

    def signatures(self) -> dict[str, str]:
        """How each score is computed."""
        return {name: metric.signature() for name, metric in self._metrics()}

    def examples(self, data: Any) -> Iterable[str]:
        """Lines that a fit ends with, to show what the model makes of data it was not trained on; none by default."""
        return ()

    def evaluation_metrics(self) -> dict[str, Callable[..., Metric]]:
        """Scores that ``seqlab evaluate`` adds to those of the run, by name: what makes each; none by default.

        Settings for all of a kind, such as ``tokenize`` and ``lowercase``, are passed to those that take them.
        """
        return {}

    def example_of_tokens(self, batch: Any) -> Tensor | None:
        """Which example of a batch each token of the output ``tokens`` is of, so that each can be scored alone.

        Returns:
            Their numbers within the batch ``[N]``, or None where a batch is a stretch of running text.
        """
        return None

    def engines(self) -> dict[str, list[str]]:
        """The engine that runs each cell of every stack of layers over a sequence, by the fixed table."""
        return {name: stack.engines() for name, stack in self.stacks().items()}

    def cell_origins(self) -> dict[str, str]:
        """The cell of every stack of layers, and the distribution that supplies it, as ``gru of seqlab 0.1.0``."""
        cells = {name: type(stack.cells[0]) for name, stack in self.stacks().items()}
        offers = {name: registry.offer_of(cell) for name, cell in cells.items()}
        return {name: registry.credit(offer) if offer else cells[name].__qualname__ for name, offer in offers.items()}

    def stacks(self) -> dict[str, RecurrentStack]:
        """The stacks of layers by the attribute that holds them: an encoder's is called ``encoder``."""
        return {
            name.removesuffix(".layers").removeprefix("network."): module
            for name, module in self.named_modules()
            if isinstance(module, RecurrentStack)
        }

    @torch.no_grad()
    def score(self, batches: Iterable[Any]) -> Iterator[tuple[Any, Outputs]]:
        """Adds batches to the metrics in evaluation mode, yielding each with its outputs."""
        self.eval()
        for batch in batches:
            yield batch, self.update_metrics(self.transfer_batch_to_device(batch, self.device, 0))

    def make_optimizer(self, parameters: Iterable) -> Optimizer:
        """The optimizer of parameters.

        Raises:
            UserError: An argument of it is wrong, it listens to a score that there is not, or it averages the weights
                beside ``average``.
        """
        try:
            optimizer = self._make_optimizer(parameters)
        except (TypeError, ValueError) as error:  # what torch says of its arguments
            raise UserError(f"model.optimizer: {error}") from error
        name, known = type(optimizer).__name__, [f"val/{metric}" for metric, _ in self._metrics()]
        if isinstance(optimizer, Validated) and optimizer.monitor not in known:
            raise UserError(
                f"model.optimizer: {name} monitors no score of this task: {optimizer.monitor!r}"
                f"{registry.nearest(optimizer.monitor, known)} (there are: {', '.join(known)})"
            )
        if isinstance(optimizer, Averages) and self.average is not None:
            raise UserError(f"model.average: {name} averages the weights itself; leave one of the two out")
        return clipped_before_unscaling(optimizer)

    def configure_callbacks(self) -> list[Callback]:
        return [TakenAverages(self.average)]

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        self.skipped = False
        with suppress(SkipStep):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def on_step_skipped(self) -> None:
        """Gets rid of what must not outlive a step whose loss was no number, such as a state that is carried on;
        nothing by default."""

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if self.training_settings.normalize_gradient is not None:
            normalize_gradients(self.parameters(), self.training_settings.normalize_gradient)
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(trained_parameters(self).values())
        scheduler = self.schedule.configure(optimizer, self.trainer.max_steps)
        config: dict[str, Any] = {"scheduler": scheduler, "interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            # Stepped in on_validation_epoch_end: Lightning counts batches within an epoch, validations may run across.
            config |= {"monitor": self.schedule.monitor, "frequency": MANY, "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def _listeners(self) -> list[tuple[str | None, Callable[[float], None]]]:
        """Who is told the score of a name after each validation."""
        optimizer, scheduler = self.optimizers(use_pl_optimizer=False), self.lr_schedulers()
        listeners: list[tuple[str | None, Callable[[float], None]]] = []
        if isinstance(scheduler, ReduceLROnPlateau):
            listeners.append((self.schedule.monitor, scheduler.step))
        if isinstance(optimizer, Validated):
            listeners.append((optimizer.monitor, optimizer.validated))
        return listeners

    def _metrics(self) -> list[tuple[str, Metric]]:
        return list(self.metrics.items())  # type: ignore[arg-type]
