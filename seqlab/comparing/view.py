"""What a person sees while the runs of a comparison train."""

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from seqlab.comparing.runs import Entry, Status
from seqlab.score_text import score_text
from seqlab.training.logs import read_rows


class View:
    """A bar for each run that trains, and a line for each that begins or ends; without a terminal there are lines for
    validations too, and no bars.

    Args:
        total: Runs of the comparison.
        done: Those that have ended before.
        monitor: The score that is shown.
        steps: For each seed the optimizer steps of its runs; 0 if that is open.
    """

    def __init__(self, total: int, done: int, monitor: str, steps: Mapping[int, int]):
        self.total, self.done, self.monitor, self.steps = total, done, monitor, steps
        self._bars: dict[str, tuple[Entry, tqdm]] = {}
        self._seen: dict[str, tuple[float, int]] = {}
        """When a run's log was last written, and the last step whose score was told."""

    def say(self, line: str) -> None:
        """Writes a line above the bars."""
        tqdm.write(line, file=sys.stderr)

    def begin(self, entry: Entry) -> None:
        """A run begins, or goes on."""
        rows = read_rows(entry.run.metrics) if entry.run.is_resumable() else []
        told = [int(float(row["step"])) for row in rows if self.monitor in row]
        self._seen[str(entry)] = (0.0, told[-1] if told else -1)
        self.say(f"{entry}: {'goes on' if entry.run.is_resumable() else 'begins'}")
        taken = {abs(bar.pos) for _, bar in self._bars.values() if not bar.disable}
        bar = tqdm(
            total=self.steps.get(entry.seed) or None,
            desc=str(entry),
            position=next(place for place in range(len(taken) + 1) if place not in taken),
            leave=False,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}",
        )
        self._bars[str(entry)] = (entry, bar)

    def poll(self) -> None:
        """Looks at the logs of the runs that train."""
        for name, (entry, bar) in self._bars.items():
            try:
                written = entry.run.metrics.stat().st_mtime
            except OSError:
                continue
            before, told = self._seen[name]
            if written == before:
                continue
            rows = [row for row in read_rows(entry.run.metrics) if str(row.get("step", "")).isdigit()]
            scored = [row for row in rows if self.monitor in row]
            for row in scored:
                if bar.disable and int(row["step"]) > told:
                    self.say(f"{entry}: step {self._of(entry, int(row['step']))}, {self._score(row)}")
            self._seen[name] = (written, max([told, *(int(row["step"]) for row in scored)]))
            if rows and not bar.disable:
                bar.set_postfix_str(self._score(scored[-1]) if scored else "", refresh=False)
                bar.update(int(rows[-1]["step"]) - bar.n)

    def end(self, entry: Entry, status: Status, reason: str) -> None:
        """A run has ended."""
        self.poll()
        _, bar = self._bars.pop(str(entry))
        bar.close()
        self.done += status != "unfinished"
        self.say(f"{entry}: {status}{f': {reason}' if reason else ''} ({self.done} of {self.total})")

    def close(self) -> None:
        """Removes the bars."""
        for _, bar in self._bars.values():
            bar.close()

    def _of(self, entry: Entry, step: int) -> str:
        steps = self.steps.get(entry.seed)
        return f"{step:,} of {steps:,}" if steps else f"{step:,}"

    def _score(self, row: Mapping[str, Any]) -> str:
        return f"{self.monitor} {score_text(float(row[self.monitor]))}"
