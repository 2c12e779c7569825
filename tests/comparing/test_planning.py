"""Where runs end, by the budget: tokens are counted as a fit counts them."""

from pathlib import Path
from typing import Any

import pytest

from seqlab import registry
from seqlab.comparing.plan import Asked
from seqlab.comparing.planning import both_sides, make_plan, steps_of_tokens
from seqlab.config import parse
from seqlab.errors import UserError

RECIPE = registry.recipe_path("translation")


def asked(flags: list[str], **changes: Any) -> Asked:
    values: dict[str, Any] = {"recipe": "translation", "cells": ("gru", "elman"), "seeds": (1, 2)}
    return Asked(**{**values, **changes, "flags": tuple(flags)})


def trained_tokens(flags: list[str], seed: int, steps: int, accumulate: int) -> int:
    """Target tokens of the batches that so many optimizer steps of a fit take, by the loader that it has."""
    settings = parse(RECIPE, [*flags, "--seed", str(seed)], prog="test")
    data = settings.make_data()
    seen = taken = epoch = 0
    while True:
        loader = data.train_dataloader()
        loader.set_epoch(epoch)
        batches = list(loader)
        for number, batch in enumerate(batches, 1):
            seen += batch.tokens
            taken += number % accumulate == 0 or number == len(batches)
            if taken == steps:
                return seen
        epoch += 1


@pytest.mark.parametrize("accumulate", [1, 3])
def test_tokens_become_steps(tiny: list[str], accumulate: int) -> None:
    """The steps of each seed are the fewest that see so many tokens; here in the second epoch."""
    flags = [*tiny, "--trainer.accumulate_grad_batches", str(accumulate)]
    steps = steps_of_tokens(parse(RECIPE, flags, prog="test"), 5000, (1, 2))
    for seed, count in steps.items():
        assert trained_tokens(flags, seed, count, accumulate) >= 5000
        assert trained_tokens(flags, seed, count - 1, accumulate) < 5000


def test_a_schedule_ends_with_the_tokens(tiny: list[str]) -> None:
    plan = make_plan(asked(tiny, budget={"tokens": 900}), RECIPE)
    steps = steps_of_tokens(parse(RECIPE, tiny, prog="test"), 900, (1, 2))
    for seed, flags in plan.ends.items():
        count = str(steps[seed])
        assert flags == ["--trainer.max_steps", count, "--trainer.val_check_interval", count], "validated at least once"
    assert (plan.split, plan.monitor, plan.metrics) == ("test", "val/bleu", ["bleu", "perplexity", "accuracy"])


def test_steps(tiny: list[str]) -> None:
    plan = make_plan(asked(tiny, budget={"steps": 700}), RECIPE)
    assert plan.ends == {seed: ["--trainer.max_steps", "700"] for seed in (1, 2)}
    other = ["--trainer.max_epochs", "3", "--trainer.max_time", "00:00:05:00"]
    plan = make_plan(asked([*tiny, *other], budget={"steps": 700}), RECIPE)
    assert plan.ends[1][2:] == ["--trainer.max_epochs", "-1", "--trainer.max_time", "null"]


def test_minutes(tiny: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A schedule that needs an end keeps the recipe's; without one there is no end but time's."""
    plan = make_plan(asked(tiny, budget={"minutes": 90.5}), RECIPE)
    assert plan.ends[2] == ["--trainer.max_steps", "1500", "--trainer.max_time", "00:01:30:30"]
    assert "follows a schedule of 1,500 steps" in caplog.text
    plan = make_plan(asked([*tiny, "--model.schedule", "Constant"], budget={"minutes": 1500}), RECIPE)
    assert plan.ends[2] == ["--trainer.max_steps", "-1", "--trainer.max_time", "01:01:00:00"]
    with pytest.raises(UserError, match=r"needs an end in steps too: give --trainer.max_steps"):
        make_plan(asked([*tiny, "--trainer.max_steps", "-1"], budget={"minutes": 1}), RECIPE)


def test_the_recipe_s_own_end(tiny: list[str]) -> None:
    plan = make_plan(asked(tiny), RECIPE)
    assert plan.budget == {"steps": 1500} and plan.ends == {1: [], 2: []}
    free = [*tiny, "--model.schedule", "Constant", "--trainer.max_steps", "-1"]
    assert make_plan(asked([*free, "--trainer.max_epochs", "3"]), RECIPE).budget == {"epochs": 3}
    assert make_plan(asked([*free, "--trainer.max_time", "00:01:30:00"]), RECIPE).budget == {"minutes": 90}
    with pytest.raises(UserError, match="has no end of its own: give --steps N, --tokens N or --minutes X"):
        make_plan(asked(free), RECIPE)


def test_what_cannot_be_is_told_before(tiny: list[str]) -> None:
    refused = {
        "rrnn:feedback=other": "feedback",
        "torchrecurrent/intersectionrnn": "^torchrecurrent/intersectionrnn: IntersectionRNN mixes input and state",
    }
    for cell, told in refused.items():
        with pytest.raises(UserError, match=told):
            make_plan(asked(tiny, cells=("gru", cell)), RECIPE)
    with pytest.raises(UserError, match=r"^--parameters, gru: no size gives 1,000 parameters within 1%"):
        make_plan(asked(tiny, parameters=1000), RECIPE)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_corpus_that_is_not_there_is_told_before(tiny: list[str], split: str) -> None:
    with pytest.raises(UserError, match=r"^no file nowhere\.en"):
        make_plan(asked([*tiny, f"--data.{split}", "nowhere"], budget={"steps": 5}), RECIPE)


def test_a_cell_of_one_side_gives_way(tmp_path: Path) -> None:
    text = RECIPE.read_text().replace("  cell: gru\n", "  cell: gru\n  encoder_cell: {name: lstm}\n")
    (tmp_path / "own.yaml").write_text(text)
    assert both_sides(asked(["--x", "1"]), tmp_path / "own.yaml").flags == ("--x", "1", "--model.encoder_cell", "null")
    kept = asked(["--model.encoder_cell", "jordan"])
    assert both_sides(kept, tmp_path / "own.yaml") == kept
    assert both_sides(asked([]), RECIPE).flags == ()
