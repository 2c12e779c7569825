"""A carried state: rows of the devices that it is shared among, and rows that are no numbers."""

import math

import pytest
import torch

from seqlab.tasks.carried import gathered, restarted, share_of

CPU = torch.device("cpu")


def state(rows: int = 6):
    """Two cells, the second with parts of unequal sizes."""
    sizes = ((3,), (5, 2))
    return tuple(tuple(torch.rand(rows, size) for size in parts) for parts in sizes)


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_each_device_gets_its_rows(devices):
    whole, rows = state(), 6 // devices
    for rank in range(devices):
        share = share_of(whole, rank, devices, CPU)
        for cell, parts in enumerate(whole):
            for number, part in enumerate(parts):
                assert torch.equal(share[cell][number], part[rank * rows : (rank + 1) * rows])


def test_one_device_saves_what_it_has():
    whole = state()
    saved = gathered(whole, 1)
    assert [[part is own for part, own in zip(*cells, strict=True)] for cells in zip(saved, whole, strict=True)] == [
        [True],
        [True, True],
    ]


def test_rows_that_are_not_finite_start_anew_in_every_part():
    whole = state()
    expected = tuple(tuple(part.clone() for part in cell) for cell in whole)
    whole[0][0][1, 2], whole[1][1][4, 0] = math.nan, -math.inf
    for cell, parts in zip(restarted(whole), expected, strict=True):
        for part, was in zip(cell, parts, strict=True):
            was[[1, 4]] = 0
            assert torch.equal(part, was)
