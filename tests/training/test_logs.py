"""The log of a run: which rows it has, and what a resume does to it."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch

from seqlab.training.logs import MetricsLog, read_rows
from seqlab.training.throughput import Throughput


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


class FakeTrainer(SimpleNamespace):
    """What a callback asks of a trainer."""

    def __init__(self, step: int = 0, **values):
        optimizer = SimpleNamespace(param_groups=[{"lr": 0.5}])
        super().__init__(
            **{"is_global_zero": True, "sanity_checking": False, "world_size": 1, "current_epoch": 3, **values},
            global_step=step,
            optimizers=[optimizer],
            callback_metrics={},
        )


class Run:
    """A log that is driven step by step."""

    def __init__(self, path, every_n_steps: int = 1, **trainer):
        self.trainer = FakeTrainer(**trainer)
        self.log = MetricsLog(path, Throughput(), every_n_steps)
        self.log.on_train_start(self.trainer, None)

    def train(self, step: int, loss: float = 2.5, tokens: int = 3) -> None:
        self.trainer.global_step = step
        self.trainer.callback_metrics["train/loss"] = torch.tensor(loss)
        self.log.on_train_batch_end(self.trainer, None, None, SimpleNamespace(tokens=tokens), 0)

    def validate(self, **scores: float) -> None:
        self.trainer.callback_metrics.update({f"val/{name}": torch.tensor(value) for name, value in scores.items()})
        self.log.on_validation_end(self.trainer, None)


def table(path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_rows_of_training(path):
    """Loss, rate and speed every so many optimizer steps; one row a step, however many batches make it."""
    run = Run(path, every_n_steps=2)
    for step in (0, 1, 1, 2, 2, 3, 4):
        run.train(step, loss=10.5 - step)
    assert table(path) == [
        ["step", "epoch", "seconds", "train/loss", "lr", "tokens/s"],
        ["2", "3", "0.0", "9.5", "0.5", "0.0"],
        ["4", "3", "0.0", "7.5", "0.5", "0.0"],
    ]


def test_the_loss_is_the_mean_over_the_tokens_since_the_last_row(path, tmp_path):
    """Also where a run is taken up between two rows."""
    run, other = Run(path, every_n_steps=3), Run(tmp_path / "other.csv", every_n_steps=3)
    for log in (run, other):
        log.train(1, loss=5.0, tokens=10)
        log.train(2, loss=2.0, tokens=20)
    resumed = Run(tmp_path / "other.csv", every_n_steps=3, step=2)
    resumed.log.load_state_dict(other.log.state_dict())
    for log in (run, resumed):
        log.train(3, loss=1.0, tokens=70)
    assert table(path) == table(tmp_path / "other.csv")
    assert table(path)[1][3] == str((5.0 * 10 + 2.0 * 20 + 1.0 * 70) / 100)


def test_batches_whose_loss_is_no_number_are_left_out(path):
    """Their steps were skipped; a row of nothing else says so."""
    run = Run(path, every_n_steps=2)
    for step, loss, tokens in ((1, 2.0, 10), (2, math.nan, 7), (3, math.inf, 5), (4, -math.inf, 3), (5, 1.0, 2)):
        run.train(step, loss, tokens)
    assert [row[3] for row in table(path)[1:]] == ["2.0", "nan"]
    run.train(6, 4.0, 1)
    assert table(path)[-1][3] == "2.0"


class Devices(SimpleNamespace):
    """What joins three devices, whose losses are 1, 2 and 3 times as large as those of the one that asks."""

    root_device = torch.device("cpu")

    def reduce(self, sums, reduce_op):
        assert reduce_op == "sum"
        if sums.shape == (3, 2):  # each gives its row of what is to be saved
            assert not sums[1:].any()
            return sums[0] * torch.tensor([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]], dtype=sums.dtype)
        return sums * torch.tensor([6.0, 3.0], dtype=sums.dtype)


def test_the_loss_of_several_devices(path, tmp_path):
    """Is that of all their tokens, before the first row too; each goes on with its own sums."""
    run = Run(path, every_n_steps=3, world_size=3, global_rank=0, strategy=Devices())
    run.train(1, loss=5.0, tokens=10)
    run.validate(bleu=1.0)
    assert run.log.recent == 10.0
    run.train(2, loss=2.0, tokens=20)
    checkpoint = {"callbacks": {run.log.state_key: run.log.state_dict()}}
    run.log.on_save_checkpoint(run.trainer, None, checkpoint)
    state = checkpoint["callbacks"][run.log.state_key]
    assert state["sums"] == [[90.0, 30.0], [180.0, 30.0], [270.0, 30.0]]
    for rank, expected in enumerate((90.0 + 70, 180.0 + 70, 270.0 + 70)):
        resumed = Run(tmp_path / f"{rank}.csv", every_n_steps=3, step=2, world_size=3, strategy=Devices())
        resumed.log.on_load_checkpoint(SimpleNamespace(global_rank=rank), None, checkpoint)
        resumed.log.load_state_dict(state)
        resumed.train(3, loss=1.0, tokens=70)
        assert table(tmp_path / f"{rank}.csv")[-1][3] == str(6 * expected / (3 * 100))
    run.train(3, loss=1.0, tokens=70)
    assert run.log.recent == 6 * 160 / 300


def test_a_state_of_an_older_checkpoint(path):
    run = Run(path)
    run.log.load_state_dict({"loss": 3.0, "sum": 20.0, "tokens": 10})
    run.train(1, loss=1.0, tokens=10)
    assert table(path)[1][3] == "1.5"


def test_new_columns_appear(path):
    """A score that was not there before gets a column; rows from before leave it empty, and lose nothing."""
    run = Run(path)
    run.train(1)
    run.validate(bleu=12.5)
    run.train(2)
    run.validate(bleu=13.5, accuracy=50.0)
    assert table(path)[0] == ["step", "epoch", "seconds", "train/loss", "lr", "tokens/s", "val/bleu", "val/accuracy"]
    assert {len(row) for row in table(path)} == {8}
    assert [row[6:] for row in table(path)[1:]] == [["", ""], ["12.5", ""], ["", ""], ["13.5", "50.0"]]
    assert [row[3] for row in table(path)[1:]] == ["2.5", "", "2.5", ""]
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


def test_a_resume_drops_what_will_happen_again(path):
    """Rows past the checkpoint's step go, those at the step and before it stay, and new ones follow."""
    run = Run(path)
    for step in range(1, 6):
        run.train(step, loss=step)
    run.validate(bleu=1.0)
    resumed = Run(path, step=3)
    assert [row["step"] for row in read_rows(path)] == ["1", "2", "3"]
    resumed.train(3, loss=33)
    resumed.train(4, loss=44)
    resumed.validate(chrf=2.0)
    rows = read_rows(path)
    assert [(row["step"], row.get("train/loss")) for row in rows] == [
        *(("1", "1.0"), ("2", "2.0"), ("3", "3.0"), ("4", "38.5"), ("4", None))
    ]
    assert rows[-1] == {"step": "4", "epoch": "3", "seconds": "0.0", "val/chrf": "2.0"}


def test_a_validation_between_accumulated_batches_is_told_once(path):
    """Its row has the number of the step before, which a checkpoint was written after."""
    run = Run(path)
    run.train(1)
    saved = run.log.state_dict()
    run.validate(bleu=1.0)
    resumed = Run(path.with_name("other.csv"), step=1)
    resumed.log.path = path
    resumed.log.load_state_dict(saved)
    resumed.log.on_train_start(resumed.trainer, None)
    resumed.validate(bleu=1.0)
    assert [row.get("val/bleu") for row in read_rows(path)] == [None, "1.0"]


def test_the_check_before_training_and_other_processes_write_nothing(path):
    Run(path, sanity_checking=True).validate(bleu=1.0)
    assert table(path) == [["step", "epoch", "seconds"]]
    before = path.read_bytes()
    other = Run(path, is_global_zero=False)
    other.train(1)
    other.validate(bleu=1.0)
    assert path.read_bytes() == before


def test_the_seconds_go_on_after_a_resume(path, monkeypatch):
    """With those up to the checkpoint: what was trained after it, and the time between, count nowhere."""
    now = [100.0]
    monkeypatch.setattr("seqlab.training.throughput.time.perf_counter", lambda: now[0])
    run = Run(path)
    run.log.throughput.on_train_start(run.trainer, None)
    now[0] = 102.04
    run.train(1)
    now[0] = 103.5
    run.validate(bleu=1.0)
    state = run.log.throughput.state_dict()
    now[0] = 110.0
    run.train(2)
    assert [row["seconds"] for row in read_rows(path)] == ["2.0", "3.5", "10.0"]
    now[0] = 500.0
    resumed = Run(path, step=1)
    resumed.log.throughput.load_state_dict(state)
    resumed.log.throughput.on_train_start(resumed.trainer, None)
    now[0] = 504.25
    resumed.train(2)
    assert [(row["step"], row["seconds"]) for row in read_rows(path)] == [("1", "2.0"), ("1", "3.5"), ("2", "7.8")]
    assert table(path)[0][:4] == ["step", "epoch", "seconds", "train/loss"]


def test_a_file_of_an_older_version_keeps_its_columns(path):
    """When its rows were written nobody knows; but where none is left it gets the column."""
    header = ["step", "epoch", "train/loss", "lr", "tokens/s"]
    path.write_text(f"{','.join(header)}\n2,0,1.5,0.5,9.0\n4,0,1.25,0.5,9.0\n")
    run = Run(path, step=3)
    run.train(4, loss=1.0)
    run.validate(bleu=2.0)
    assert table(path) == [
        [*header, "val/bleu"],
        ["2", "0", "1.5", "0.5", "9.0", ""],
        ["4", "3", "1.0", "0.5", "0.0", ""],
        ["4", "3", "", "", "", "2.0"],
    ]
    Run(path, step=1)
    assert table(path) == [["step", "epoch", "seconds"]]


def test_values_come_back_exactly(path):
    """Numbers are written so that reading them gives the same ones."""
    run = Run(path)
    run.train(1)
    run.trainer.callback_metrics["val/perplexity"] = torch.tensor(1 / 3 * 1e-5, dtype=torch.float64)
    run.log.on_validation_end(run.trainer, None)
    assert float(read_rows(path)[-1]["val/perplexity"]) == 1 / 3 * 1e-5


def test_no_file_has_no_rows(path):
    assert read_rows(path) == []
