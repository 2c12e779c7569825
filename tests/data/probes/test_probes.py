"""The probes' sequences, each against a plain reading of its rule, and what of them becomes a batch."""

import numpy as np
import pytest
import torch

from seqlab.data.probes import AddingProblem, Brackets, CopyingMemory, DelayedRecall, Probe
from seqlab.data.probes.base import NOTHING
from seqlab.errors import UserError

SMALL = {"train_size": 40, "val_size": 7, "test_size": 5}
PROBES: list[Probe] = [
    CopyingMemory(symbols=3, copied=2, delay=4, **SMALL),
    AddingProblem(steps=7, **SMALL),
    DelayedRecall(symbols=3, shortest=2, longest=6, **SMALL),
    Brackets(kinds=3, depth=2, pairs=5, **SMALL),
]


def rows(probe: Probe, split: str = "train") -> list[tuple[list, list]]:
    """Inputs and targets of each sequence, without padding."""
    drawn = probe.encoded(split)
    return [
        (inputs[:length].tolist(), targets[:length].tolist())
        for inputs, targets, length in zip(drawn.inputs, drawn.targets_NT, drawn.source_lengths_N, strict=True)
    ]


def test_copying() -> None:
    for inputs, targets in rows(PROBES[0]):
        assert inputs[2:6] == [3] * 4 and inputs[6] == 4 and inputs[7:] == [3, 3]
        assert targets == [NOTHING] * 7 + inputs[:2]
    assert {symbol for inputs, _ in rows(PROBES[0]) for symbol in inputs[:2]} == {0, 1, 2}


def test_adding() -> None:
    for inputs, targets in rows(PROBES[1]):
        marked = [step for step, (_, mark) in enumerate(inputs) if mark]
        assert marked[0] < 3 <= marked[1] and len(marked) == 2
        assert targets[:-1] == [NOTHING] * 6
        assert targets[-1] == pytest.approx(sum(inputs[step][0] for step in marked))


def test_recall() -> None:
    lengths = set()
    for inputs, targets in rows(PROBES[2]):
        assert inputs[0] in (0, 1, 2) and set(inputs[1:-1]) <= {3, 4, 5} and inputs[-1] == 6
        assert targets == [NOTHING] * (len(inputs) - 1) + [inputs[0]]
        lengths.add(len(inputs) - 2)
    assert lengths == {2, 3, 4, 5, 6}


def test_brackets() -> None:
    deepest = 0
    for inputs, targets in rows(PROBES[3]):
        stack: list[int] = []
        for step, symbol in enumerate(inputs):
            if symbol < 3:
                stack.append(symbol)
                assert step == 0 or targets[step - 1] == NOTHING
            else:
                assert symbol - 3 == stack.pop() == targets[step - 1]
            deepest = max(deepest, len(stack))
        assert not stack and len(inputs) == 10 and targets[-1] == NOTHING
    assert deepest == 2


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
def test_sequences_follow_from_their_own_seed(probe: Probe) -> None:
    same = type(probe)(**SMALL, draw_seed=1, seed=7), type(probe)(**SMALL, draw_seed=1, seed=8)
    assert rows(same[0]) == rows(same[1])
    assert rows(same[0]) != rows(type(probe)(**SMALL, draw_seed=2))
    assert rows(probe, "val") != rows(probe)[:7] and len(rows(probe, "val")) == 7


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)
def test_a_batch(probe: Probe) -> None:
    drawn, index_B = probe.encoded("train"), np.array([5, 3, 11])
    batch = drawn.batch(index_B, 99)
    assert batch.index_B.tolist() == [5, 3, 11] and batch.step_tokens == 99
    assert batch.tokens == int((batch.targets_TB != NOTHING).sum())
    for column, (inputs, targets) in enumerate(rows(probe)[number] for number in index_B):
        length = int(batch.lengths_B[column])
        assert torch.equal(batch.inputs[:length, column], torch.tensor(inputs, dtype=batch.inputs.dtype))
        assert torch.equal(batch.targets_TB[:length, column], torch.tensor(targets, dtype=batch.targets_TB.dtype))
        assert (batch.targets_TB[length:, column] == NOTHING).all()


def test_text() -> None:
    first, (inputs, targets) = PROBES[2].text("train")[0], rows(PROBES[2])[0]
    assert first == {"input": " ".join(map(str, inputs)), "target": ". " * (len(inputs) - 1) + str(targets[-1])}
    assert PROBES[1].text("val")[0]["input"].count(",") == 7


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: CopyingMemory(symbols=1), "data.symbols must be between 2 and"),
        (lambda: CopyingMemory(delay=-1), "data.delay must be between 0 and"),
        (lambda: AddingProblem(steps=1), "data.steps must be between 2 and"),
        (lambda: DelayedRecall(shortest=9, longest=8), "data.longest must be between 9 and"),
        (lambda: Brackets(depth=0), "data.depth must be between 1 and"),
        (lambda: Brackets(val_size=0), "data.val_size must be between 1 and"),
    ],
)
def test_wrong_numbers(make, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        make()
