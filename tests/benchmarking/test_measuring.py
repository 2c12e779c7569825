"""Turns, clock and memory."""

import gc

import pytest
import torch
from torch import nn

from seqlab.benchmarking import measuring
from seqlab.benchmarking.contestants import Contestant
from seqlab.benchmarking.measuring import conditions, measure, peak_memory
from seqlab.benchmarking.results import FORWARD, TRAINING

CPU = torch.device("cpu")


class Clock:
    """Stands for the module ``time``; it goes on only when someone works."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Worker(nn.Module):
    """Takes so many seconds of a clock, and writes down its name and whether garbage would be collected."""

    def __init__(self, name: str, seconds: float, clock: Clock, diary: list):
        super().__init__()
        self.name, self.seconds, self.clock, self.diary = name, seconds, clock, diary
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        self.clock.now += self.seconds
        self.diary.append((self.name, torch.is_grad_enabled(), gc.isenabled()))
        return x * self.weight


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measuring, "time", clock)
    return clock


def test_turns(clock: Clock) -> None:
    diary: list = []
    x = torch.ones(2, 3, requires_grad=True)
    seconds = {"a": 2.0, "b": 3.0, "c": 5.0, "d": 7.0}
    contestants = [Contestant(name, "", Worker(name, takes, clock, diary), x) for name, takes in seconds.items()]
    measure(contestants, [TRAINING, FORWARD], 6, "title")
    everyone = sorted((name, training) for name in seconds for training in (True, False))
    rounds = [diary[start : start + 8] for start in range(0, len(diary), 8)]
    assert len(rounds) == 7, "six that are timed, and one for the memory"
    assert all(sorted(turn[:2] for turn in turns) == everyone for turns in rounds), "each once"
    assert len({tuple(turns) for turns in rounds[:6]}) == 6, "in an order of its own"
    assert not any(collects for turns in rounds[:6] for *_, collects in turns)
    assert gc.isenabled()
    for contestant in contestants:
        taken = [seconds[contestant.cell]] * 6
        assert contestant.seconds == {TRAINING: taken, FORWARD: taken}
        assert contestant.module.weight.grad is None and x.grad is None


def test_the_order_is_the_same_in_every_run(clock: Clock) -> None:
    diaries: list[list] = [[], []]
    for diary in diaries:
        x = torch.ones(2, 3, requires_grad=True)
        measure([Contestant(name, "", Worker(name, 1.0, clock, diary), x) for name in "abcd"], [TRAINING], 3, "title")
    assert diaries[0] == diaries[1]


def test_memory_of_a_graph_counts(clock: Clock) -> None:
    worker = Contestant("a", "", Worker("a", 1.0, clock, []), torch.ones(250, 3, requires_grad=True), held=10**6)
    measure([worker], [FORWARD], 1, "title")
    assert worker.memory == {FORWARD: 10**6 + 250 * 3 * 4}


def test_the_collector_comes_back_after_an_error() -> None:
    class Failing(nn.Module):
        def forward(self, x):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        measure([Contestant("a", "", Failing(), torch.ones(2))], [FORWARD], 1, "title")
    assert gc.isenabled()


def test_peak_memory_is_the_highest_sum() -> None:
    def one_after_the_other() -> None:
        for megabytes in (3, 4, 2):
            torch.ones(megabytes * 250_000)

    def at_once() -> None:
        first, second = torch.ones(750_000), torch.ones(500_000)
        del first
        torch.cat([second, second[:1]])  # 2 MB, 2 MB and 4 bytes: less than the 3 + 2 before

    assert peak_memory(one_after_the_other, CPU) == 4_000_000
    assert peak_memory(at_once, CPU) == 5_000_000
    assert peak_memory(one_after_the_other, CPU) == 4_000_000, "nothing is left of an earlier one"


def test_peak_memory_knows_what_a_kernel_takes_for_itself() -> None:
    """torch's GRU saves its gates for the backward pass, 5 values for each output, which no tensor of ours shows."""
    gru, x = nn.GRU(11, 13), torch.ones(17, 19, 11)
    gates = 17 * 19 * 13 * 4

    def training() -> None:
        gru(x)

    def forward() -> None:
        with torch.no_grad():
            gru(x)

    assert peak_memory(training, CPU) > 5 * gates
    assert peak_memory(forward, CPU) < peak_memory(training, CPU)


def test_the_profiler_writes_nothing(capfd: pytest.CaptureFixture) -> None:
    peak_memory(lambda: None, CPU)
    assert capfd.readouterr() == ("", "")


def test_conditions_are_put_back() -> None:
    def state() -> tuple:
        return torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = state()
    with conditions(before[0] + 1, "tf32"):
        assert state() == (before[0] + 1, True, True)
    assert state() == before
    with pytest.raises(ValueError), conditions(None, "float32"):
        assert state() == (before[0], False, False)
        raise ValueError
    assert state() == before
