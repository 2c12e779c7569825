"""From the flags of a comparison to its plan, and what is wrong with them."""

from pathlib import Path

import pytest

from seqlab.comparing.plan import (
    Asked,
    Plan,
    check_flags,
    check_same,
    folder_names,
    read_cells,
    read_number,
    read_plan,
    read_seeds,
)
from seqlab.errors import UserError

ASKED = Asked("translation", ("gru", "rrnn:feedback=updated"), (4, 7), {"steps": 1234567}, 10**6, ("--data.train", "x"))


def plan(asked: Asked = ASKED) -> Plan:
    return Plan(
        asked,
        "abc",
        "val/bleu",
        "max",
        ["bleu"],
        "tokens",
        "test",
        {seed: ["--trainer.max_steps", "5"] for seed in asked.seeds},
        {cell: {"model.hidden_size": 3 + number} for number, cell in enumerate(asked.cells)},
        {"steps": 1234567},
    )


def test_commas_part_cells_and_not_their_options() -> None:
    text = "gru, rrnn:feedback=updated,activation=relu,lstm,mogrifier-lstm:rounds=3"
    assert read_cells(text) == ("gru", "rrnn:feedback=updated,activation=relu", "lstm", "mogrifier-lstm:rounds=3")


@pytest.mark.parametrize(
    "text, told",
    [
        ("gru,lstm,elmann,jordan", "no cell named 'elmann'; did you mean 'elman'?"),
        ("gru,lstm,gru", "--cells has gru twice"),
        ("rrnn:feedback=main,init=torch,rrnn:init=torch,feedback=main", "twice, as rrnn:feedback=main,init=torch"),
        (" , ", "--cells names no cell"),
        ("gru,rrnn:feedback", "'feedback' is not OPTION=VALUE"),
    ],
)
def test_wrong_cells(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        read_cells(text)
    assert told in str(error.value)


def test_seeds() -> None:
    assert read_seeds("3") == (1, 2, 3)
    assert read_seeds("4,7") == (4, 7)
    assert read_seeds("4,") == (4,)
    assert read_seeds("0,5") == (0, 5)


@pytest.mark.parametrize(
    "text, told",
    [
        ("0", "--seeds 0: there must be at least 1"),
        ("-1", "give how many, such as 3, or which, such as 4,7"),
        ("many", "give how many"),
        ("", "give how many"),
        (",", "give how many"),
        ("3,3", "has a seed twice"),
        ("1,4294967296", "must be between 0 and 4294967295"),
        ("100000", "at most 1,000"),
    ],
)
def test_wrong_seeds(text: str, told: str) -> None:
    with pytest.raises(UserError, match=r"^--seeds ") as error:
        read_seeds(text)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "text, value", [("5M", 5_000_000), ("300k", 300_000), ("1234567", 1234567), ("1.5m", 1_500_000), ("2e6", 2_000_000)]
)
def test_numbers(text: str, value: int) -> None:
    assert read_number("parameters", text, 10**9) == value


def test_minutes_need_not_be_whole() -> None:
    assert read_number("minutes", "0.5", 100, whole=False) == 0.5


@pytest.mark.parametrize("text", ["0", "-5", "5X", "nan", "inf", "", "0.5", "2G"])
def test_wrong_numbers(text: str) -> None:
    with pytest.raises(UserError, match=f"--steps {text}: give a whole number above 0 and at most 1,000,000,000"):
        read_number("steps", text, 10**9)


@pytest.mark.parametrize(
    "flags, budget, told",
    [
        (["--seed", "3"], {}, "--seed is set by the comparison: give --seeds"),
        (["--model.cell=gru"], {}, "--model.cell is set by the comparison: give --cells"),
        (["--trainer.max_steps", "5"], {"steps": 7}, "two budgets, --steps and --trainer.max_steps"),
        (["--trainer.max_time=00:00:01:00"], {"tokens": 7}, "two budgets, --tokens and --trainer.max_time"),
        (["--model.encoder_cell", "gru", "--model.decoder_cell", "gru"], {}, "leave --cells without effect"),
    ],
)
def test_flags_that_contradict(flags: list[str], budget: dict[str, float], told: str) -> None:
    with pytest.raises(UserError) as error:
        check_flags(flags, budget)
    assert told in str(error.value)


def test_flags_that_do_not() -> None:
    check_flags(["--trainer.max_steps", "5", "--model.encoder_cell", "gru"], {})
    check_flags(["--trainer.max_steps", "5"], {"minutes": 3})  # where a schedule ends


def test_folders_have_names_of_their_own() -> None:
    cells = ("rrnn:feedback=updated", "rrnn-feedback-updated", "torchrecurrent/atr", "GRU", "gru")
    names = folder_names(cells)
    assert names["rrnn:feedback=updated"] == "rrnn-feedback-updated"
    assert names["torchrecurrent/atr"] == "torchrecurrent-atr"
    assert len({name.lower() for name in names.values()}) == len(cells)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan().write(tmp_path)
    assert read_plan(tmp_path) == plan()


def test_flags_of_a_fit() -> None:
    flags = plan().flags("rrnn:feedback=updated", 7)
    sized = ["--model.cell", "rrnn:feedback=updated", "--model.hidden_size", "4"]
    assert flags == ["--data.train", "x", *sized, "--trainer.max_steps", "5", "--seed", "7"]
    own = plan(Asked(**{**vars(ASKED), "parameters": None})).flags("gru", 4)
    assert "--model.hidden_size" not in own


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"recipe": "multi30k"}, "its recipe is translation, not multi30k"),
        ({"cells": ("gru", "lstm")}, "its cells are gru,rrnn:feedback=updated, not gru,lstm"),
        ({"seeds": (1, 2)}, "its seeds are 4,7, not 1,2"),
        ({"budget": {"minutes": 2}}, "its budget is 1,234,567 steps, not 2 minutes"),
        ({"budget": {}}, "its budget is 1,234,567 steps, not the recipe's own"),
        ({"parameters": None}, "its parameters are 1000000, not the recipe's own"),
        ({"flags": ("--data.train", "y")}, "its flags are --data.train x, not --data.train y"),
    ],
)
def test_another_comparison(tmp_path: Path, changed: dict, told: str) -> None:
    with pytest.raises(UserError) as error:
        check_same(tmp_path, plan(), Asked(**{**vars(ASKED), **changed}), "abc")
    assert str(error.value) == f"{tmp_path} holds another comparison: {told}; take another --out DIR"


def test_a_recipe_that_has_changed(tmp_path: Path) -> None:
    check_same(tmp_path, plan(), ASKED, "abc")
    with pytest.raises(UserError, match="by another version of the recipe translation"):
        check_same(tmp_path, plan(), ASKED, "abx")


@pytest.mark.parametrize(
    "text, told",
    [
        ("format: 2", "is of another version of seqlab"),
        ("format: 1\nrecipe: x", "is damaged: 'found'"),
        ("format: 1\nfound: 3\ncells: 3\nseeds: 3\nflags: 3", "is damaged"),
    ],
)
def test_a_damaged_plan(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "comparison.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        read_plan(tmp_path)
    assert told in str(error.value)
