"""Options of training as a user sets them: frozen parameters, another run's weights, penalties, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import seqlab as package
from seqlab.cli import main

from .logs import rows

pytestmark = pytest.mark.usefixtures("one_thread")
Fit = Callable[..., tuple[int, str]]


def saved(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / name, weights_only=True)


def scores(run: Path) -> dict[str, float]:
    return json.loads((run / "summary.json").read_text())["scores"]


@pytest.fixture
def fit(tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture) -> Fit:
    """Fits the translation recipe for six steps into a folder; returns exit code and stderr."""

    def run(name: str, *argv: str | Path) -> tuple[int, str]:
        steps = ["--trainer.max_steps", "6", "--trainer.val_check_interval", "3"]
        code = main(["fit", "--recipe", "translation", "--run", str(tmp_path / name), *tiny, *steps, *map(str, argv)])
        return code, capfd.readouterr().err

    return run


@pytest.mark.parametrize("average", ["EMA", "LastN"])
def test_frozen_parameters_stay(fit: Fit, trained: Path, tmp_path: Path, average: str) -> None:
    """Bit for bit, in the weights and where averages stand for them, though AdamW would let them decay."""
    options = [
        *("--training.init_from", trained, "--training.freeze", "network.encoder.*"),
        *("--model.average", average, "--model.average.every", "1", "--model.optimizer.init_args.weight_decay", "0.5"),
    ]
    code, stderr = fit("run", *options)
    assert code == 0, stderr
    before, after = saved(trained, "best.ckpt")["state_dict"], saved(tmp_path / "run")
    same = {name for name, value in after["state_dict"].items() if torch.equal(value, before[name])}
    shared = {name for name, value in before.items() if value.data_ptr() == before[embedding(before)].data_ptr()}
    frozen = {name for name in before if name.startswith("network.encoder.")} | shared
    assert same == frozen and len(frozen) > 8
    assert after["averaged"].keys() & frozen == set() and after["averaged"]
    weights = package.load(tmp_path / "run", "cpu").state_dict()
    assert all(torch.equal(weights[name], before[name]) for name in frozen)
    total = sum(value.numel() for value in {value.data_ptr(): value for value in before.values()}.values())
    count = sum(value.numel() for value in {before[name].data_ptr(): before[name] for name in frozen}.values())
    assert f"model: Translation, {total:,} parameters ({count:,} of them frozen)" in stderr


def embedding(state: dict[str, Any]) -> str:
    return next(name for name in state if name.startswith("network.encoder.embedding"))


def test_a_run_starts_from_the_used_weights_of_another(fit: Fit, tmp_path: Path) -> None:
    """A step at rate 0 scores what the other run scored with its averages, and needs that run no longer."""
    still = ["--model.optimizer.init_args.lr", "0", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    assert fit("base", "--model.average", "EMA", "--model.optimizer.init_args.lr", "0.02")[0] == 0
    code, stderr = fit("next", "--training.init_from", tmp_path / "base", *still, "--seed", "5")
    assert code == 0, stderr
    step = json.loads((tmp_path / "base" / "summary.json").read_text())["best_step"]
    count = len(saved(tmp_path / "next")["state_dict"])
    line = f"weights: {count} of {count} tensors taken over from {tmp_path / 'base'} (step {step}, averaged), and its"
    assert line in stderr and "training a" not in stderr
    assert scores(tmp_path / "next") == scores(tmp_path / "base")
    assert saved(tmp_path / "next")["ParallelText"]["position"]["taken"] == 1
    shutil.rmtree(tmp_path / "base")
    lines = ["The dog sees the cat.", "The fox calls the bird."]
    assert len(package.load(tmp_path / "next", "cpu").translate(lines)) == 2
    resume = ["--resume", "--trainer.max_steps", "3", "--trainer.val_check_interval", "1"]
    assert main(["fit", "--run", str(tmp_path / "next"), *resume]) == 0


def test_another_tokenizer_comes_along(fit: Fit, corpus: Path, trained: Path, tmp_path: Path) -> None:
    """Other training text would have given another one."""
    options = ["--data.train", corpus / "test", "--training.init_from", trained / "checkpoints" / "last.ckpt"]
    assert fit("run", *options, "--trainer.max_steps", "1")[0] == 0
    states = [saved(run)["ParallelText"] for run in (trained, tmp_path / "run")]
    learned = [{name: value for name, value in state.items() if name != "position"} for state in states]
    assert learned[0] == learned[1] and learned[0]


def test_a_part_of_another_model(fit: Fit, trained: Path, tmp_path: Path) -> None:
    options = ["--training.init_from", trained, "--training.init_only", "network.encoder.*"]
    code, stderr = fit("run", *options, "--model.decoder_size", "22", "--model.optimizer.init_args.lr", "0")
    assert code == 0, stderr
    before, after = saved(trained, "best.ckpt")["state_dict"], saved(tmp_path / "run")["state_dict"]
    count = sum(name.startswith("network.encoder.") for name in before)
    assert f"weights: {count} of {len(after)} tensors taken over" in stderr
    assert all(torch.equal(value, after[name]) for name, value in before.items() if name.startswith("network.encoder."))


def test_a_fused_optimizer_is_clipped_in_mixed_precision(fit: Fit) -> None:
    code, stderr = fit("run", "--trainer.precision", "bf16-mixed", "--trainer.max_steps", "2")
    assert code == 0, stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--model.schedule", "Noam", "--model.schedule.size", "16", "--model.optimizer.init_args.lr", "1"],
        ["--model.schedule", "InverseSquareRoot", "--model.schedule.warmup", "3"],
        ["--model.schedule", "Step", "--model.schedule.after", "2", "--model.schedule.every", "2"],
        ["--model.schedule", "Plateau", "--model.schedule.monitor", "val/bleu", "--model.schedule.mode", "max"],
        ["--training.normalize_gradient", "0.5", "--trainer.gradient_clip_val", "null"],
        ["--trainer.gradient_clip_algorithm", "value", "--training.l1_penalty", "1e-4"],
    ],
    ids=lambda flags: " ".join(flags)[:40],
)
def test_options_as_a_user_types_them(fit: Fit, tmp_path: Path, flags: list[str]) -> None:
    code, stderr = fit("run", *flags)
    assert code == 0, stderr
    assert [row["step"] for row in rows(tmp_path / "run") if row["val/bleu"]] == ["3", "6"]


def test_a_killed_run_resumes_exactly(fit_and_kill: Callable, tiny: list[str], trained: Path, tmp_path: Path) -> None:
    """With accumulation, an average, a penalty, frozen parameters, a normalized gradient, and weights of a run that has
    gone meanwhile: bit for bit the run that was not killed."""
    base = shutil.copytree(trained, tmp_path / "base")
    common = [
        *("--recipe", "translation", *tiny, "--model.dropout", "0.3", "--trainer.max_steps", "45"),
        *("--trainer.val_check_interval", "17", "--checkpoint.every_n_steps", "10"),
        *("--trainer.accumulate_grad_batches", "2", "--model.average", "EMA", "--training.l2_penalty", "0.01"),
        *("--training.normalize_gradient", "0.7", "--trainer.gradient_clip_val", "null"),
        *("--training.freeze", "network.encoder.layers.*", "--training.init_from", str(base)),
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["fit", "--run", str(whole), *common]) == 0
    assert fit_and_kill(killed, *common, step=20)["global_step"] < 45
    shutil.rmtree(base)
    assert main(["fit", "--run", str(killed), "--resume"]) == 0
    for name in ("best.ckpt", "last.ckpt"):
        expected, found = saved(whole, name), saved(killed, name)
        for key in ("state_dict", "averaged"):
            assert expected[key].keys() == found[key].keys()
            assert all(torch.equal(value, found[key][part]) for part, value in expected[key].items())
        moments = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (expected, found)]
        assert all(torch.equal(value, moments[1][i][part]) for i in moments[0] for part, value in moments[0][i].items())
    assert rows(whole) == rows(killed)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--training.freeze", "network.encodr.*"], "training.freeze: no parameter is named network.encodr.*; did you"),
        (["--training.freeze", "embedding"], "did you mean '*embedding*', which is network.encoder.embedding.weight"),
        (["--training.freeze", "network.*"], "training.freeze: network.* leaves no parameter to train"),
        (["--training.l1_penalty", "-1"], "training.l1_penalty must not be negative, not -1.0"),
        (
            ["--training.normalize_gradient", "1"],
            "training.normalize_gradient (1.0) and trainer.gradient_clip_val (1.0) contradict each other",
        ),
        (["--training.init_only", "a.*"], "training.init_only says what to take over, but training.init_from names no"),
        (["--training.init_from", "nothing"], "training.init_from: nothing is not a run (no config.yaml)"),
        (["--training.init_from", "EMPTY"], "has no checkpoint yet"),
        (["--training.init_from", "FOREIGN"], "is a run of the task other.Task, not seqlab.tasks.Translation"),
        (["--training.init_from", "RUN"], "is the run that is to start"),
        (["--training.init_from", "TRAINED", "--model.encoder_size", "13"], "do not fit: network.encoder.layers"),
        (["--training.init_from", "TRAINED", "--training.init_only", "encoder.*"], "no parameter is named encoder.*"),
        (
            ["--training.init_from", "TRAINED", "--data.tokenizer.vocab_size", "50"],
            "comes with its weights, but data.tokenizer.vocab_size is 60 in it and 50 here; give the same settings",
        ),
        (["--model.cell", "rrnn:feedbak=main"], "has no option 'feedbak'; did you mean 'feedback'?"),
        (["--model.schedule", "Noam", "--model.schedule.size", "0"], "schedule Noam: size and warmup must be at least"),
        (["--trainer.gradient_clip_algorithm", "length"], "gradient_clip_algorithm must be norm or value"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_wrong_options(fit: Fit, trained: Path, tmp_path: Path, flags: list[str], expected: str) -> None:
    places = {"TRAINED": trained, "RUN": tmp_path / "run"}
    if "EMPTY" in flags:
        places["EMPTY"] = tmp_path / "empty"
        places["EMPTY"].mkdir()
        shutil.copy(trained / "config.yaml", places["EMPTY"])
    if "FOREIGN" in flags:
        places["FOREIGN"] = tmp_path / "foreign.ckpt"
        other = saved(trained)
        config = yaml.safe_load(other["seqlab"]["config"]) | {"task": "other.Task"}
        torch.save({**other, "seqlab": {**other["seqlab"], "config": yaml.safe_dump(config)}}, places["FOREIGN"])
    code, stderr = fit("run", *(str(places.get(flag, flag)) for flag in flags))
    last = stderr.splitlines()[-1]
    assert code == 2 and last.startswith("seqlab fit: error: ") and expected in last
    assert "Traceback" not in stderr and not (tmp_path / "run").exists()
    assert "rrnn" not in last or "training a" not in stderr
