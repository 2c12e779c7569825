"""What the trainer would refuse late or in its own words is told before, by the name of its setting."""

from typing import Any

import pytest
import torch

from seqlab.errors import UserError
from seqlab.training.trainer_settings import check_trainer

USUAL = {"accelerator": "auto", "devices": "auto", "strategy": "auto", "max_steps": 9, "max_epochs": -1}


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    """Sets how many GPUs torch says there are."""

    def set_count(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr("lightning.fabric.accelerators.cuda.num_cuda_devices", lambda: count)
        monkeypatch.setattr("lightning.pytorch.accelerators.cuda.num_cuda_devices", lambda: count)

    return set_count


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_steps", 0, "trainer.max_steps must be at least 1, or -1 for no limit, not 0"),
        ("max_steps", -2, "or -1 for no limit, not -2"),
        ("max_epochs", 0, "trainer.max_epochs must be at least 1, or -1 for no limit, not 0"),
        ("check_val_every_n_epoch", 0, "trainer.check_val_every_n_epoch must be at least 1, or null"),
        ("log_every_n_steps", 0, "trainer.log_every_n_steps must be at least 1, not 0"),
        ("num_sanity_val_steps", -3, "trainer.num_sanity_val_steps must be at least 0, or -1"),
        ("limit_val_batches", -1, "trainer.limit_val_batches must be at least 0, not -1"),
        ("accumulate_grad_batches", 0, "trainer.accumulate_grad_batches must be at least 1, not 0"),
        ("max_time", "90min", "trainer.max_time must be DD:HH:MM:SS, such as 00:01:30:00 for an hour and a half, not"),
        (
            "val_check_interval",
            0.5,
            "must be a whole number of batches, not 0.5: a share of an epoch needs trainer.check",
        ),
        ("val_check_interval", -3, "trainer.val_check_interval must be positive, not -3"),
        ("gradient_clip_algorithm", "length", "trainer.gradient_clip_algorithm must be norm or value, not 'length'"),
        ("strategy", "dpp", "trainer.strategy: no strategy named 'dpp'; did you mean 'ddp'?"),
        (
            "accelerator",
            "tpuu",
            "trainer.accelerator: no accelerator named 'tpuu'; did you mean 'tpu'? (here there are: ",
        ),
        (
            "accelerator",
            "gpu",
            "trainer.accelerator gpu: there is none here that torch can use; auto takes what there is",
        ),
        ("devices", "0", "trainer.devices must be at least 1, not 0"),
        ("devices", 0, "trainer.devices must be at least 1, not 0"),
        ("devices", "many", "trainer.devices must be how many, a list of their numbers, or auto, not 'many'"),
        ("devices", "-1", "trainer.devices -1 takes every GPU, but training is on the CPU"),
    ],
)
def test_what_cannot_be(gpus, name: str, value: Any, expected: str) -> None:
    gpus(0)
    check_trainer(USUAL)
    with pytest.raises(UserError) as caught:
        check_trainer({**USUAL, name: value})
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("devices", [4, "4", " 4 "])
def test_more_gpus_than_there_are(gpus, devices: Any) -> None:
    gpus(2)
    for accelerator in ("auto", "gpu", "cuda"):
        with pytest.raises(UserError, match=r"trainer\.devices asks for 4 GPUs, but there are 2 here"):
            check_trainer({**USUAL, "accelerator": accelerator, "devices": devices})
    for fits in ({"devices": 2}, {"devices": -1}, {"devices": [0, 1]}, {"devices": "0,1"}, {"devices": "1,"}):
        check_trainer({**USUAL, "accelerator": "gpu", **fits})
    check_trainer({**USUAL, "accelerator": "cpu", "devices": devices})  # so many processes


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": -1, "max_epochs": 3, "num_sanity_val_steps": -1, "limit_val_batches": 0.5},
        {"check_val_every_n_epoch": 1, "val_check_interval": 0.25},
        {"check_val_every_n_epoch": None, "val_check_interval": 250},
        {"max_time": "00:01:30:00", "strategy": "ddp", "gradient_clip_algorithm": "value", "gradient_clip_val": 0.0},
        {"max_time": {"hours": 3}, "val_check_interval": "00:00:10:00"},
    ],
)
def test_what_can_be(settings: dict[str, Any]) -> None:
    check_trainer({**USUAL, **settings})
