"""The base of data modules: what follows for one that only says where its examples come from."""

import hashlib
from typing import NamedTuple

import numpy as np
import pytest
import torch

from seqlab.data.base import DataModule
from seqlab.data.pairs import Ragged
from seqlab.errors import UserError


class Batch(NamedTuple):
    index_B: torch.Tensor
    numbers_SB: torch.Tensor
    tokens: int
    step_tokens: int


class Numbers:
    """Rows of numbers, each with one target."""

    def __init__(self, rows: list[list[int]]):
        self.rows = Ragged(rows)
        self.source_lengths_N, self.target_lengths_N = self.rows.lengths_N, np.ones(len(rows), dtype=np.int64)

    def batch(self, index_B: np.ndarray, step_tokens: int) -> Batch:
        return Batch(torch.from_numpy(index_B), self.rows.padded(index_B, [], []), len(index_B), step_tokens)


class Counting(DataModule):
    """Train of 41 rows of one to seven numbers, val of 5, no test."""

    def __init__(self, **options: int):
        super().__init__(**options)
        self.asked: list[str] = []

    def has(self, split: str) -> bool:
        return split != "test"

    def text(self, split: str) -> list[dict[str, int]]:
        return [{"row": row, "length": row % 7 + 1} for row in range(41 if split == "train" else 5)]

    def encoded(self, split: str) -> Numbers:
        self.asked.append(split)
        return Numbers([[row["row"]] * row["length"] for row in self.text(split)])


def numbers(batches) -> list[list[int]]:
    return [batch.index_B.tolist() for batch in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return sorted(number for batch in batches for number in batch)


def test_splits_are_encoded_once_and_before_the_fit():
    data = Counting()
    data.prepare()
    assert data.asked == ["train", "val"]
    assert list(data.train_dataloader()) and list(data.val_dataloader()) and list(data.evaluation_batches("train"))
    assert data.asked == ["train", "val"]


def test_batches_hold_every_example_once_within_the_budget():
    data = Counting(batch_tokens=21)
    for batches, count in ((data.train_dataloader(), 41), (data.val_dataloader(), 5)):
        made = list(batches)
        assert len(batches) == len(made) >= 1
        assert flat(numbers(made)) == list(range(count))
        assert all(batch.numbers_SB.numel() <= 21 for batch in made)
        assert all(batch.tokens == batch.step_tokens == len(batch.index_B) for batch in made)


def test_order_depends_on_the_seed():
    orders = [numbers(Counting(batch_tokens=21, seed=seed).train_dataloader()) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_cut_epoch_goes_on_where_it_was():
    data, resumed = Counting(batch_tokens=21), Counting(batch_tokens=21)
    running = iter(data.train_dataloader())
    taken = numbers(next(running) for _ in range(3))
    resumed.load_state_dict(data.state_dict())
    rest = numbers(resumed.train_dataloader())
    assert rest == numbers(running) != []
    assert flat(taken + rest) == list(range(41))


def test_description_of_the_data():
    digest = hashlib.sha256(b"0\t1\n1\t2\n2\t3\n3\t4\n4\t5\n").hexdigest()
    assert Counting().describe("val") == {"split": "val", "examples": 5, "sha256": digest}


@pytest.mark.parametrize("options", [{"batch_tokens": 0}, {"workers": -1}])
def test_sizes_must_be_positive(options):
    with pytest.raises(UserError, match=f"data.{next(iter(options))} "):
        Counting(**options)


def test_what_has_to_be_written():
    class Unfinished(DataModule):
        def has(self, split):
            return True

    with pytest.raises(TypeError, match=r"abstract class Unfinished .*encoded.*text"):
        Unfinished()
