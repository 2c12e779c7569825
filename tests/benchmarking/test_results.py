"""Ratios, their spread, the table and the picture, from times that were made up."""

from pathlib import Path

import pytest

from seqlab.benchmarking.results import FORWARD, TRAINING, LeftOut, Result, Size, Spread, draw, table

SMALL, LARGE = Size(rows=3, hidden=5, steps=7, input=5), Size(rows=30, hidden=50, steps=70, input=11)


def make(cell="gru", engine="plain", seconds=(2.0, 3.0, 8.0), reference_seconds=(1.0, 2.0, 2.0), **changes) -> Result:
    fields = {"reference": "nn.GRU", "chosen": False, "size": SMALL, "work": TRAINING, "memory": 3 * 2**20}
    return Result(cell=cell, engine=engine, seconds=seconds, reference_seconds=reference_seconds, **fields | changes)


RESULTS = [
    make("nn.GRU", "torch", (1.0, 2.0, 2.0)),
    make(),
    make(engine="native", seconds=(0.9, 2.2, 2.1), chosen=True, memory=1536),
    make(size=LARGE, work=FORWARD, seconds=(0.0012, 0.0013, 0.0011), reference_seconds=(0.001, 0.001, 0.001)),
]


def test_a_ratio_is_taken_within_a_round() -> None:
    result = make()
    assert result.ratios == (2.0, 1.5, 4.0)
    assert Spread.of(result.ratios).median == 2.0, "not 3 / 2, the ratio of the medians"
    assert result.milliseconds == 3000
    assert result.tokens_per_second == 7.0, "3 rows x 7 steps in 3 s"


def test_rounds_that_do_not_match_are_no_ratio() -> None:
    with pytest.raises(ValueError):
        _ = make(reference_seconds=(1.0, 2.0)).ratios


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((4.0, 1.0, 10.0, 2.0, 3.0), (1, 2, 3, 4, 10)),
        ((1.0, 2.0), (1, 1.25, 1.5, 1.75, 2)),
        ((7.0,), (7, 7, 7, 7, 7)),
    ],
)
def test_spread(values: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert Spread.of(values) == expected


def test_the_table() -> None:
    assert table(RESULTS).splitlines() == [
        "3 rows x 5 hidden x 7 steps, input 5: training step",
        "cell    engine       ms              ratio  compared with   tokens/s   memory",
        "nn.GRU  torch      2000                  1                        10  3.0 MiB",
        "gru     plain      3000  2.00 [1.75, 3.00]  nn.GRU                 7  3.0 MiB",
        "gru     native *   2100  1.05 [0.98, 1.08]  nn.GRU                10  1.5 KiB",
        "",
        "30 rows x 50 hidden x 70 steps, input 11: forward",
        "cell    engine       ms              ratio  compared with   tokens/s   memory",
        "gru     plain     1.200  1.20 [1.15, 1.25]  nn.GRU         1,750,000  3.0 MiB",
    ]


def test_as_json() -> None:
    report = make().as_json()
    assert report["rounds"] == {
        "seconds": (2.0, 3.0, 8.0),
        "reference_seconds": (1.0, 2.0, 2.0),
        "ratios": (2.0, 1.5, 4.0),
    }
    assert report["ratio"] == {"smallest": 1.5, "lower": 1.75, "median": 2.0, "upper": 3.0, "largest": 4.0}
    assert report["size"] == {"rows": 3, "hidden": 5, "steps": 7, "input": 5}
    assert (report["milliseconds"], report["tokens_per_second"], report["peak_memory_bytes"]) == (3000, 7, 3145728)


def test_what_was_left_out_reads_as_a_line() -> None:
    assert str(LeftOut("rrnn", "native", "it cannot")) == "rrnn, native: it cannot"
    assert str(LeftOut("rrnn", "", "it cannot")) == "rrnn: it cannot"
    assert LeftOut("rrnn", "native", "it cannot", SMALL).as_json()["size"]["hidden"] == 5


def test_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    draw(RESULTS, tmp_path / "bench.png", "a title")
    figure = pyplot.gcf()
    monkeypatch.undo()
    pyplot.close(figure)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    first, second = figure.axes
    assert first.get_title(loc="left") == "3 rows x 5 hidden x 7 steps, input 5: training step"
    assert [label.get_text() for label in first.get_yticklabels()] == ["gru  plain", "gru  native"], "torch is the line"
    ends = [bar.get_x() + bar.get_width() for axis in (first, second) for bar in axis.patches]
    assert ends == pytest.approx([2.0, 1.05, 1.2])
    assert len({bar.get_facecolor() for bar in first.patches}) == 2, "the chosen engine stands out"
    whiskers = [tuple(line.get_xdata()) for line in first.lines if len(set(line.get_xdata())) == 2]
    assert whiskers == [(1.75, 3.0), pytest.approx((1.0 * (0.9 + 1.05) / 2, (1.05 + 1.1) / 2))]
