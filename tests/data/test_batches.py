"""Batches: which pairs make up which, over an epoch, corpora and devices."""

import collections
import itertools
import math

import numpy as np
import pytest

from seqlab.data import batches as module
from seqlab.data.batches import cut_batches, plan_evaluation, plan_training
from seqlab.errors import UserError

from .number_pairs import make_pairs, steps


def plans_of_all_ranks(pairs, batch_tokens, world_size, **options):
    options = {"seed": 1, "epoch": 0, **options}
    return [
        plan_training(pairs, batch_tokens, rank=rank, world_size=world_size, **options) for rank in range(world_size)
    ]


def as_lists(plan):
    return [batch.tolist() for batch in plan.batches]


TRAININGS = list(itertools.product([7, 40, 137], [24, 60, 10**6], [1, 2, 3], [1, 2, 3]))
EVALUATIONS = list(itertools.product([1, 40, 137], [1, 60, 10**6], [1, 2, 3]))


@pytest.mark.parametrize("count, batch_tokens, world_size, accumulate", TRAININGS)
def test_training_plan(count, batch_tokens, world_size, accumulate):
    """Each pair once over all ranks, as many batches on each, in the budget, and the tokens of each optimizer step."""
    pairs = make_pairs(count, seed=count)
    source, target = steps(pairs)
    plans = plans_of_all_ranks(pairs, batch_tokens, world_size, accumulate=accumulate)
    assert sorted(number for plan in plans for batch in as_lists(plan) for number in batch) == list(range(count))
    assert len({len(plan.batches) for plan in plans}) == 1
    for plan in plans:
        for batch in as_lists(plan):
            assert batch
            widest = max(max(source[number], target[number]) for number in batch)
            assert len(batch) == 1 or len(batch) * widest <= batch_tokens
        assert len(plan.step_tokens) == len(plan.batches)
    for first in range(0, len(plans[0].batches), accumulate):
        window = [batch for plan in plans for batch in as_lists(plan)[first : first + accumulate]]
        tokens = sum(target[number] for batch in window for number in batch)
        for plan in plans:
            assert set(plan.step_tokens[first : first + accumulate]) == {tokens}


def test_training_plan_over_several_pools(monkeypatch):
    """A pair that is alone in the last pool is not lost."""
    monkeypatch.setattr(module, "POOL", 16)
    plan = plan_training(make_pairs(65), 60, seed=1, epoch=0)
    assert sorted(np.concatenate(plan.batches).tolist()) == list(range(65))


def test_training_plan_pads_little():
    """Pairs of like length come together: far fewer padded tokens than batches of chance would have."""
    pairs = make_pairs(400, longest=30)
    _, target = steps(pairs)
    batches = as_lists(plan_training(pairs, 300, seed=1, epoch=0))
    padded = sum(len(batch) * max(target[number] for number in batch) for batch in batches)
    assert padded < 1.15 * sum(target)


@pytest.mark.parametrize("count, world_size", [(4, 3), (3, 2), (200, 3)])
def test_training_plan_with_too_few_batches_to_split(count, world_size):
    plans = plans_of_all_ranks(make_pairs(count), 1, world_size)
    assert sorted(number for plan in plans for batch in as_lists(plan) for number in batch) == list(range(count))
    assert len({len(plan.batches) for plan in plans}) == 1
    assert all(len(batch) for plan in plans for batch in plan.batches)


def test_training_order(monkeypatch):
    """The same for the same seed and epoch, another for any other; from pool to pool the pairs mix anew."""
    monkeypatch.setattr(module, "POOL", 16)
    pairs, keys = make_pairs(60), [(seed, epoch) for seed in (1, 2, 3) for epoch in range(3)]
    plans = {key: as_lists(plan_training(pairs, 60, seed=key[0], epoch=key[1])) for key in keys}
    for (one, first), (two, second) in itertools.combinations(plans.items(), 2):
        assert first != second, (one, two)
        assert sorted(map(sorted, first)) != sorted(map(sorted, second)), "only the batches' order differs"
    assert as_lists(plan_training(make_pairs(60), 60, seed=3, epoch=2)) == plans[3, 2]


def test_training_does_not_go_from_short_to_long():
    pairs = make_pairs(137)
    longest = [pairs.target_lengths_N[batch].max() for batch in plan_training(pairs, 60, seed=1, epoch=0).batches]
    assert len(longest) > 20 and longest not in (sorted(longest), sorted(longest, reverse=True))


PASSES = [
    [(7, 3), (33, 1)],
    [(30, 2.5), (10, 1)],
    [(30, 0.3), (10, 0)],
    [(0, 2), (17, 1.9), (23, 4.01)],
    [(40, 0.5)],
]


def planned(pairs, passes, seed=1, epoch=0, world_size=1) -> collections.Counter[int]:
    """How often an epoch has which example."""
    plans = plans_of_all_ranks(pairs, 60, world_size, seed=seed, epoch=epoch, passes=passes)
    assert len({len(plan.batches) for plan in plans}) == 1
    return collections.Counter(number for plan in plans for batch in as_lists(plan) for number in batch)


@pytest.mark.parametrize("passes", PASSES, ids=str)
def test_passes_over_corpora_are_counted(passes):
    """Each example of a corpus as often as its weight says, rounded down or up, and in all as near to it as can be."""
    pairs = make_pairs(40)
    for epoch, world_size in itertools.product(range(3), (1, 3)):
        counts, first = planned(pairs, passes, epoch=epoch, world_size=world_size), 0
        for count, weight in passes:
            found = [counts[number] for number in range(first, first + count)]
            assert sum(found) == round(count * weight)
            assert not found or {min(found), max(found)} <= {math.floor(weight), math.ceil(weight)}
            first += count


def test_part_of_a_corpus_is_drawn_anew_in_each_epoch():
    """By seed and epoch alone, however many devices there are; over epochs every example comes."""
    pairs, passes = make_pairs(40), [(30, 0.5), (10, 1)]
    keys = list(itertools.product((1, 2), range(20)))
    parts = {key: tuple(sorted(planned(pairs, passes, *key))) for key in keys}
    assert len(set(parts.values())) == len(keys)
    assert set().union(*parts.values()) == set(range(40))
    for key in keys[:3]:
        assert tuple(sorted(planned(pairs, passes, *key, world_size=3))) == parts[key]


def test_once_over_all_corpora_is_once_over_all_examples():
    pairs = make_pairs(40)
    plans = [plan_training(pairs, 60, seed=1, epoch=2, passes=passes) for passes in ((), [(15, 1.0), (25, 1.0)])]
    assert as_lists(plans[0]) == as_lists(plans[1])


def test_an_epoch_of_nothing():
    with pytest.raises(UserError, match=r"^0 training examples cannot be shared among 1 devices"):
        plan_training(make_pairs(10), 60, seed=1, epoch=0, passes=[(10, 0.04)])


def test_fewer_pairs_than_devices():
    with pytest.raises(UserError, match=r"\b2 .*\b3 devices"):
        plan_training(make_pairs(2), 100, seed=1, epoch=0, world_size=3)
    assert [as_lists(plan) for plan in plans_of_all_ranks(make_pairs(1), 100, 1)] == [[[0]]]


@pytest.mark.parametrize("count, batch_tokens, world_size", EVALUATIONS)
def test_evaluation_plan(count, batch_tokens, world_size):
    """Every pair once over all ranks, in the budget, the same each time; ranks differ by at most one batch."""
    pairs = make_pairs(count, seed=count)
    source, target = steps(pairs)
    if count < world_size and world_size > 1:
        with pytest.raises(
            UserError, match=rf"^{count} validation examples cannot be shared among {world_size} devices"
        ):
            plan_evaluation(pairs, batch_tokens, rank=0, world_size=world_size)
        return
    plans = [plan_evaluation(pairs, batch_tokens, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(number for plan in plans for batch in as_lists(plan) for number in batch) == list(range(count))
    sizes = [len(plan.batches) for plan in plans]
    assert max(sizes) - min(sizes) <= 1
    for rank, plan in enumerate(plans):
        again = plan_evaluation(make_pairs(count, seed=count), batch_tokens, rank=rank, world_size=world_size)
        assert as_lists(again) == as_lists(plan)
        for batch, tokens in zip(as_lists(plan), plan.step_tokens, strict=True):
            assert len(batch) == 1 or len(batch) * max(max(source[n], target[n]) for n in batch) <= batch_tokens
            assert tokens == sum(target[number] for number in batch)


def test_evaluation_plan_has_a_batch_for_every_device():
    assert all(plan_evaluation(make_pairs(5), 10**6, rank=rank, world_size=3).batches for rank in range(3))


def test_cut_batches():
    """As full as the budget allows: 3 x 4 and 2 x 6 fill 12; 13 alone is too long but is kept."""
    cut = cut_batches(np.array([50, 51, 52, 53, 54, 55]), np.array([2, 3, 4, 6, 6, 13]), 12)
    assert [part.tolist() for part in cut] == [[50, 51, 52], [53, 54], [55]]
