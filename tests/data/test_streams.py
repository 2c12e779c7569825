"""Streams and documents: every token predicted once, from the one before it, against loops over lists."""

import itertools

import numpy as np
import pytest
import torch
from lightning.fabric.utilities import move_data_to_device

from seqlab.data.encoded_text import EncodedText, Sizes
from seqlab.data.loader import TrainingBatches
from seqlab.data.streams import Documents, StreamBatch, Windows, plan_windows, split_evenly
from seqlab.data.tokenizers import EOS, PAD, UNK


def text_of(*lengths: int) -> EncodedText:
    """Documents of so many tokens: 10, 11, 12 and so on, but EOS at the end of each."""
    tokens, starts = np.arange(sum(lengths), dtype=np.int32) + 10, np.cumsum([0, *lengths[:-1]])
    tokens[np.cumsum(lengths) - 1] = EOS
    count = np.arange(1, len(lengths) + 1)
    return EncodedText(tokens, starts.astype(np.int64), count, 10 * count, "", unknown=0)


def numbered(count: int) -> EncodedText:
    """One document of tokens that are all different."""
    return text_of(count)._replace(tokens_S=np.arange(count, dtype=np.int32) + 10)


def rows_of(batches: list[StreamBatch]) -> dict[int, tuple[list[int], list[int]]]:
    """Inputs and targets of each row over all batches, without padding; which comes last and in both alike."""
    rows: dict[int, tuple[list[int], list[int]]] = {}
    for batch in batches:
        for column, row in enumerate(batch.index_B.tolist()):
            inputs, targets = batch.inputs_TB[:, column].tolist(), batch.targets_TB[:, column].tolist()
            real = sum(target != PAD for target in targets)
            assert PAD not in targets[:real] + inputs[:real] and set(inputs[real:] + targets[real:]) <= {PAD}
            kept = rows.setdefault(row, ([], []))
            kept[0].extend(inputs[:real])
            kept[1].extend(targets[:real])
    return rows


def expected_rows(tokens: list[int], rows: int) -> dict[int, tuple[list[int], list[int]]]:
    """Rows as equal as can be, longer ones first, of the stream and of the stream behind an EOS."""
    inputs, found, place = [EOS, *tokens[:-1]], {}, 0
    for row in range(rows):
        length = len(tokens) // rows + (row < len(tokens) % rows)
        found[row] = (inputs[place : place + length], tokens[place : place + length])
        place += length
    assert place == len(tokens)
    return found


COMBINATIONS = [
    (count, rows, length, random)
    for count, rows, length in itertools.product((1, 2, 5, 7, 23, 64, 211), (1, 2, 3, 5, 7), (1, 3, 7, 50))
    for random in (False, True)
    if rows <= count
]


def test_every_token_is_predicted_once_from_the_one_before():
    for count, rows, length, random in COMBINATIONS:
        text = numbered(count)
        windows = Windows(text, rows, length, random=random, seed=3, epoch=2)
        batches = list(windows.batches())
        assert rows_of(batches) == expected_rows(text.tokens_S.tolist(), rows)
        assert sorted(torch.cat([batch.targets_TB[batch.targets_TB != PAD] for batch in batches]).tolist()) == list(
            range(10, 10 + count)
        )
        assert [len(batch.inputs_TB) for batch in batches] == plan_windows(
            -(-count // rows), length, random=random, seed=3, epoch=2
        )
        assert [batch.first for batch in batches] == [True] + [False] * (len(batches) - 1)


def test_tokens_are_counted():
    for count, rows, length, random in COMBINATIONS:
        batches = list(Windows(numbered(count), rows, length, random=random).batches())
        assert [batch.tokens for batch in batches] == [int((batch.targets_TB != PAD).sum()) for batch in batches]
        assert [batch.step_tokens for batch in batches] == [batch.tokens for batch in batches]


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("random", [False, True])
def test_devices_share_the_rows(world_size, accumulate, random):
    """Together they have those of one device, in the same windows, and agree on the tokens of each step."""
    for count, rows, length in ((211, 5, 7), (64, 5, 3), (23, 7, 3)):
        text = text_of(2, count - 2)
        options = {"random": random, "seed": 1, "accumulate": accumulate, "resets": True}
        ranks = [
            list(Windows(text, rows, length, rank=rank, world_size=world_size, **options).batches())
            for rank in range(world_size)
        ]
        whole = list(Windows(text, rows, length, **options).batches())
        assert {len(batches) for batches in ranks} == {len(whole)}
        for number, together in enumerate(zip(*ranks, strict=True)):
            for name in ("inputs_TB", "targets_TB", "resets_TB"):
                assert torch.equal(
                    torch.cat([getattr(batch, name) for batch in together], 1), getattr(whole[number], name)
                )
            assert torch.cat([batch.index_B for batch in together]).tolist() == list(range(rows))
            step = range(number // accumulate * accumulate, min(len(whole), (number // accumulate + 1) * accumulate))
            expected = sum(batches[each].tokens for batches in ranks for each in step)
            assert {batch.step_tokens for batch in together} == {expected}
            assert {batch.scale for batch in together} == {whole[number].scale}
        widths = [batches[0].inputs_TB.shape[1] for batches in ranks]
        assert max(widths) - min(widths) <= 1


def test_a_device_without_rows_has_as_many_batches_with_nothing_to_predict():
    ranks = [list(Windows(numbered(23), 2, 5, rank=rank, world_size=3, scored=True).batches()) for rank in range(3)]
    assert [len(batches) for batches in ranks] == [3, 3, 3]
    for batch in ranks[2]:
        assert batch.tokens == 0 and batch.sizes == Sizes()
        assert batch.targets_TB.shape[1] == 1 and set(batch.targets_TB.flatten().tolist()) == {PAD}
    assert sum(batch.tokens for batches in ranks for batch in batches) == 23


def test_resets_are_where_documents_begin():
    lengths = (1, 3, 1, 1, 7, 12, 2, 5)
    text, starts = text_of(*lengths), set(np.cumsum([0, *lengths]).tolist())
    for rows, length in itertools.product((1, 2, 3, 5, 7), (1, 3, 50)):
        bounds, seen = split_evenly(sum(lengths), rows), dict.fromkeys(range(rows), 0)
        for batch in Windows(text, rows, length, resets=True).batches():
            assert batch.resets_TB.dtype == torch.bool and batch.resets_TB.shape == batch.targets_TB.shape
            for row, target, reset in zip(
                batch.index_B.tolist(), batch.targets_TB.T.tolist(), batch.resets_TB.T.tolist(), strict=True
            ):
                for one_target, one_reset in zip(target, reset, strict=True):
                    if one_target == PAD:
                        assert not one_reset
                        continue
                    assert one_reset == (int(bounds[row]) + seen[row] in starts)
                    seen[row] += 1
    assert all(batch.resets_TB is None for batch in Windows(text, 3, 5).batches())


def test_the_input_is_eos_where_a_document_begins():
    batches = list(Windows(text_of(1, 3, 1, 1, 7, 12), 3, 4, resets=True).batches())
    assert all((batch.inputs_TB[batch.resets_TB] == EOS).all() for batch in batches)


def test_sizes_are_with_the_first_batch_of_an_evaluation():
    text = text_of(3, 5, 7)._replace(unknown=2)
    text.tokens_S[:2] = UNK
    expected = Sizes(words=6, bytes=60, unknown=2)
    scored = [list(Windows(text, 3, 2, rank=rank, world_size=2, scored=True).batches()) for rank in range(2)]
    assert scored[0][0].sizes == expected
    assert {batch.sizes for batch in (*scored[0][1:], *scored[1])} == {Sizes()}
    assert {batch.sizes for batch in Windows(text, 3, 2).batches()} == {Sizes()}


def test_scale_is_the_length_over_the_nominal_one():
    batches = list(Windows(numbered(500), 3, 20, random=True).batches())
    assert [batch.scale for batch in batches] == [len(batch.inputs_TB) / 20 for batch in batches]
    assert len({batch.scale for batch in batches}) > 2
    assert {batch.scale for batch in Windows(numbered(500), 3, 20).batches()} == {1.0}


# ------------------------------------------------------------------------------------------------------------- windows


def test_fixed_windows():
    assert plan_windows(10, 5) == [5, 5]
    assert plan_windows(11, 5) == [5, 5, 1]
    assert plan_windows(3, 5) == [3]


def test_random_windows_are_those_of_awd_lstm():
    """Most are drawn around the length and one in 20 around half of it, with a standard deviation of 5."""
    windows = np.array(plan_windows(2_000_000, 70, random=True, seed=1)[:-1])
    assert windows.min() >= 5
    short = windows < 52  # 3.4 deviations from either mean
    assert short.mean() == pytest.approx(0.05, abs=0.005)
    assert windows[~short].mean() == pytest.approx(70 - 0.5, abs=0.15)  # int() cuts off half on average
    assert windows[~short].std() == pytest.approx(5, abs=0.15)
    assert windows[short].mean() == pytest.approx(35 - 0.5, abs=0.5)
    assert min(plan_windows(5000, 5, random=True)[:-1]) == 5


def test_random_windows_follow_from_seed_and_epoch():
    plans = [
        plan_windows(999, 20, random=True, seed=seed, epoch=epoch) for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    assert plans[0] == plans[1]
    assert len({tuple(plan) for plan in plans}) == 3
    assert {sum(plan) for plan in plans} == {999}


def test_split_evenly():
    for count, parts in itertools.product(range(30), range(1, 9)):
        sizes = [len(part) for part in np.array_split(np.arange(count), parts)]
        assert np.diff(split_evenly(count, parts)).tolist() == sizes


# ------------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_goes_on_where_it_was(workers):
    def training() -> TrainingBatches:
        return TrainingBatches(
            lambda epoch: Windows(numbered(211), 3, 7, random=True, seed=1, epoch=epoch).batches(), workers=workers
        )

    whole, cut, resumed = training(), training(), training()
    for each in (whole, cut, resumed):
        each.set_epoch(4)
    expected = [batch.targets_TB.tolist() for batch in whole]
    assert len(whole) == len(expected)
    running = iter(cut)
    taken = [next(running).targets_TB.tolist() for _ in range(3)]
    resumed.load_state_dict(cut.state_dict())
    rest = list(resumed)
    assert taken + [batch.targets_TB.tolist() for batch in rest] == expected
    assert not rest[0].first
    resumed.set_epoch(5)
    assert next(iter(resumed)).first


def test_a_batch_goes_to_a_device_whole():
    """With what is no tensor, and what is not there."""
    for batch in (
        next(iter(Windows(numbered(23), 3, 7, scored=True).batches())),
        Documents(text_of(2, 3)).batch(np.array([1, 0]), 5),
    ):
        moved = move_data_to_device(batch, torch.device("meta"))
        assert isinstance(moved, StreamBatch) and isinstance(moved.sizes, Sizes)
        assert moved.inputs_TB.device.type == moved.targets_TB.device.type == "meta"
        kept = ("resets_TB", "first", "scale", "tokens", "step_tokens", "sizes")
        assert [getattr(moved, name) for name in kept] == [getattr(batch, name) for name in kept]
        assert batch.inputs_TB.dtype == batch.targets_TB.dtype == torch.int64


# ----------------------------------------------------------------------------------------------------------- documents


def test_documents_on_their_own():
    """Each from EOS to its own EOS, padded; numbers as they were asked for."""
    text = text_of(3, 1, 5)
    documents = Documents(text)
    assert len(documents) == 3
    assert documents.source_lengths_N.tolist() == documents.target_lengths_N.tolist() == [3, 1, 5]
    batch = documents.batch(np.array([2, 0, 1]), 77)
    assert batch.inputs_TB.T.tolist() == [
        [EOS, 14, 15, 16, 17],
        [EOS, 10, 11, PAD, PAD],
        [EOS, PAD, PAD, PAD, PAD],
    ]
    assert batch.targets_TB.T.tolist() == [
        [14, 15, 16, 17, EOS],
        [10, 11, EOS, PAD, PAD],
        [EOS, PAD, PAD, PAD, PAD],
    ]
    assert batch.index_B.tolist() == [2, 0, 1] and batch.lengths_B.tolist() == [5, 3, 1]
    assert (batch.tokens, batch.step_tokens, batch.first, batch.scale, batch.resets_TB) == (9, 77, True, 1.0, None)


def test_sizes_of_documents_are_those_of_each_batch():
    text = text_of(3, 1, 5)._replace(unknown=3)
    text.tokens_S[[0, 5, 6]] = UNK
    documents = Documents(text)
    assert documents.batch(np.array([2, 0]), 0).sizes == Sizes(words=3 + 1, bytes=30 + 10, unknown=3)
    sizes = [documents.batch(np.array([number]), 0).sizes for number in range(3)]
    assert tuple(map(sum, zip(*sizes, strict=True))) == text.sizes


def test_selected_documents():
    documents = Documents(text_of(3, 1, 5, 2)).select(np.array([1, 2, 3])).select(np.array([0, 2]))
    assert documents.target_lengths_N.tolist() == [1, 2]
    assert documents.batch(np.array([1]), 0).targets_TB.T.tolist() == [[19, EOS]]
    assert documents.batch(np.array([1]), 0).sizes.words == 4
