"""TensorBoard's events: those of steps that happen again go, and all others stay."""

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from seqlab.training.events import trim_events


def test_events_of_steps_that_happen_again_are_dropped(tmp_path: Path) -> None:
    """Of all files, whatever wrote them; half a record at the end goes as well, and what stays is as it was."""
    folder = tmp_path / "logs"
    for first in (0, 3):
        with SummaryWriter(str(folder), filename_suffix=f".{first}") as writer:
            for step in range(first, first + 4):
                writer.add_scalar("loss", step / 3, step)
                writer.add_text("note", f"at {step}", step)
    untouched, cut = sorted(folder.iterdir(), key=lambda path: path.suffix)
    before = untouched.read_bytes()
    cut.write_bytes(cut.read_bytes() + before[:17])
    trim_events(folder, 4)
    assert untouched.read_bytes() == before and len(list(folder.iterdir())) == 2
    events = [event for event in LegacyEventFileLoader(str(cut)).Load() if event.HasField("summary")]
    assert [(event.step, event.summary.value[0].tag.partition("/")[0]) for event in events] == [
        (3, "loss"),
        (3, "note"),
    ]
    assert events[0].summary.value[0].simple_value == 1.0
    trim_events(tmp_path / "nothing", 4)
