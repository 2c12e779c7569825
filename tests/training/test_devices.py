"""Strategies, numbers of devices and lost processes: what is said of them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch.strategies import DDPStrategy

from seqlab.errors import UserError
from seqlab.training.devices import as_one, check_devices, check_strategy

GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:41392."


def trainer(world_size: int, rank: int = 0) -> SimpleNamespace:
    return SimpleNamespace(world_size=world_size, global_rank=rank, global_step=1234)


@pytest.mark.parametrize(
    "strategy",
    ["auto", "ddp", Namespace(class_path="lightning.pytorch.strategies.DDPStrategy"), DDPStrategy(timeout=None)],
)
def test_ddp_it_is(strategy: object) -> None:
    check_strategy(strategy)


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("fsdp", "fsdp"),
        ("deepspeed_stage_2", "deepspeed_stage_2"),
        ("ddp_spawn", "ddp_spawn"),
        (
            Namespace(class_path="lightning.pytorch.strategies.FSDPStrategy"),
            "lightning.pytorch.strategies.FSDPStrategy",
        ),
    ],
)
def test_other_strategies_are_refused(strategy: object, name: str) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.strategy {name}: several devices train with ddp alone"):
        check_strategy(strategy)


def test_another_number_of_devices() -> None:
    check_devices({"seqlab": {"devices": 3}}, trainer(3))
    check_devices({"seqlab": {}}, trainer(3))  # saved before the number was
    with pytest.raises(UserError, match=r"trains on 3 devices, and cannot go on with 2: .* so that it is 3$"):
        check_devices({"seqlab": {"devices": 3}}, trainer(2))


@pytest.mark.parametrize("error", [RuntimeError(GLOO), torch.distributed.DistNetworkError("reset by peer")])
def test_a_lost_process_is_told_in_a_line(error: RuntimeError) -> None:
    with (
        pytest.raises(UserError, match=r"^rank 0 lost touch with the other 2 at step 1,234: .* fit --run r --resume$"),
        as_one(trainer(3), Path("r")),
    ):
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), as_one(trainer(3), Path("r")):
        raise RuntimeError("shapes")
    with pytest.raises(RuntimeError, match="gloo"), as_one(trainer(1), Path("r")):
        raise RuntimeError(GLOO)


@pytest.mark.parametrize(("rank", "text"), [(0, "no"), (2, "rank 2: no")])
def test_what_the_user_can_mend_says_whose_it_is(rank: int, text: str) -> None:
    with pytest.raises(UserError, match=f"^{text}$"), as_one(trainer(3, rank), Path("r")):
        raise UserError("no")
