"""The batches of training, and how an epoch that was cut goes on."""

import pytest

from seqlab.data.batches import PlannedBatches, plan_training
from seqlab.data.loader import TrainingBatches

from .number_pairs import make_pairs


def loader(workers: int = 0) -> TrainingBatches:
    pairs = make_pairs(60)
    return TrainingBatches(
        lambda epoch: PlannedBatches(pairs, plan_training(pairs, 60, seed=1, epoch=epoch)), workers=workers
    )


def content(batches) -> list[tuple]:
    return [(batch.index_B.tolist(), batch.target_TB.tolist(), batch.step_tokens) for batch in batches]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_resume_in_mid_epoch(workers):
    """Exactly the batches that were not handed out, however many workers had built ahead; then whole epochs again."""
    reference = loader()
    epochs = []
    for epoch in range(4):
        reference.set_epoch(epoch)
        epochs.append(content(reference))
    cut = loader(workers)
    cut.set_epoch(2)
    assert len(cut) == len(epochs[2]) > 6
    started = iter(cut)
    assert content(next(started) for _ in range(4)) == epochs[2][:4]
    state = cut.state_dict()
    started.close()

    resumed = loader(workers)
    resumed.load_state_dict(state)
    resumed.set_epoch(2)
    assert content(resumed) == epochs[2][4:]
    resumed.set_epoch(3)
    assert content(resumed) == epochs[3]


def test_resume_of_a_resumed_epoch():
    """The position counts from the epoch's beginning, not from the resume."""
    state, taken = {"epoch": 0, "taken": 0}, []
    for count in (2, 3):
        part = loader()
        part.load_state_dict(state)
        running = iter(part)
        taken += content(next(running) for _ in range(count))
        state = part.state_dict()
    assert taken == content(loader())[:5]


def test_resume_after_the_last_batch_of_an_epoch():
    finished = loader()
    assert content(finished)
    resumed = loader()
    resumed.load_state_dict(finished.state_dict())
    assert content(resumed) == []
    resumed.set_epoch(1)
    assert len(content(resumed)) == len(resumed)


def test_a_loaded_position_is_the_position():
    resumed = loader()
    resumed.load_state_dict({"epoch": 2, "taken": 4})
    assert resumed.state_dict() == {"epoch": 2, "taken": 4}
