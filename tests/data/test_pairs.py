"""Encoded pairs: what a batch of them holds."""

import numpy as np
import torch

from seqlab.data.pairs import Ragged

from .number_pairs import make_pairs, steps


def test_ragged():
    rows = [[5, 6], [], [7, 8, 9], [4]]
    ragged = Ragged(rows)
    assert len(ragged) == 4 and ragged.lengths_N.tolist() == [2, 0, 3, 1]
    assert [row.tolist() for row in (ragged[index] for index in range(4))] == rows
    chosen = ragged.select(np.array([3, 0]))
    assert (chosen[0].tolist(), chosen[1].tolist(), len(Ragged([]))) == ([4], [5, 6], 0)


def test_batch_against_a_naive_loop():
    """Source closed by EOS, target between BOS and EOS, padding after that, time first."""
    pairs = make_pairs(30)
    index = [7, 3, 29, 11]
    batch = pairs.batch(np.array(index), 1234, references=True)
    for side, tensor, opening in (("source", batch.source_SB, []), ("target", batch.target_TB, [2])):
        rows = [[*opening, *map(int, pairs.corpus[number][side].split()), 3] for number in index]
        longest = max(map(len, rows))
        assert tensor.T.tolist() == [row + [0] * (longest - len(row)) for row in rows]
        assert tensor.dtype == torch.int64
    source, target = steps(pairs)
    assert batch.index_B.tolist() == index
    assert batch.source_lengths_B.tolist() == [source[number] for number in index]
    assert batch.tokens == sum(target[number] for number in index)
    assert batch.step_tokens == 1234
    assert batch.references == [[pairs.corpus[number]["target"]] for number in index]
    assert pairs.batch(np.array(index), 1234).references == []


def test_selected_pairs_keep_text_and_tokens_together():
    pairs = make_pairs(30)
    chosen = pairs.select(np.array([4, 8, 15]))
    assert len(chosen) == 3 and len(pairs) == 30
    batch = chosen.batch(np.array([1]), 1, references=True)
    assert batch.references == [[pairs.corpus[8]["target"]]]
    assert batch.target_TB.T.tolist() == [[2, *map(int, pairs.corpus[8]["target"].split()), 3]]
