"""Tables of scores for a terminal."""

import pytest

from seqlab.evaluation.tables import WIDTH, folded, scores_table
from seqlab.terminal import table

BLEU = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
TER = "nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0"


def scores(**signatures: str) -> dict[str, dict]:
    interval = {"mean": 3.0, "half_width": 0.25, "share": 0.95, "signature": "bs:10|seed:1|unit:sentence"}
    return {
        name: {"value": 37.5, "signature": signature, "interval": interval} for name, signature in signatures.items()
    }


def test_a_line_for_each_score() -> None:
    plain = {"bleu": {"value": 2 / 3, "signature": BLEU}, "a": {"value": 12.0, "signature": ""}}
    assert scores_table("test", plain) == [f"test/bleu  0.667  {BLEU}", "test/a     12.00"]
    assert scores_table("val", scores(bleu=BLEU)) == [f"val/bleu  37.50 ± 0.25  {BLEU}"]


@pytest.mark.parametrize("name", ["ter", "brevity_penalty", "a_name_that_is_longer_than_that_of_most_scores"])
@pytest.mark.parametrize("label", ["test", "flickr-2016-beam-10"])
def test_no_line_is_too_long_and_nothing_but_versions_is_left_out(label: str, name: str) -> None:
    lines = scores_table(label, scores(bleu=BLEU, **{name: TER}))
    assert max(map(len, lines)) <= WIDTH
    assert TER.replace("|version:2.6.0", "") in "".join(line.strip() for line in lines)
    assert all(("version" in line) == ("version" in lines[0]) for line in lines if "nrefs" in line)


def test_a_long_signature_is_folded_at_its_bars() -> None:
    signature = "|".join(f"part{number}:value{number}" for number in range(12))
    lines = folded(signature)
    assert len(lines) == 2 and max(map(len, lines)) <= WIDTH
    assert lines[0].endswith("|") and "".join(line.strip() for line in lines) == signature
    (long,) = folded("x" * 150)
    assert long.strip() == "x" * 150


def test_a_narrow_terminal_has_narrow_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    lines = scores_table("test", scores(bleu=BLEU, a_name_of_some_length=TER))
    assert max(map(len, lines)) <= 60 and BLEU.replace("|version:2.6.0", "") in lines[1]


def test_columns() -> None:
    assert table([["a", "bcd", ""], ["ef", "g", "h"]], None) == ["a   bcd", "ef  g    h"]
