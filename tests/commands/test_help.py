"""The help of every command at 80 columns, and the one line that a slip gets: what is wrong, where, and what to do."""

from pathlib import Path

import pytest

from seqlab.cli import HEAVY, LIGHT, main

ACTIONS = [[], *([name] for name in {**HEAVY, **LIGHT}), ["new", "cell"], ["cells", "show"], ["recipes", "copy"]]


@pytest.mark.parametrize("argv", ACTIONS, ids=" ".join)
def test_no_line_of_help_is_too_long(
    argv: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    try:
        assert main([*argv, "-h"]) == 0
    except SystemExit as end:
        assert not end.code
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(f"usage: {' '.join(['seqlab', *argv])} ") and text.count("usage: ") == 1
    assert "\nactions:\n" in text or all(line.strip() for line in text.strip().split("\n\n"))


def test_usage_is_broken_between_flags(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["evaluate", "-h"])
    assert capsys.readouterr().out.startswith(
        "usage: seqlab evaluate RUN [RUN ...] [--split test|val] [--beam N]\n"
        "                       [--data.test NAME] [--name LABEL] [--GROUP.KEY VALUE ...]\n\n"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("fit --recipee translation", "unrecognized argument: --recipee; did you mean '--recipe'? (see seqlab fit -h)"),
        ("fit translation", "which recipe? If it is translation: --recipe translation"),
        ("fit mine.yaml --run x", "which recipe? If it is mine.yaml: --recipe mine.yaml"),
        ("fit --recipe translation --reume", "unrecognized argument: --reume; did you mean '--resume'?"),
        ("fit --recipe translation --run", "argument --run: it needs a value (see seqlab fit -h)"),
        ("fit --recipe translation.yml", "no recipe file translation.yml (an installed recipe has no ending: seqlab"),
        ("evaluate runs/a --beam three", "argument --beam: 'three' is not a whole number (see seqlab evaluate -h)"),
        ("evaluate runs/a --beem 3", "unrecognized arguments: --beem 3; did you mean '--beam'? (see seqlab evaluate"),
        ("evaluate runs/a --split tset", "(choose from 'test', 'val'); did you mean 'test'? (see seqlab evaluate -h)"),
        (
            "translate file.txt",
            "file.txt is a file, not a run: text comes from stdin, as in seqlab translate RUN < file",
        ),
        ("report nowhere", "nowhere does not exist: give the directory of a run or a comparison"),
        ("new cell mine --int x", "unrecognized arguments: --int x; did you mean '--into'?"),
        ("cells gru", "gru alone says not what to do with it: seqlab cells show gru"),
        ("cells shw gru", "argument ACTION: invalid choice: 'shw' (choose from 'show'); did you mean 'show'?"),
        ("cells show", "the following arguments are required: NAME (see seqlab cells show -h)"),
        ("recipes translation", "translation alone says not what to do with it: seqlab recipes show translation"),
        ("recipes copy translation", "the following arguments are required: FILE (see seqlab recipes copy -h)"),
        ("recipes copy translation no/x.yaml", "there is no folder no to write x.yaml into"),
    ],
)
def test_a_slip_gets_one_line(
    line: str, told: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("text\n")
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith(f"seqlab {line.split()[0]}: error: ") and told in captured.err
