"""Signals that end a fit: between two optimizer steps, on all devices after the same one, which is saved."""

import logging
import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from seqlab.errors import Stopped

log = logging.getLogger("seqlab")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Ctrl-C; the end of a job, by whoever runs it; its end soon, as SLURM may announce it; the end of a terminal."""


class StopOnSignal(Checkpoint):  # one of those that the trainer calls last, when scores have been looked at
    """Ends a fit that was sent a signal after the optimizer step that it is in, and saves that.

    With several devices, whichever of them got the signal, all end after the same step: after each step they agree on
    it. A validation that follows a step belongs to it, and is finished first. A second signal ends the fit at once, as
    of the last checkpoint.

    A signal that the process was started to ignore, as ``nohup`` does with SIGHUP, stays ignored.
    """

    def __init__(self) -> None:
        self._received = 0
        self._step = 0

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: Lightning sets handlers of its own, which wait for other devices wherever these may be. It puts
        # back those that were there before, at the end and after an error.
        self._listen()
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop
        if not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):  # type: ignore[arg-type]
            self._stop_if_asked(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._stop_if_asked(trainer, pl_module)

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            raise KeyboardInterrupt  # which Lightning ends the processes of all devices for
        self._received = number
        log.info("%s: the fit ends after this step; once more, and it ends at once", signal.Signals(number).name)

    def _stop_if_asked(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step
        if step == self._step:  # within accumulated batches
            return
        self._step = step
        number = self._received
        if trainer.world_size > 1:
            received = torch.tensor(number, device=trainer.strategy.root_device)
            number = int(trainer.strategy.reduce(received, reduce_op="max"))
        if number and not trainer.should_stop and step != trainer.max_steps:  # else it ends anyway
            for callback in trainer.checkpoint_callbacks:
                callback.on_train_end(trainer, pl_module)
            raise Stopped(signal.Signals(number), step)
