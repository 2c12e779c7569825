"""Runs and comparisons made by hand, with text that would harm a page that took it as it is."""

import json
from pathlib import Path
from typing import Any

SCRIPT = "<script>alert(\"x\")</script> & 'quoted' <img src=x onerror=alert(1)> \x1b[31m"
ODD = 'rrnn:note="<b>&amp;",feedback=updated'
"""A cell whose spelling has quotes and tags."""
CELLS = {"lstm": "lstm", ODD: "rrnn-note", "elman": "elman"}
SOURCES = ["The dog sees the cat.", "A “fox” hears\u2028it.", SCRIPT, "", "שלום עולם", "The bird."]
SHA = "ab" * 32


def make_run(path: Path, cell: str = "lstm", seed: int = 1, score: float = 30.5, scored: bool = True) -> Path:
    """A finished run of a translation, without checkpoints."""
    (path / "logs").mkdir(parents=True)
    config = {
        "task": "seqlab.tasks.Translation",
        "data_module": "x",
        "seed": seed,
        "checkpoint": {"monitor": "val/bleu"},
    }
    config |= {"data": {"train": "phrasebook", "name": "<i>"}, "model": {"cell": cell, "dropout": 0.25}}
    (path / "config.yaml").write_text(json.dumps(config))
    rows = [f"{step},{7.5 - step / 100},{score * step / 200}" for step in (50, 100, 200)]
    (path / "logs" / "metrics.csv").write_text("\n".join(["step,train/loss,val/bleu", *rows]) + "\n")
    summary = {"ended_by": "max_steps", "steps": 200, "best_step": 100, "parameters": 12345, "wall_seconds": 61.2}
    summary |= {"scores": {"val/bleu": score + 1}, "engines": {"encoder": ["native", "plain"]}}
    (path / "summary.json").write_text(json.dumps(summary))
    if scored:
        interval = {"mean": score, "half_width": 1.25, "share": 0.95, "signature": "bs:1000|unit:sentence"}
        record: dict[str, Any] = {
            "split": "test",
            "data": {"name": SCRIPT, "split": "test", "pairs": 1234, "sha256": SHA},
            "scores": {"bleu": {"value": score, "signature": "nrefs:1|tok:13a", "interval": interval}},
            "decoding": {"beam": 5, "length_penalty": 1.0, "min_length": 3},
            "checkpoint": {"file": "best.ckpt", "step": 100, "weights": "raw", "sha256": SHA[::-1]},
            "versions": {"seqlab": "0.1.0", "torch": "2.13.0"},
        }
        (path / "scores.json").write_text(json.dumps({"test": record}))
        (path / "translations").mkdir()
        columns = {"sources": SOURCES, "references": [f"{line}!" for line in SOURCES]}
        for name, lines in {**columns, "hypotheses": [f"{cell}: {line}" for line in SOURCES]}.items():
            (path / "translations" / f"test.{name}").write_text(
                "".join(f"{line}\n" for line in lines), encoding="utf-8"
            )
    return path


def results() -> dict[str, Any]:
    """What a comparison of three cells has come to: the second is the best, a run of the third has diverged."""
    scores = {"lstm": (30.25, None), ODD: (31.5, 0.012), "elman": (11.0, 0.0345)}
    cells = []
    for cell, (mean, p_value) in scores.items():
        runs = [
            {
                "seed": seed,
                "path": f"runs/{CELLS[cell]}/seed-{seed}",
                "status": "finished",
                "reason": "",
                "scores": {"test/bleu": mean + seed - 1, "test/chrf": 50.0},
                "steps": 200,
                "seconds": 61.26 * seed,
                "training_seconds": 50.0,
                "tokens_per_second": 1234.5 * seed,
                "peak_memory_bytes": seed << 29,
                "parameters": 12345,
            }
            for seed in (1, 2)
        ]
        nothing = dict.fromkeys(("steps", "seconds", "training_seconds", "tokens_per_second", "peak_memory_bytes"))
        if cell == "elman":
            runs[1] |= {"status": "diverged", "reason": f"the loss is nan {SCRIPT}", "scores": {}, **nothing}
        told = {
            "half_width": 1.5 if cell != "elman" else None,
            "values": [mean],
            "p": p_value,
            "difference": mean - 30.25,
        }
        cells.append(
            {
                "cell": cell,
                "label": cell,
                "settings": {"model.encoder_size": 5, "model.decoder_size": 7},
                "parameters": 12345,
                "runs": runs,
                "scores": {"test/bleu": {"mean": mean, **told}, "test/chrf": {"mean": 50.0, **told, "p": None}},
            }
        )
    return {
        "format": 1,
        "recipe": "translation",
        "monitor": "val/bleu",
        "mode": "max",
        "metrics": ["chrf", "bleu"],
        "split": "test",
        "unit": "target tokens",
        "seeds": [1, 2],
        "budget": {"steps": 200},
        "parameters": 12345,
        "test": "Welch's t-test over seeds",
        "cells": cells,
        "versions": {"seqlab": "0.1.0", "torch": "2.13.0"},
        "command": f"seqlab compare --cells '{ODD}'",
    }


def make_comparison(out: Path) -> Path:
    """A comparison with its runs."""
    found = results()
    for cell in found["cells"]:
        for run in cell["runs"]:
            if run["status"] == "finished":
                make_run(out / run["path"], cell["cell"], run["seed"], run["scores"]["test/bleu"])
    (out / "results.json").write_text(json.dumps(found))
    return out
