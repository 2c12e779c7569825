"""The speed of a training, by a clock that the tests set."""

from types import SimpleNamespace

import pytest

from seqlab.training.throughput import Throughput, untimed


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("seqlab.training.throughput.time.perf_counter", clock)
    return clock


def train(throughput: Throughput, tokens: int, devices: int = 1) -> None:
    trainer, batch = SimpleNamespace(world_size=devices), SimpleNamespace(tokens=tokens)
    throughput.on_train_batch_end(trainer, None, None, batch, 0)


def test_tokens_per_second(clock):
    """Target tokens of all devices from the end of one batch to the end of the next; validation does not count."""
    throughput = Throughput()
    assert throughput.mean == 0
    throughput.on_train_start(None, None)
    for clock.now, tokens in ((2.0, 40), (3.0, 10), (100.0, None), (101.0, 30)):
        if tokens is None:
            throughput.on_validation_end(None, None)
        else:
            train(throughput, tokens, devices=3)
    assert throughput.mean == pytest.approx(3 * (40 + 10 + 30) / (2 + 1 + 1))
    assert (throughput.seconds, throughput.wall) == (4, 101)  # the second counts the validation
    assert throughput.recent == pytest.approx(0.98 * (0.98 * 60 + 0.02 * 30) + 0.02 * 90)
    resumed = Throughput()
    resumed.load_state_dict(throughput.state_dict())
    resumed.on_train_start(None, None)
    clock.now = 107.0
    assert resumed.wall == 107
    resumed.on_train_end(None, None)
    clock.now = 200.0
    assert resumed.wall == 107
    older = Throughput()
    older.load_state_dict({"tokens": 3, "seconds": 4.0})
    assert older.wall == 4


def test_what_is_untimed_counts_nowhere(clock):
    """Not before the first batch, between the end of one and its counting, after it, or when it fails."""
    throughput = Throughput()
    trainer = SimpleNamespace(callbacks=[object(), throughput])

    def elsewhere(error: type[Exception] | None = None) -> None:
        with untimed(trainer):
            clock.now += 1000
            if error is not None:
                raise error

    elsewhere()  # a callback whose turn is before that of the clocks
    throughput.on_train_start(trainer, None)
    elsewhere()
    clock.now += 2
    elsewhere()
    train(throughput, 40)
    assert (throughput.tokens, throughput.seconds, throughput.wall, throughput.recent) == (40, 2, 2, 20)
    clock.now += 3
    with pytest.raises(ZeroDivisionError):
        elsewhere(ZeroDivisionError)
    throughput.on_validation_end(trainer, None)
    elsewhere()
    clock.now += 4
    train(throughput, 20)
    assert (throughput.tokens, throughput.seconds, throughput.wall) == (60, 6, 9)
    with untimed(SimpleNamespace(callbacks=[object()])):  # a trainer without the clocks
        clock.now += 1
    assert throughput.wall == 10
