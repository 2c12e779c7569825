"""Properties of plans of batches and of padding, whatever the lengths are."""

import math
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlab.data.batches import cut_batches, plan_evaluation, plan_training
from seqlab.data.pairs import Ragged
from seqlab.data.tokenizers import PAD

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=4, max_size=40)
BUDGETS, WORLDS, ACCUMULATED = st.integers(1, 200), st.integers(1, 4), st.integers(1, 3)
EPOCHS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 1000))
SEQUENCES = st.lists(st.lists(st.integers(4, 99), max_size=9), min_size=1, max_size=12)


def examples_of(lengths):
    source, target = np.array(lengths).T
    return SimpleNamespace(source_lengths_N=source, target_lengths_N=target)


def check_budget(batches, lengths, budget):
    """All batches keep it; one may not where all others are single examples: then devices have too few to share."""
    over = [batch for batch in batches if len(batch) > 1 and len(batch) * max(max(lengths[n]) for n in batch) > budget]
    assert not over or (len(over) == 1 and sum(len(batch) > 1 for batch in batches) == 1)


def test_training_plans(examples):
    """Every example once, the same number of batches on all ranks, and the tokens of each optimizer step."""

    @examples
    @given(LENGTHS, BUDGETS, WORLDS, ACCUMULATED, EPOCHS)
    def check(lengths, budget, world, accumulate, of):
        options = {"seed": of[0], "epoch": of[1], "world_size": world, "accumulate": accumulate}
        plans = [plan_training(examples_of(lengths), budget, rank=rank, **options) for rank in range(world)]
        batches = [[batch.tolist() for batch in plan.batches] for plan in plans]
        assert sorted(n for rank in batches for batch in rank for n in batch) == list(range(len(lengths)))
        assert len({len(rank) for rank in batches}) == 1 and all(all(rank) for rank in batches)
        check_budget([batch for rank in batches for batch in rank], lengths, budget)
        for number in range(len(batches[0])):
            first = number // accumulate * accumulate
            step = [n for rank in batches for batch in rank[first : first + accumulate] for n in batch]
            assert {plan.step_tokens[number] for plan in plans} == {sum(lengths[n][1] for n in step)}
        for rank, plan in enumerate(plans):
            again = plan_training(examples_of(lengths), budget, rank=rank, **options)
            assert [batch.tolist() for batch in again.batches] == batches[rank]
            assert again.step_tokens == plan.step_tokens

    check()


def test_weights_of_corpora(examples):
    """Each corpus is passed over as often as its weight says, and its examples as evenly as can be."""

    @examples
    @given(st.lists(st.tuples(st.integers(0, 15), st.floats(0, 3)), min_size=1, max_size=4), WORLDS, EPOCHS)
    def check(passes, world, of):
        asked = [round(count * weight) for count, weight in passes]
        if sum(asked) < world:
            return
        lengths = [(1 + n % 7, 1 + n % 5) for n in range(sum(count for count, _ in passes))]
        options = {"seed": of[0], "epoch": of[1], "world_size": world, "passes": passes}
        plans = [plan_training(examples_of(lengths), 30, rank=rank, **options) for rank in range(world)]
        counts, first = Counter(n for plan in plans for batch in plan.batches for n in batch.tolist()), 0
        for (count, weight), total in zip(passes, asked, strict=True):
            found = [counts[n] for n in range(first, first + count)]
            assert sum(found) == total
            assert all(math.floor(weight) <= times <= math.ceil(weight) for times in found)
            first += count

    check()


def test_evaluation_plans(examples):
    """Every example once over all ranks, within the budget; ranks differ by at most one batch."""

    @examples
    @given(LENGTHS, BUDGETS, WORLDS)
    def check(lengths, budget, world):
        plans = [plan_evaluation(examples_of(lengths), budget, rank=rank, world_size=world) for rank in range(world)]
        batches = [batch.tolist() for plan in plans for batch in plan.batches]
        assert sorted(n for batch in batches for n in batch) == list(range(len(lengths)))
        sizes = [len(plan.batches) for plan in plans]
        assert min(sizes) > 0 and max(sizes) - min(sizes) <= 1
        for plan in plans:
            for batch, tokens in zip(plan.batches, plan.step_tokens, strict=True):
                assert len(batch) == 1 or len(batch) * max(max(lengths[n]) for n in batch) <= budget
                assert tokens == sum(lengths[n][1] for n in batch)

    check()


def test_cuts_are_as_wide_as_can_be(examples):
    """In order, none empty, each within the budget or alone, and none that its neighbour's first would still fit in."""

    @examples
    @given(st.lists(st.integers(1, 30), min_size=1, max_size=40), BUDGETS)
    def check(lengths, budget):
        parts = [part.tolist() for part in cut_batches(np.arange(len(lengths)), np.array(lengths), budget)]
        assert [n for part in parts for n in part] == list(range(len(lengths))) and all(parts)

        def padded(part):
            return len(part) * max(lengths[n] for n in part)

        assert all(len(part) == 1 or padded(part) <= budget for part in parts)
        for part, after in pairwise(parts):
            assert padded([*part, after[0]]) > budget

    check()


def test_padding(examples):
    """Any choice of any choice of sequences, against lists."""

    @examples
    @given(SEQUENCES, st.data())
    def check(sequences, data):
        numbers = st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=9)
        first = data.draw(numbers)
        second = data.draw(st.lists(st.integers(0, len(first) - 1), min_size=1, max_size=9))
        opening, closing = data.draw(st.sampled_from([([], []), ([2], []), ([], [3]), ([2, 2], [3])]))
        ragged = Ragged(sequences).select(np.array(first))
        assert [ragged[n].tolist() for n in range(len(ragged))] == [sequences[n] for n in first]
        chosen = [sequences[first[n]] for n in second]
        for rows in (ragged.padded(np.array(second), opening, closing), ragged.select(np.array(second))):
            if isinstance(rows, Ragged):
                rows = rows.padded(np.arange(len(second)), opening, closing)
            whole = [[*opening, *sequence, *closing] for sequence in chosen]
            longest = max(map(len, whole))
            expected = [row + [PAD] * (longest - len(row)) for row in whole]
            assert torch.equal(rows, torch.tensor(expected, dtype=torch.int64).reshape(len(whole), longest).T)

    check()
