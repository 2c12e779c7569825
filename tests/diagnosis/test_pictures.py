"""Pictures of what is odd: names that look like formulas, states that are 0, cells with wide outputs."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.diagnosis import subjects
from seqlab.diagnosis.reports import write
from seqlab.diagnosis.subjects import diagnose_cells


class Idle(RecurrentCell):
    """Has no state to speak of, and outputs that are wider than twice that."""

    gates = ()
    recurrent_gates = ()

    @property
    def output_size(self) -> int:
        return 3 * self.hidden_size

    def step(self, gx: Tensor, state: State) -> State:
        return (0 * state[0],)

    def readout(self, x: Tensor, previous: State, state: State) -> Tensor:
        return torch.cat([x, state[0], x], -1)


@pytest.mark.parametrize("cell", ["elman", "idle"])
def test_everything_is_drawn(cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if cell == "idle":
        monkeypatch.setattr(subjects, "cell_factory", lambda spec: Idle)
    report = diagnose_cells([cell], hidden_size=3, steps=5, rows=2, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = write(report, tmp_path / "diagnosis.json", tmp_path / "d", "runs/$\\frac$ and a $")
    assert all(path.read_bytes()[:4] in (b"\x89PNG", b'{"fo') for path in paths) and len(paths) > 2
