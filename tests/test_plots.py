"""Text in pictures stands as it is, and panels share a legend."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from seqlab.plots import legend_below
from seqlab.training.curves import draw_curves


def test_one_legend_has_each_label_once() -> None:
    figure = Figure(layout="constrained")
    first, second = figure.subplots(1, 2)
    for axes, labels in ((first, ("lstm", r"a$\frac$")), (second, ("lstm", "gru"))):
        for label in labels:
            axes.plot([0, 1], label=label)
    legend_below(figure, (first, second))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["lstm", r"a\$\frac\$", "gru"]
    legend_below(empty := Figure(layout="constrained"), [empty.subplots()])
    assert not empty.legends


@pytest.mark.parametrize("title", [r"runs/r$\frac$", "price in $", "plain"])
def test_a_run_of_any_name_has_its_curves(tmp_path: Path, title: str) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,epoch,train/loss,val/$x$\n1,0,2.0,\n2,0,1.0,3.5\n", encoding="utf-8")
    draw_curves(metrics, tmp_path / "curves.png", title)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
