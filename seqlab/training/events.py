"""TensorBoard's events on disk: taken back to the step that a run goes on from."""

from pathlib import Path
from typing import Any

from seqlab.files import replacing


def trim_events(folder: Path, step: int) -> None:
    """Drops the events of optimizer steps that will happen again.

    TensorBoard can be told to hide them (``purge_step``), but they stay in its files, where other readers find a step
    twice. Lightning writes what belongs to a step under the number of steps before it; so it does with a validation
    between the batches that a step accumulates, which goes with that step, and with one that follows it.

    Args:
        folder: Folder of the event files; subfolders as well, which plugins may write to.
        step: Optimizer steps that stay.
    """
    files = sorted(path for path in folder.rglob("*.tfevents.*") if path.is_file())
    if not files:
        return
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    for path in files:
        records = list(RawEventFileLoader(str(path)).Load())
        kept = [record for record in records if _happened(Event.FromString(record), step)]
        if len(kept) < len(records):
            with replacing(path) as file:
                writer = RecordWriter(file)
                for record in kept:
                    writer.write(record)


def _happened(event: Any, step: int) -> bool:
    return not event.HasField("summary") or event.step < step
