"""Scores of a validation are the same on one device and on two, to the last bit."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

STILL = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0, "weight_decay": 0.0}}
"""An optimizer that changes nothing, so that the weights of the first validation are those of the seed."""
ONE_STEP = [
    *("--model.optimizer", json.dumps(STILL), "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"),
]
KINDS = {
    "translation": ["--recipe", "translation", "--data.batch_tokens", "100", "--model.metrics.chrf", "CHRF"],
    "streams": ["--data.validation_streams", "3"],
    "one stream": ["--data.validation_streams", "1", "--data.reset_documents", "true"],
    "documents": ["--data.stateful", "false", "--data.batch_tokens", "30"],
}


def scores(run: Path) -> dict[str, float]:
    with (run / "logs" / "metrics.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["val/perplexity"]]
    return {name: float(value) for name, value in row.items() if name.startswith("val/")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_and_two_devices_score_the_same(fit: Callable, tiny: list[str], language: list[str], kind: str) -> None:
    flags = [*(tiny if kind == "translation" else language), *KINDS[kind], *ONE_STEP]
    runs = {devices: fit(f"on-{devices}", *flags, devices=devices) for devices in (1, 2)}
    assert all(done.code == 0 for done in runs.values()), "\n".join(done.err for done in runs.values())
    one, two = (scores(done.run) for done in runs.values())
    print(kind, one, two)
    assert one == two and all(one.values()) and len(one) == (4 if kind == "translation" else 3)
    summaries = [json.loads((done.run / "summary.json").read_text()) for done in runs.values()]
    assert summaries[0]["signatures"] == summaries[1]["signatures"]
