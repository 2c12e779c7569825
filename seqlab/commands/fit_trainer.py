"""The trainer of ``seqlab fit``, with everything that a run adds to Lightning's."""

from typing import TYPE_CHECKING, Any

from seqlab.errors import UserError
from seqlab.runs import Run

if TYPE_CHECKING:
    from seqlab.config import Settings


def make_trainer(run: Run, settings: "Settings") -> tuple[Any, Any]:
    """The trainer of a run, and what measures its speed.

    Args:
        run: The run, whose logs and checkpoints it writes.
        settings: The settings of the run.

    Raises:
        UserError: Batch normalisation is to be synchronised on CPUs.
    """
    from lightning.pytorch.loggers import TensorBoardLogger

    from seqlab.training.checkpoints import AtomicCheckpointIO
    from seqlab.training.guards import Guard
    from seqlab.training.logs import MetricsLog
    from seqlab.training.preflight import Preflight
    from seqlab.training.progress import Progress
    from seqlab.training.saving import checkpoint_callbacks
    from seqlab.training.seeding import SeedSteps
    from seqlab.training.stopping import StopOnSignal
    from seqlab.training.throughput import Throughput

    config, throughput = settings.config, Throughput()
    metrics = MetricsLog(run.metrics, throughput, config.trainer.log_every_n_steps or 50)
    callbacks = [
        Preflight(),
        SeedSteps(config.seed),
        throughput,
        Guard(run.checkpoints, config.training.nonfinite, metrics.every_n_steps),
        metrics,
        Progress(throughput, metrics, config.checkpoint.monitor, config.checkpoint.mode),
        *checkpoint_callbacks(
            run.checkpoints,
            monitor=config.checkpoint.monitor,
            mode=config.checkpoint.mode,
            patience=config.checkpoint.patience,
            every_n_steps=config.checkpoint.every_n_steps,
            every_n_minutes=config.checkpoint.every_n_minutes,
        ),
        StopOnSignal(),
    ]
    trainer = settings.make_trainer(
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=TensorBoardLogger(run.path, name=run.logs.name, version=""),
        default_root_dir=run.path,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if config.trainer.sync_batchnorm and trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        raise UserError("trainer.sync_batchnorm needs GPUs: torch does not synchronise batch normalisation on CPUs")
    return trainer, throughput
