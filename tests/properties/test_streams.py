"""Properties of streams of text: every token is predicted once, in order, whatever the rows, windows and devices."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlab.data.encoded_text import EncodedText
from seqlab.data.streams import Documents, Windows, plan_windows
from seqlab.data.tokenizers import EOS, PAD

DOCUMENTS = st.lists(st.integers(1, 20), min_size=1, max_size=8)
"""Tokens of each document."""


def text_of(lengths):
    """Documents of tokens that are all different, but for the EOS at their ends."""
    tokens = np.arange(sum(lengths), dtype=np.int32) + 10
    tokens[np.cumsum(lengths) - 1] = EOS
    ones = np.ones(len(lengths), dtype=np.int64)
    return EncodedText(tokens, np.cumsum([0, *lengths[:-1]]), ones, ones, "", 0)


def test_every_token_is_predicted_once_in_order(examples):
    """From the token before it; the rows of all devices, one after the other, are the text."""

    @examples
    @given(DOCUMENTS, st.data(), st.integers(1, 30), st.booleans(), st.integers(1, 4), st.integers(1, 3))
    def check(lengths, data, length, random, world, accumulate):
        text = text_of(lengths)
        rows = data.draw(st.integers(1, len(text.tokens_S)))
        options = {"random": random, "seed": data.draw(st.integers(0, 99)), "accumulate": accumulate, "resets": True}
        devices = [
            list(Windows(text, rows, length, rank=rank, world_size=world, **options).batches()) for rank in range(world)
        ]
        assert len({len(batches) for batches in devices}) == 1
        inputs, targets, resets = [], [], []
        for batches in devices:
            for kept, name in ((inputs, "inputs_TB"), (targets, "targets_TB"), (resets, "resets_TB")):
                rows_BT = torch.cat([getattr(batch, name) for batch in batches]).T
                real_BT = torch.cat([batch.targets_TB for batch in batches]).T != PAD
                kept += [token for row, real in zip(rows_BT, real_BT, strict=True) for token in row[real].tolist()]
            assert [batch.first for batch in batches] == [True] + [False] * (len(batches) - 1)
        stream = text.tokens_S.tolist()
        assert targets == stream and inputs == [EOS, *stream[:-1]]
        assert [place for place, reset in enumerate(resets) if reset] == text.starts_N.tolist()
        for number, together in enumerate(zip(*devices, strict=True)):
            first = number // accumulate * accumulate
            step = [batch for batches in devices for batch in batches[first : first + accumulate]]
            expected = sum(int((batch.targets_TB != PAD).sum()) for batch in step)
            assert {batch.step_tokens for batch in together} == {expected}
            assert [batch.tokens for batch in together] == [int((b.targets_TB != PAD).sum()) for b in together]

    check()


def test_lengths_of_windows(examples):
    """They sum to the steps; drawn ones have 5 steps or more, but for the last."""

    @examples
    @given(st.integers(1, 500), st.integers(1, 60), st.booleans(), st.integers(0, 99), st.integers(0, 99))
    def check(steps, length, random, seed, epoch):
        windows = plan_windows(steps, length, random=random, seed=seed, epoch=epoch)
        assert sum(windows) == steps and min(windows) > 0
        assert all(window >= 5 if random else window == length for window in windows[:-1])
        assert windows == plan_windows(steps, length, random=random, seed=seed, epoch=epoch)

    check()


def test_documents(examples):
    """Any choice of them, each from EOS to its own last EOS."""

    @examples
    @given(DOCUMENTS, st.data())
    def check(lengths, data):
        text = text_of(lengths)
        chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=9))
        batch = Documents(text, np.array(chosen)).batch(np.arange(len(chosen)), 0)
        starts = [sum(lengths[:number]) for number in chosen]
        for column, (number, start) in enumerate(zip(chosen, starts, strict=True)):
            tokens = text.tokens_S[start : start + lengths[number]].tolist()
            padding = [PAD] * (max(lengths[n] for n in chosen) - len(tokens))
            assert batch.targets_TB[:, column].tolist() == tokens + padding
            assert batch.inputs_TB[:, column].tolist() == [EOS, *tokens[:-1], *padding]
        assert batch.lengths_B.tolist() == [lengths[number] for number in chosen]
        assert batch.tokens == sum(lengths[number] for number in chosen)

    check()
