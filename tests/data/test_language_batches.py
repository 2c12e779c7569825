"""Batches of language modelling: rows of one stream shared among devices, or documents on their own."""

import hashlib
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqlab.data.language_text import LanguageText
from seqlab.data.tokenizers import EOS, PAD, TokenizerSettings
from seqlab.errors import UserError

PTB = os.environ.get("SEQLAB_PTB")
"""The folder of train.txt and valid.txt of the Penn Treebank, which cannot be shipped."""


def on_rank(data: LanguageText, rank: int, world_size: int, accumulate: int = 1) -> LanguageText:
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=world_size, accumulate_grad_batches=accumulate, current_epoch=0
    )
    return data


def targets(batches) -> list[int]:
    """All targets, row by row where batches are windows of the same rows, else batch by batch."""
    made = [batch.targets_TB for batch in batches]
    if len({batch.shape[1] for batch in made}) == 1:
        made = [torch.cat(made)]
    return [token for batch in made for token in batch.T.flatten().tolist() if token != PAD]


# ------------------------------------------------------------------------------------------------------------- streams


@pytest.mark.skipif(PTB is None, reason="SEQLAB_PTB names no folder of the Penn Treebank")
def test_counts_of_the_penn_treebank(tmp_path, monkeypatch, language_text):
    """Those of every paper since Mikolov's: 929,589 and 73,760 tokens, a vocabulary of 10,000 besides PAD and BOS."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    train_file, val_file = Path(PTB) / "train.txt", Path(PTB) / "valid.txt"
    data = language_text(str(train_file), val=str(val_file), tokenizer=TokenizerSettings("word", 20_000))
    data.prepare()
    train, val = data.describe("train"), data.describe("val")
    assert (train["tokens"], val["tokens"]) == (train["words"], val["words"]) == (929_589, 73_760)
    assert (train["documents"], len(data.tokenizer)) == (42_068, 10_000 + 2)
    assert train["sha256"] == hashlib.sha256(train_file.read_bytes()).hexdigest()
    assert train["bytes"] == train_file.stat().st_size
    assert len(data.train_dataloader()) == math.ceil(math.ceil(929_589 / 3) / 7)
    assert sum(batch.tokens for batch in data.val_dataloader()) == 73_760


@pytest.mark.parametrize("random_window", [False, True])
def test_training_predicts_the_whole_stream_in_rows(files, random_window, language_text, stream_of):
    data = language_text(**files, random_window=random_window)
    batches = list(data.train_dataloader())
    assert targets(batches) == stream_of(data, "train")
    assert {batch.inputs_TB.shape[1] for batch in batches} == {3}
    assert len({batch.scale for batch in batches}) > 1 if random_window else {batch.scale for batch in batches} == {1.0}


def test_random_windows_follow_from_seed_and_epoch(files, language_text):
    def lengths(seed: int, epoch: int) -> list[int]:
        loader = language_text(**files, seed=seed, random_window=True).train_dataloader()
        loader.set_epoch(epoch)
        return [len(batch.inputs_TB) for batch in loader]

    assert lengths(1, 0) == lengths(1, 0)
    assert len({tuple(lengths(*which)) for which in ((1, 0), (2, 0), (1, 1))}) == 3


def test_evaluations_predict_the_whole_stream_in_as_many_rows_as_asked_for(files, language_text, stream_of):
    data = language_text(**files, test_streams=2, validation_streams=3)
    for batches, split, rows in (
        (data.val_dataloader(), "val", 3),
        (data.evaluation_batches("val"), "val", 2),
        (data.evaluation_batches("test"), "test", 2),
        (data.evaluation_batches("test", window=5), "test", 2),
    ):
        made = list(batches)
        assert targets(made) == stream_of(data, split)
        assert {batch.inputs_TB.shape[1] for batch in made} == {rows}
        sums = [sum(batch.sizes[field] for batch in made) for field in range(3)]
        assert sums == [data.describe(split)[name] for name in ("words", "bytes", "unknown")]
    assert max(len(batch.inputs_TB) for batch in data.evaluation_batches("test", window=5)) == 5
    assert {len(batch.index_B) for batch in language_text(**files).evaluation_batches("test")} == {1}, "one stream"


def test_two_devices_have_rows_of_their_own(files, language_text, stream_of):
    """Each as many as asked for; windows and the tokens of a step are the same on both."""
    ranks = [on_rank(language_text(**files), rank, 2, accumulate=2) for rank in range(2)]
    batches = [list(data.train_dataloader()) for data in ranks]
    assert targets(batches[0]) + targets(batches[1]) == stream_of(ranks[0], "train")
    assert {len(batch.index_B) for rank in batches for batch in rank} == {3}
    assert [batch.step_tokens for batch in batches[0]] == [batch.step_tokens for batch in batches[1]]
    assert batches[0][0].step_tokens == 2 * 6 * 7
    for make in (LanguageText.val_dataloader, lambda data: data.evaluation_batches("test")):
        shares = [list(make(data)) for data in ranks]
        assert sorted(token for share in shares for token in targets(share)) == sorted(
            targets(make(language_text(**files)))
        )
        assert len({len(share) for share in shares}) == 1


def test_documents_begin_where_the_state_is_reset(files, write_lines, language_text):
    train = write_lines("train.txt", ["one two", "", "three", "four", "", "five"] * 20)
    for unit, starts in (("line", 120), ("paragraph", 41), ("file", 1)):
        data = language_text(train, val=files["val"], document=unit, reset_documents=True)
        assert sum(int(batch.resets_TB.sum()) for batch in data.train_dataloader()) == starts
        assert data.describe("train")["documents"] == starts
        assert all(batch.resets_TB is not None for batch in data.evaluation_batches("val"))
    assert all(batch.resets_TB is None for batch in language_text(train, val=files["val"]).train_dataloader())


def test_a_text_that_is_too_short(files, write_lines, language_text):
    short = write_lines("short.txt", ["a b c d", "b"])  # seven tokens
    with pytest.raises(
        UserError, match=r"^the train text has 7 tokens, .*: 3 rows \(data\.streams\) x 7 tokens \(data"
    ):
        language_text(short, val=files["val"]).prepare()
    language_text(short, val=files["val"], streams=1).prepare()
    with pytest.raises(UserError, match=r"^the val text has 7 tokens, .*: 8 rows \(data\.validation_streams\) x 1"):
        language_text(files["train"], val=short, validation_streams=8).prepare()
    with pytest.raises(UserError, match=r"^the test text has 7 tokens, .*: 8 rows \(data\.test_streams\) x 1"):
        language_text(files["train"], val=files["val"], test=short, test_streams=8).prepare()
    with pytest.raises(UserError, match=r"7 tokens, .*: 2 rows \(data\.streams\) x 7 tokens"):
        len(on_rank(language_text(short, val=files["val"], streams=1), 0, 2).train_dataloader())
    language_text(files["train"], val=short, validation_streams=7, stateful=False).prepare()


# ----------------------------------------------------------------------------------------------------------- documents


def test_documents_as_examples(files, write_lines, language_text, lines_of, stream_of):
    """In an evaluation all of them, blank ones too, each from EOS to its EOS and padded little."""
    lines = lines_of(20)
    lines[3] = lines[11] = ""
    data = language_text(**{**files, "val": write_lines("val.txt", lines)}, stateful=False, batch_tokens=40)
    for split in ("val", "test"):
        batches = list(data.evaluation_batches(split))
        assert sorted(number for batch in batches for number in batch.index_B.tolist()) == list(
            range(data.describe(split)["documents"])
        )
        assert all(batch.first and batch.targets_TB.numel() <= 40 for batch in batches)
        assert all((batch.inputs_TB[0] == EOS).all() for batch in batches)
        for batch in batches:
            for column, (number, length) in enumerate(
                zip(batch.index_B.tolist(), batch.lengths_B.tolist(), strict=True)
            ):
                line = data.tokenizer.encode(lines[number] if split == "val" else lines_of(10)[number])
                assert batch.targets_TB[:length, column].tolist() == [*line, EOS]
        sums = [sum(batch.sizes[field] for batch in batches) for field in range(3)]
        assert sums == [data.describe(split)[name] for name in ("words", "bytes", "unknown")]
        assert data.describe(split)["streams"] is None
    assert sorted(targets(data.val_dataloader())) == sorted(stream_of(data, "val"))


def test_training_documents_that_are_left_out(files, write_lines, messages, language_text, lines_of):
    lines = lines_of(30)
    lines[4], lines[9], lines[20] = "", " ", " ".join(["red"] * 10)
    data = language_text(write_lines("train.txt", lines), val=files["val"], stateful=False, max_length=9)
    kept = [line for number, line in enumerate(lines) if number not in (4, 9, 20)]
    batches = list(data.train_dataloader())
    assert sorted(targets(batches)) == sorted(token for line in kept for token in (*data.tokenizer.encode(line), EOS))
    assert "data: left 3 of these documents out: 2 blank ones, 1 of over 9 tokens" in messages
    assert data.describe("train")["documents"] == 30
    with pytest.raises(UserError, match=r"none of 30 training documents is left: 2 blank ones, 28 of over 1 tokens"):
        language_text(write_lines("train.txt", lines), val=files["val"], stateful=False, max_length=1).prepare()


def test_documents_are_in_an_order_of_the_seed(files, language_text):
    orders = [
        [batch.index_B.tolist() for batch in language_text(**files, stateful=False, seed=seed).train_dataloader()]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
