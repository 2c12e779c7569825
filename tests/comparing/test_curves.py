"""Learning curves of several seeds as a band."""

from pathlib import Path

import numpy as np
import pytest

from seqlab.comparing.curves import STEPS, TIME, Curve, band, draw_curves, times
from seqlab.comparing.runs import Entry
from seqlab.runs import Run


def test_a_band_is_of_the_steps_that_all_have() -> None:
    first = Curve({10: 1.0, 20: 2.0, 30: 3.0}, {10: 5.0, 20: 3.0, 30: 2.0})
    second = Curve({10: 3.0, 20: 6.0, 25: 7.0}, {10: 7.0, 20: 1.0, 25: 0.0})
    found = band([first, second])
    assert found.x.tolist() == [2.0, 4.0] and found.mean.tolist() == [6.0, 2.0]
    assert found.least.tolist() == [5.0, 1.0] and found.most.tolist() == [7.0, 3.0]


def test_without_a_step_in_common_it_is_the_longest() -> None:
    found = band([Curve({1: 1.0}, {1: 5.0}), Curve({2: 2.0, 3: 3.0}, {2: 4.0, 3: 6.0})])
    assert found.x.tolist() == [2.0, 3.0] and found.least.tolist() == found.most.tolist() == [4.0, 6.0]


def test_times() -> None:
    rows = [{"step": "10"}, {"step": "40"}]
    assert times(rows, 40, 120.0) == [0.5, 2.0]
    assert times(rows, None, None) == [] == times([], 40, 120.0)
    assert times([{"step": "10", "seconds": "90.0"}, {"step": "40", "seconds": "240"}], 40, 120.0) == [1.5, 4.0]


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """Two runs that have logged, and one that has not."""
    made = []
    for number, (cell, seed) in enumerate((("gru", 1), ("gru", 2), ("lstm", 1))):
        run = Run(tmp_path / cell / f"seed-{seed}")
        made.append(Entry(cell, seed, run, (), "x"))
        if cell == "gru":
            run.logs.mkdir(parents=True)
            run.metrics.write_text(
                f"step,train/loss,val/perplexity\n5,4,\n10,{3 - number},\n10,,{40 - number}\n20,,7\n"
            )
    return made


def test_pictures(tmp_path: Path, entries: list[Entry]) -> None:
    """Both are drawn, are not blank, and differ; runs without a log are left out."""
    from matplotlib.image import imread

    runs = [{"seed": seed, "steps": 20, "seconds": 30.0 * seed} for seed in (1, 2)]
    cells = [{"cell": "gru", "runs": runs}, {"cell": "lstm", "runs": [{"seed": 1, "steps": None, "seconds": None}]}]
    results = {"recipe": "x", "monitor": "val/perplexity", "cells": cells}
    assert draw_curves(entries, results, tmp_path) == [tmp_path / STEPS, tmp_path / TIME]
    steps, time = (imread(tmp_path / name) for name in (STEPS, TIME))
    blue = np.abs(steps[..., :3] - np.array([0x00, 0x72, 0xB2]) / 255).max(-1) < 0.02
    assert blue.sum() > 300 and not np.array_equal(steps, time)
    assert draw_curves(entries[2:], results, tmp_path) == []
