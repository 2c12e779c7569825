"""What distinguishes two runs, to the last bit; but for times, memory and places nothing may."""

import csv
import json
from pathlib import Path
from typing import Any

import torch

from seqlab.training.logs import MEASURED as COLUMNS

MEASURED = {*COLUMNS, "training_seconds", "wall_seconds", "tokens_per_second", "peak_memory_bytes", "Throughput"}
"""Columns, fields and callbacks that measure time or memory."""
UNREAD = {"loops", "current_score"}
"""What Lightning notes for itself: the step, the epoch and the position in the data are compared beside it."""


def differences(expected: Path, found: Path) -> list[str]:
    """Where a run differs from another: log, checkpoints and summary; an empty list if they are the same."""
    told = [*_logs(expected, found)]
    for name in sorted({path.name for run in (expected, found) for path in (run / "checkpoints").iterdir()}):
        # The text of the run's place is all that may differ in what is neither a number nor measured.
        one, other = (_contents(run, name) for run in (expected, found))
        told += values_differ(one, other, name)
    one, other = (json.loads((run / "summary.json").read_text(encoding="utf-8")) for run in (expected, found))
    return [*told, *values_differ(one, other, "summary.json")]


def values_differ(one: Any, other: Any, where: str) -> list[str]:
    """The places at which two nested values differ."""
    if type(one) is not type(other):
        return [f"{where}: {_short(one)} is now {_short(other)}"]
    if isinstance(one, dict):
        told = [f"{where}: {name!r} is in one alone" for name in one.keys() ^ other.keys()]
        shared = [name for name in one if name in other and name not in MEASURED | UNREAD]
        return [*told, *(text for name in shared for text in values_differ(one[name], other[name], f"{where}.{name}"))]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} values are now {len(other)}"]
        pairs = zip(one, other, strict=True)
        return [text for at, pair in enumerate(pairs) for text in values_differ(*pair, f"{where}[{at}]")]
    same = same_bits(one, other) if isinstance(one, torch.Tensor) else repr(one) == repr(other)  # NaN is NaN
    return [] if same else [f"{where}: {_short(one)} is now {_short(other)}"]


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same to the last bit; NaN is NaN, 0 is not -0."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    return torch.equal(*(tensor.detach().flatten().contiguous().view(torch.uint8) for tensor in (one, other)))


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's log, without what measures time; none if there is no log."""
    path = run / "logs" / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: row[name] for name in row if name not in MEASURED} for row in csv.DictReader(file)]


def _logs(expected: Path, found: Path) -> list[str]:
    one, other = rows(expected), rows(found)
    trained = [row["step"] for row in other if row["train/loss"]]
    told = [f"metrics.csv: step {step} is there twice" for step in sorted({s for s in trained if trained.count(s) > 1})]
    if len(one) != len(other):
        told.append(f"metrics.csv: {len(one)} rows are now {len(other)}")
    for number, (left, right) in enumerate(zip(one, other, strict=False), 2):
        told += [
            f"metrics.csv, line {number}, {name}: {left.get(name)!r} is now {right.get(name)!r}"
            for name in {**left, **right}
            if left.get(name) != right.get(name)
        ]
    return told


def _contents(run: Path, name: str) -> Any:
    path = run / "checkpoints" / name
    return _without_place(torch.load(path, weights_only=True), str(run)) if path.is_file() else None


def _without_place(value: Any, place: str) -> Any:
    """A value with another text for the run's own place."""
    if isinstance(value, dict):
        return {_without_place(name, place): _without_place(part, place) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_place(part, place) for part in value]
    return value.replace(place, "RUN") if isinstance(value, str) else value


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor) and value.numel() > 4:
        return f"a tensor {list(value.shape)} with the sum {float(value.double().sum()):.17g}"
    return repr(value)[:80]
