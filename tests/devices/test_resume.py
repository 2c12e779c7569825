"""A run of two devices that was killed goes on exactly; with another number of devices it goes on, or is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ..logs import rows

STEPS = [
    *("--trainer.max_steps", "14", "--trainer.val_check_interval", "4", "--checkpoint.every_n_steps", "3"),
    *("--trainer.accumulate_grad_batches", "2", "--trainer.log_every_n_steps", "2"),
]
KINDS = {
    "translation": ["--recipe", "translation", "--model.dropout", "0.3", "--data.workers", "1"],
    "streams": ["--data.random_window", "true", "--model.zoneout", "0.1"],
    "documents": ["--data.stateful", "false", "--data.batch_tokens", "30", "--model.dropout", "0.3"],
}


def assert_equal(found: Any, expected: Any, where: str = "") -> None:
    """That two parts of checkpoints are the same, bit for bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name in expected:
            assert_equal(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_equal(*pair, f"{where}[{number}]")
    else:
        assert found == expected, where


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_of_two_devices_resumes_exactly(
    fit: Callable, tiny: list[str], language: list[str], kind: str
) -> None:
    flags = [*(tiny if kind == "translation" else language), *KINDS[kind], *STEPS]
    whole = fit("whole", *flags, devices=2)
    assert whole.code == 0, whole.err
    killed = fit("killed", *flags, devices=2, FAIL="1:10:kill")
    assert killed.code != 0 and killed.checkpoint()["global_step"] == 9
    resumed = fit("killed", "--resume")
    assert resumed.code == 0 and "resumed at step 9" in resumed.err, resumed.err
    expected, found = whole.checkpoint(), resumed.checkpoint()
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        assert_equal(found[part], expected[part], part)
    assert_equal(found.get("carried"), expected.get("carried"), "carried")
    assert_equal(resumed.checkpoint("best")["state_dict"], whole.checkpoint("best")["state_dict"], "best")
    assert rows(resumed.run) == rows(whole.run)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["translation", "streams"])
def test_another_number_of_devices(fit: Callable, tiny: list[str], language: list[str], kind: str) -> None:
    """The batches of an epoch, and the rows of a stream, are shared out among a number of devices."""
    flags = [*(tiny if kind == "translation" else language), *KINDS[kind], *STEPS]
    assert fit("run", *flags, devices=2, FAIL="1:10:kill").code != 0
    done = fit("run", "--resume", "--trainer.devices", "1")
    assert done.code == 2 and "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("seqlab fit: error:")]
    assert line == (
        "seqlab fit: error: the run trains on 2 devices, and cannot go on with 1: which batches it has had follows "
        "from their number; set trainer.devices, or trainer.num_nodes, so that it is 2"
    )
