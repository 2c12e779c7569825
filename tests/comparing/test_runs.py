"""How far a run is, what became of it, and what takes it on."""

import json
from pathlib import Path

import pytest

from seqlab.comparing.runs import Entry, has_failed, last_words
from seqlab.runs import Run

FLAGS = ("--model.cell", "gru", "--seed", "3")
DIVERGED = "the loss is nan at step 7: no checkpoint was written yet; try a lower learning rate"


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Entry("gru", 3, Run(tmp_path / "runs" / "gru" / "seed-3"), FLAGS, "translation")


def said(entry: Entry, *lines: str) -> None:
    entry.log.parent.mkdir(parents=True, exist_ok=True)
    entry.log.write_text("".join(f"{line}\n" for line in ("--- seqlab fit", *lines)))


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_from_nothing_to_the_end(entry: Entry) -> None:
    """It begins; it was killed early and begins again; it goes on from a checkpoint; it has ended."""
    fresh = ["fit", "--recipe", "translation", "--run", str(entry.run)]
    assert entry.arguments() == [*fresh, *FLAGS]
    put(entry.run.config)
    assert entry.arguments() == [*fresh, "--overwrite", *FLAGS]
    put(entry.run.previous)
    assert entry.arguments() == ["fit", "--run", str(entry.run), "--resume"]
    assert entry.status() == ("unfinished", "")
    put(entry.run.summary, "{}")
    assert entry.status() == ("finished", "")
    assert entry.judge(0) == ("finished", "")


@pytest.mark.parametrize(
    "line, status",
    [
        (DIVERGED, "diverged"),
        ("the gradient is not finite at step 3: the last good checkpoint is x", "diverged"),
        ("weight network.output.weight is no longer finite at step 3", "diverged"),
        ("the 16-bit gradient is not finite, however small its scale, for 100 steps in a row at step 200", "diverged"),
        ("there is no corpus train", "failed"),
    ],
)
def test_an_error_is_remembered(entry: Entry, line: str, status: str) -> None:
    said(entry, "data: 5 pairs", f"seqlab fit: error: {line}")
    assert entry.judge(2) == (status, line) == entry.status()
    assert json.loads(entry.note.read_text()) == {"status": status, "reason": line}


def test_a_traceback_is_told_by_its_last_line(entry: Entry) -> None:
    said(entry, "Traceback (most recent call last):", '  File "x", line 3', "KeyError: 'h'", "")
    assert entry.judge(1) == ("failed", "KeyError: 'h'")


def test_silence_is_told_with_the_code(entry: Entry) -> None:
    said(entry)
    assert entry.judge(5) == ("failed", f"its fit ended with code 5, see {entry.log}")


@pytest.mark.parametrize(
    "code, told",
    [(-9, "ended by signal 9"), (-15, "stopped"), (143, "stopped"), (130, "stopped"), (139, "ended by signal 11")],
)
def test_a_signal_is_no_failure(entry: Entry, code: int, told: str) -> None:
    said(entry, f"seqlab fit: error: {DIVERGED}")
    assert entry.judge(code) == ("unfinished", told)
    assert entry.status() == ("unfinished", "")


def test_a_run_that_was_killed_after_its_last_step_has_ended(entry: Entry) -> None:
    said(
        entry,
        "seqlab fit: error: nothing is left to do at step 20: the run has had trainer.max_steps, 20; give it more",
    )
    assert entry.judge(2) == ("finished", "") == entry.status()


def test_a_damaged_note_is_none(entry: Entry) -> None:
    put(entry.note, "{")
    assert entry.status() == ("unfinished", "")


def test_last_words_are_of_the_last_process(entry: Entry) -> None:
    said(entry, f"seqlab fit: error: {DIVERGED}", "--- seqlab fit --resume", "step 20")
    assert last_words(entry.log) == "step 20" and not has_failed(entry.log)
    said(entry, "seqlab fit: error: x")
    assert has_failed(entry.log)
    assert last_words(entry.log.with_name("none")) == "" and not has_failed(entry.log.with_name("none"))


def test_who_holds_a_run(entry: Entry) -> None:
    assert entry.holder() is None
    with entry.run.lock():
        assert entry.holder() is not None
    assert entry.holder() is None
