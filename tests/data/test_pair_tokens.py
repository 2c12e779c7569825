"""From text to the tokens of pairs: where they lie, BPE-dropout by epoch, vocabularies, what is unknown."""

import io
import logging

import numpy as np
import pytest
import torch
from datasets import Dataset

from seqlab.data import encoding, token_files
from seqlab.data.encoding import LineEncoder
from seqlab.data.pairs import EncodedPairs, Ragged
from seqlab.data.parallel_text import ParallelText
from seqlab.data.token_files import encode_texts
from seqlab.data.tokenizers import BOS, EOS, UNK, TokenizerSettings, make_tokenizer
from seqlab.errors import UserError

SOURCES = [f"the house {number} stands at {'long ' * (number % 5)}street {number * 7 % 90}" for number in range(90)]
TARGETS = [f"das Haus {number} in der {'langen ' * (number % 4)}Straße {number * 7 % 90}" for number in range(90)]


@pytest.fixture
def prefix(tmp_path) -> str:
    for suffix, lines in (("en", SOURCES), ("de", TARGETS)):
        (tmp_path / f"train.{suffix}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (tmp_path / f"val.{suffix}").write_text("".join(f"{line}\n" for line in lines[-9:]), encoding="utf-8")
    return str(tmp_path / "train")


def module(prefix: str, **options) -> ParallelText:
    settings = {"tokenizer": TokenizerSettings("bpe", 90, dropout=0.3), "batch_tokens": 150, **options}
    return ParallelText("en", "de", prefix, prefix.replace("train", "val"), **settings)


def epoch(data: ParallelText, number: int) -> list[tuple]:
    loader = data.train_dataloader()
    loader.set_epoch(number)
    return content(loader)


def content(batches) -> list[tuple]:
    return [
        (batch.index_B.tolist(), batch.source_SB.tolist(), batch.target_TB.tolist(), batch.step_tokens)
        for batch in batches
    ]


# -------------------------------------------------------------------------------------------------------------- tokens


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Every text is kept in files, and encoded in several chunks."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_files, "CACHED_FROM", 0)
    monkeypatch.setattr(encoding, "CHUNK", 400)
    return tmp_path / "cache" / "tokens"


def test_sequences_of_a_file_are_neither_read_nor_copied(cache):
    words = make_tokenizer(SOURCES, TokenizerSettings("word", 500))
    tokens = encode_texts(SOURCES, LineEncoder(words), size=1, count=90, label="it", checksum=b"1")
    ragged = Ragged.of(tokens)
    assert ragged.lengths_N.dtype == np.int32
    chosen = ragged.select(np.array([80, 3, 41])).select(np.array([2, 0]))
    assert len(chosen) == 2 and chosen.lengths_N.tolist() == [len(words.encode(SOURCES[n])) + 1 for n in (41, 80)]
    for part in (ragged, chosen):
        assert np.shares_memory(part._flat, tokens.tokens_S) and np.shares_memory(part._starts, tokens.starts_N)
    assert [chosen[n].tolist() for n in (0, 1)] == [[*words.encode(SOURCES[n]), EOS] for n in (41, 80)]
    rows = [[7, 8, *words.encode(SOURCES[n]), EOS, 9] for n in (80, 41)]
    longest = max(map(len, rows))
    assert chosen.padded(np.array([1, 0]), [7, 8], [9]).T.tolist() == [row + [0] * (longest - len(row)) for row in rows]


def test_batches_are_the_same_from_files_and_from_memory(cache, prefix, monkeypatch):
    settings = TokenizerSettings("bpe", 90)
    mapped = module(prefix, tokenizer=settings, max_length=14)
    found = epoch(mapped, 1)
    assert isinstance(mapped._examples("train").source._flat.base, np.memmap)
    assert len(list(cache.iterdir())) == 2 * 2
    assert epoch(module(prefix, tokenizer=settings, max_length=14), 1) == found
    monkeypatch.setattr(token_files, "CACHED_FROM", 1 << 22)
    monkeypatch.delenv("SEQLAB_CACHE")
    assert epoch(module(prefix, tokenizer=settings, max_length=14), 1) == found
    assert 0 < sum(len(batch[0]) for batch in found) < 90, "some are left out"


# -------------------------------------------------------------------------------------------------------------- dropout


def test_each_epoch_is_drawn_anew_and_the_same_each_time(prefix):
    data, again = module(prefix), module(prefix)
    first, second = epoch(data, 0), epoch(data, 1)
    assert epoch(again, 1) == second and epoch(again, 0) == first and epoch(data, 0) == first, "in any order"
    assert first != second != epoch(module(prefix, seed=2), 1)
    decode = data.source_tokenizer.decode
    for index, sources, targets, _ in first + second:
        for column, number in enumerate(index):
            source, target = ([row[column] for row in side] for side in (sources, targets))
            assert (decode(source), decode(target)) == (SOURCES[number], TARGETS[number])
            assert target[0] == BOS and source.count(EOS) == target.count(EOS) == 1
    assert content(data.val_dataloader()) == content(
        module(prefix, tokenizer=TokenizerSettings("bpe", 90)).val_dataloader()
    ), "only training text"


def test_lengths_are_planned_after_dropout(prefix):
    """So that batches are as full as they may be, and none is fuller; pairs are left out by their length without it."""
    data = module(prefix, max_length=14, tokenizer=TokenizerSettings("bpe", 90, dropout=0.6))
    whole = module(prefix, max_length=14, tokenizer=TokenizerSettings("bpe", 90))
    kept = {number for batch in epoch(whole, 0) for number in batch[0]}
    for number in (0, 1):
        batches = epoch(data, number)
        assert {index for batch in batches for index in batch[0]} == kept
        for index, source, target, tokens in batches:
            assert len(index) == 1 or len(index) * max(len(source), len(target) - 1) <= 150
            assert tokens == sum(token != 0 for row in target[1:] for token in row)
        assert sum(batch[3] for batch in batches) > 1.2 * sum(batch[3] for batch in epoch(whole, number))


def test_what_is_dropped_does_not_depend_on_which_pairs_are_left_out(prefix):
    drawn = {}
    for longest in (14, 100):
        for index, source, _, _ in epoch(module(prefix, max_length=longest), 3):
            corpus = module(prefix, max_length=longest).encoded("train").corpus["source"]
            for column, number in enumerate(index):
                row = [line[column] for line in source if line[column]]
                assert drawn.setdefault(corpus[number], row) == row
    assert len(drawn) == 90


def test_processes_and_files_change_nothing(prefix, cache, monkeypatch):
    found = epoch(module(prefix), 2)
    several = module(prefix)._examples("train")
    pairs = several.with_dropout((0.3, 0.3), seed=1, epoch=2, processes=2)
    assert isinstance(pairs.source._flat.base, np.memmap)
    for index, source, target, _ in found:
        batch = pairs.batch(np.array(index), 1)
        assert (batch.source_SB.tolist(), batch.target_TB.tolist()) == (source, target)
    assert len(list(cache.iterdir())) == 2 * 2, "drawn tokens are not kept"


def test_a_run_that_was_cut_goes_on_with_the_same_batches(prefix):
    data = module(prefix)
    reference = epoch(data, 1)
    loader = data.train_dataloader()
    loader.set_epoch(1)
    running = iter(loader)
    taken = content(next(running) for _ in range(4))
    file = io.BytesIO()
    torch.save(data.state_dict(), file)
    file.seek(0)
    resumed = module(prefix)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert taken + epoch(resumed, 1) == reference and len(reference) > 6


def test_each_side_has_dropout_of_its_own(prefix):
    settings = TokenizerSettings("bpe", 70)
    for options, changed in (
        ({"tokenizer": TokenizerSettings("bpe", 70, dropout=0.3), "target_tokenizer": settings}, [True, False]),
        ({"tokenizer": settings, "target_tokenizer": TokenizerSettings("bpe", 70, dropout=0.3)}, [False, True]),
    ):
        data = module(prefix, **options)
        epochs = []
        for number in (0, 1):
            rows = {}
            for index, source, target, _ in epoch(data, number):
                for column, pair in enumerate(index):
                    rows[pair] = [[row[column] for row in side if row[column]] for side in (source, target)]
            epochs.append(rows)
        assert [any(epochs[0][n][side] != epochs[1][n][side] for n in range(90)) for side in (0, 1)] == changed


# ------------------------------------------------------------------------------------------------ separate vocabularies


def test_each_side_has_a_tokenizer_of_its_own_text(prefix):
    target = TokenizerSettings("word", 300)
    data = module(prefix, tokenizer=TokenizerSettings("bpe", 70), target_tokenizer=target)
    assert data.source_tokenizer.model == make_tokenizer(SOURCES, TokenizerSettings("bpe", 70)).model
    assert data.target_tokenizer.model == make_tokenizer(TARGETS, target).model
    state = data.state_dict()
    assert set(state) == {"position", "tokenizer", "target_tokenizer"}
    restored = module("nowhere", tokenizer=TokenizerSettings("bpe", 70), target_tokenizer=target)
    restored.load_state_dict(state)
    assert restored.source_tokenizer.model == data.source_tokenizer.model
    assert restored.target_tokenizer.model == data.target_tokenizer.model
    batch = data.encoded("train").batch(np.array([5]), 1)
    assert data.source_tokenizer.decode(batch.source_SB[:, 0].tolist()) == SOURCES[5]
    assert data.target_tokenizer.decode(batch.target_TB[:, 0].tolist()) == " ".join(TARGETS[5].split())


def test_a_joint_tokenizer_has_one_key(prefix):
    data = module(prefix)
    assert set(data.state_dict()) == {"position", "tokenizer"} and data.target_tokenizer is data.source_tokenizer


@pytest.mark.parametrize(
    "options, message",
    [
        ({"target_tokenizer": TokenizerSettings("bpe", 9)}, r"set data\.target_tokenizer\.vocab_size to \d+ or more"),
        ({"target_tokenizer": TokenizerSettings("word", 5)}, r"data\.target_tokenizer\.vocab_size \(5,"),
        (
            {"target_tokenizer": TokenizerSettings(file="x.model")},
            r"^data\.target_tokenizer\.file: cannot read x\.model",
        ),
        ({"target_tokenizer": TokenizerSettings("word", dropout=0.1)}, r"^data\.target_tokenizer\.dropout \(0\.1\)"),
        ({"target_tokenizer": "word"}, r"^data\.target_tokenizer is a group of settings"),
        (
            {"tokenizer": TokenizerSettings("bpe", dropout=-0.1)},
            r"^data\.tokenizer\.dropout \(-0\.1\) is a probability",
        ),
    ],
)
def test_wrong_settings(prefix, options, message):
    with pytest.raises(UserError, match=message) as error:
        module(prefix, **{"tokenizer": TokenizerSettings("bpe", 70), **options}).prepare()
    assert "\n" not in str(error.value)


# -------------------------------------------------------------------------------------------------------------- unknown


def test_unknown_tokens_are_counted_by_side(prefix):
    words = make_tokenizer(["the house stands at street das Haus"], TokenizerSettings("word", 50))
    pairs = EncodedPairs(Dataset.from_dict({"source": SOURCES, "target": TARGETS}), words, words)
    for side, lines in (("source", SOURCES), ("target", TARGETS)):
        tokens = [token for line in lines for token in words.encode(line)]
        assert pairs.unknown[side] == (tokens.count(UNK), len(tokens))


def test_many_unknown_tokens_are_warned_of_with_a_remedy(prefix, messages, caplog):
    caplog.set_level(logging.INFO, "seqlab")
    module(prefix, tokenizer=TokenizerSettings("word", 40)).prepare()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 4
    for warning, (side, split) in zip(
        warnings, [(side, split) for split in ("train", "val") for side in ("source", "target")], strict=True
    ):
        assert warning.startswith("data: ") and f"% of the {side} tokens of data.{split} are unknown" in warning
        assert warning.endswith("take subwords (data.tokenizer.kind bpe), or a larger data.tokenizer.vocab_size")
    messages.clear()
    module(prefix, tokenizer=TokenizerSettings("word", 400)).prepare()
    assert not [message for message in messages if "unk" in message]
