"""Help of a recipe's settings: readable on a narrow screen, complete, and without words of the libraries."""

import re

import pytest

from seqlab import registry
from seqlab.cli import main

HEADINGS = ["--data.*", "--data.tokenizer.*", "--model.*", "--training.*", "--checkpoint.*", "--trainer.*"]


@pytest.fixture
def screen(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """The help of a recipe on a screen of so many columns."""

    def show(flag: str, columns: int, recipe: str = "translation") -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as ended:
            main(["fit", "--recipe", recipe, flag])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("recipe", ["translation", "language-model"])
def test_the_short_help(screen, columns: int, recipe: str) -> None:
    text = screen("-h", columns, recipe)
    assert max(map(len, text.splitlines())) <= min(columns, 100)
    headings = [line.split()[0] for line in text.splitlines() if line.startswith("--")]
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS
    for word in (
        "Namespace",
        "Union",
        "Literal",
        "class_path",
        ":class:",
        "``",
        "file locations",
        " CONFIG\n",
        "<class",
    ):
        assert word not in text
    assert len(re.findall(r"^  --trainer\.", text, re.MULTILINE)) == 10
    assert re.search(
        r"--trainer\.max_steps N\n +Optimizer steps after which training ends; -1: none\. \(default:", text
    )


def test_what_a_setting_takes_and_its_default(screen) -> None:
    text = " ".join(screen("-h", 80).split())
    assert "--model.bidirectional true|false Run the encoder in both directions. (default: true)" in text
    assert "--model.average CLASS A running average" in text and "One of EMA, LastN; --model.average.help CLASS" in text
    assert "(default: AdamW lr=0.002, weight_decay=0.0001, fused=true)" in text
    assert "(default: bleu: BLEU; perplexity: Perplexity; accuracy: Accuracy)" in text
    assert "--checkpoint.mode max|min" in text and "--trainer.accelerator TEXT What to train on" in text


def test_the_arguments_of_a_class(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--recipe", "translation", "--model.optimizer.help", "SGD"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.optimizer.lr X learning rate (default: 0.001)" in text
    assert "--model.optimizer.momentum X momentum factor (default: 0)" in text and "Tensor" not in text


def test_the_whole_help_has_every_setting(screen) -> None:
    from seqlab.config import parse

    config = parse(registry.recipe_path("translation"), [], prog="x").config.as_dict()
    text = screen("--help", 120)
    for group in ("data", "model", "training", "checkpoint", "trainer"):
        for name in config[group].keys() - {"seed"}:  # the data's is the run's
            assert re.search(rf"^ *--{group}\.{name}[. *]", text, re.MULTILINE), name
    assert ":class:" not in text and "``" not in text
