"""Early stopping of a run that is taken up: it ends where it was to end, unless it has more patience now."""

import pytest
from lightning.pytorch.callbacks import EarlyStopping

from seqlab.training.saving import StopEarly


class Loop:
    """What a trainer is for early stopping."""

    def __init__(self):
        self.should_stop = False


def stopper(patience: int) -> StopEarly:
    return StopEarly("val/score", mode="max", patience=patience, check_on_train_epoch_end=False, verbose=False)


@pytest.mark.parametrize(("patience", "stops"), [(1, True), (2, True), (3, False)])
def test_a_run_that_was_to_end_ends(patience: int, stops: bool) -> None:
    """Two validations without a better score: the patience that counts is that of the resumed run."""
    state = {**stopper(2).state_dict(), "wait_count": 2}
    callback, trainer = stopper(patience), Loop()
    callback.load_state_dict(state)
    assert callback.patience == patience
    callback.on_train_start(trainer, None)
    assert trainer.should_stop is stops


def test_older_checkpoints_know_it() -> None:
    assert stopper(2).state_key == EarlyStopping("val/score", mode="max").state_key
