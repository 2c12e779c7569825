"""The results for people: what stands in the tables, and how wide they are."""

import csv
import io
from typing import Any

import pytest

from seqlab.comparing.tables import WIDTH, markdown, run_rows, terminal


def run(seed: int, **changes: Any) -> dict[str, Any]:
    values = {
        "seed": seed,
        "path": f"runs/x/seed-{seed}",
        "status": "finished",
        "reason": "",
        "scores": {"val/bleu": 30.0 + seed, "test/bleu": 29.0 + seed},
        "steps": 700,
        "seconds": 61.26,
        "training_seconds": 50.1,
        "tokens_per_second": 1234.5 * seed,
        "peak_memory_bytes": seed << 29,
        "parameters": 12345,
    }
    return {**values, **changes}


def results(metrics: tuple[str, ...] = ("perplexity", "bleu")) -> dict[str, Any]:
    def score(mean: float, p: float | None = None) -> dict[str, Any]:
        return {"mean": mean, "half_width": 1.23456, "values": [mean], "p": p, "difference": None}

    failed = run(2, status="diverged", reason="the loss is nan at step 7", scores={}, seconds=None, steps=None)
    failed |= {"tokens_per_second": None, "peak_memory_bytes": None, "training_seconds": None, "parameters": None}
    return {
        "recipe": "translation",
        "monitor": "val/bleu",
        "metrics": list(metrics),
        "split": "test",
        "unit": "target tokens",
        "seeds": [1, 2],
        "budget": {"tokens": 1234567},
        "parameters": None,
        "test": "Welch's t-test over seeds",
        "cells": [
            {
                "cell": "gru",
                "settings": {"model.encoder_size": 5, "model.decoder_size": 7},
                "parameters": 12345,
                "runs": [run(1), run(2)],
                "scores": {f"test/{name}": score(30.5) for name in metrics},
            },
            {
                "cell": "a-cell-of-a-very-long-name:with=options,and=more",
                "settings": {"model.encoder_size": 6, "model.decoder_size": 8},
                "parameters": 12399,
                "runs": [run(1), failed],
                "scores": {f"test/{name}": score(0.001234, 0.012) for name in metrics},
            },
        ],
        "versions": {"seqlab": "1", "torch": "2"},
        "command": "seqlab compare --recipe translation",
    }


def test_the_terminal() -> None:
    lines = terminal(results())
    assert lines[0] == "translation: 2 cells, 2 seeds, 1,234,567 tokens, the recipe's sizes, scored on test"
    assert lines[2].split() == ["cell", "seeds", "bleu", "p", "perplexity", "p"], "what chose the checkpoint is first"
    assert lines[3].split() == ["gru", "2", "30.50", "±", "1.23", "30.50", "±", "1.23"]
    assert lines[4].startswith("a-cell-of-a-very-long-name:…  1 of 2  0.00 ± 1.23   0.0120 *")
    assert "gru                           12,345      encoder 5, decoder 7  700    1,852     1,024 MiB  61 s" in lines
    assert "a-cell-of-a-very-long-name:with=options,and=more, seed 2: diverged: the loss is nan at step 7" in lines
    assert "p: Welch's t-test over seeds against gru; * is below 0.05" in lines


def test_one_of_each() -> None:
    """One cell is compared with nothing, and everything that is one is told so."""
    alone = results()
    alone["cells"] = alone["cells"][:1]
    alone |= {"seeds": [1], "budget": {"steps": 1}}
    alone["cells"][0]["runs"] = [run(1)]
    lines, text = terminal(alone), markdown(alone)
    assert lines[0] == "translation: 1 cell, 1 seed, 1 step, the recipe's sizes, scored on test"
    assert lines[2].split() == ["cell", "seeds", "bleu", "perplexity"]
    assert "| cell | seeds | bleu | perplexity |" in text
    assert not any(line.startswith(("p:", "* p:")) for line in [*lines, *text.splitlines()])
    assert any(line.startswith("memory:") for line in lines)


def test_a_narrow_terminal_has_narrow_tables() -> None:
    wide, narrow = terminal(results()), terminal(results(), 70)
    assert max(map(len, narrow)) <= 70 < max(map(len, wide))
    assert set(" ".join(wide).split()) == set(" ".join(narrow).split())


@pytest.mark.parametrize("count", [1, 3, 9])
def test_many_scores_go_below(count: int) -> None:
    metrics = ("bleu", *(f"metric_{n}" for n in range(count)))
    lines = terminal(results(metrics))
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).count(" metric_") == count
    assert sum(line.startswith("cell ") for line in lines) == {1: 2, 3: 3, 9: 5}[count]


def test_markdown() -> None:
    text = markdown(results(), ["curves-steps.png"])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows[:4]} == {7} and {line.count("|") for line in rows[4:]} == {8}
    assert "![learning curves](curves-steps.png)" in text and "    seqlab compare --recipe translation\n" in text
    assert "* p: Welch's t-test" in text


def test_a_line_for_each_run() -> None:
    rows = list(csv.DictReader(io.StringIO(run_rows(results()))))
    assert [(row["cell"], row["seed"], row["status"]) for row in rows][1::2] == [
        ("gru", "2", "finished"),
        ("a-cell-of-a-very-long-name:with=options,and=more", "2", "diverged"),
    ]
    assert rows[1]["test/bleu"] == "31.0" and rows[3]["test/bleu"] == "" and rows[3]["reason"].startswith("the loss")
    assert rows[0]["peak_memory_bytes"] == str(1 << 29)
