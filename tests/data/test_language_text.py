"""The data module of language modelling: splits, streams and documents, what is left out, what a checkpoint keeps."""

import hashlib
import io
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqlab.data import encoded_text
from seqlab.data.language_text import LanguageText
from seqlab.data.pydocs import pydocs
from seqlab.data.tokenizers import EOS, PAD, UNK, TokenizerSettings
from seqlab.errors import UserError

PTB = Path(__file__).parents[3] / "shared" / "data" / "ptb"
WORDS = TokenizerSettings("word", 100)
COLOURS = ("red", "blue", "green", "grey", "pink")


def lines_of(count: int) -> list[str]:
    """Lines of one to five words, the second of which says which line it is."""
    return [" ".join([COLOURS[number % 5], str(number), *COLOURS])[: 8 + number % 17] for number in range(count)]


@pytest.fixture
def write(tmp_path):
    def write(name: str, lines: list[str]) -> str:
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def files(write) -> dict[str, str]:
    """A training text of 100 lines, a validation text of 20, a test text of 10."""
    return {name: write(f"{name}.txt", lines_of(count)) for name, count in (("train", 100), ("val", 20), ("test", 10))}


def module(train="pydocs", **options) -> LanguageText:
    return LanguageText(train, **{"tokenizer": WORDS, "streams": 3, "window": 7, "validation_streams": 2, **options})


def on_rank(data: LanguageText, rank: int, world_size: int, accumulate: int = 1) -> LanguageText:
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=world_size, accumulate_grad_batches=accumulate, current_epoch=0
    )
    return data


def stream_of(data: LanguageText, split: str) -> list[int]:
    return [token for text in data.text(split)["text"] for token in encoded_text.encode_text(text, data.tokenizer)]


def targets(batches) -> list[int]:
    """All targets, row by row where batches are windows of the same rows, else batch by batch."""
    made = [batch.targets_TB for batch in batches]
    if len({batch.shape[1] for batch in made}) == 1:
        made = [torch.cat(made)]
    return [token for batch in made for token in batch.T.flatten().tolist() if token != PAD]


# -------------------------------------------------------------------------------------------------------------- splits


def test_built_in_text_has_splits_of_its_own():
    data = module(document="file")
    assert all(map(data.has, ("train", "val", "test")))
    for split in ("train", "val", "test"):
        assert list(data.text(split)["text"]) == pydocs(split)


def test_files_for_each_split(files, messages):
    data = module(**files)
    assert [len(data.text(split)) for split in ("train", "val", "test")] == [100, 20, 10]
    assert list(data.text("val")["text"]) == lines_of(20)
    data.prepare()
    assert not [message for message in messages if "held" in message]


def test_validation_text_is_held_out_from_the_end(files, messages):
    data = module(files["train"])
    data.prepare()
    assert list(data.text("train")["text"]) == lines_of(100)[:95]
    assert list(data.text("val")["text"]) == lines_of(100)[95:]
    assert data.describe("val")["documents"] == 5
    held_out = "data: held the last 5 training documents out for validation (data.val is null)"
    assert messages.count(held_out) == 1, "not at each reading"
    assert list(module(files["train"]).text("val")["text"]) == lines_of(100)[95:], "whichever is read first"


def test_too_few_documents_to_hold_some_out(write):
    train = write("train.txt", lines_of(19))
    with pytest.raises(UserError, match=r"is 19 documents, too few.*: give data\.val$"):
        module(train).text("val")
    with pytest.raises(UserError, match=r"is 1 documents, too few.*data\.val, or .*--data\.document line$"):
        module(train, document="file").prepare()


def test_a_missing_test_text_names_the_flag(files):
    data = module(files["train"], val=files["val"])
    assert data.has("val") and not data.has("test")
    data.prepare()
    with pytest.raises(UserError, match=r"--data\.test "):
        data.text("test")


def test_prepare_finds_what_is_wrong_with_any_split(files):
    for split in ("train", "val", "test"):
        with pytest.raises(UserError, match="nowhere"):
            module(**{**files, split: "nowhere"}).prepare()


@pytest.mark.parametrize(
    "setting", ["streams", "window", "validation_streams", "test_streams", "max_length", "batch_tokens"]
)
def test_sizes_must_be_positive(setting):
    with pytest.raises(UserError, match=rf"data\.{setting} \(0\)"):
        module(**{setting: 0})


def test_settings_of_the_tokenizer_are_a_group():
    with pytest.raises(UserError, match=r"data\.tokenizer is a group of settings"):
        module(tokenizer="word")


# ------------------------------------------------------------------------------------------------------------- streams


@pytest.mark.skipif(not PTB.is_dir(), reason="needs the Penn Treebank")
def test_counts_of_the_penn_treebank(tmp_path, monkeypatch):
    """Those of every paper since Mikolov's: 929,589 and 73,760 tokens, a vocabulary of 10,000 besides PAD and BOS."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    data = module(str(PTB / "train.txt"), val=str(PTB / "valid.txt"), tokenizer=TokenizerSettings("word", 20_000))
    data.prepare()
    train, val = data.describe("train"), data.describe("val")
    assert (train["tokens"], val["tokens"]) == (train["words"], val["words"]) == (929_589, 73_760)
    assert (train["documents"], len(data.tokenizer)) == (42_068, 10_000 + 2)
    assert train["sha256"] == hashlib.sha256((PTB / "train.txt").read_bytes()).hexdigest()
    assert train["bytes"] == (PTB / "train.txt").stat().st_size
    assert len(data.train_dataloader()) == math.ceil(math.ceil(929_589 / 3) / 7)
    assert sum(batch.tokens for batch in data.val_dataloader()) == 73_760


@pytest.mark.parametrize("random_window", [False, True])
def test_training_predicts_the_whole_stream_in_rows(files, random_window):
    data = module(**files, random_window=random_window)
    batches = list(data.train_dataloader())
    assert targets(batches) == stream_of(data, "train")
    assert {batch.inputs_TB.shape[1] for batch in batches} == {3}
    assert len({batch.scale for batch in batches}) > 1 if random_window else {batch.scale for batch in batches} == {1.0}


def test_random_windows_follow_from_seed_and_epoch(files):
    def lengths(seed: int, epoch: int) -> list[int]:
        loader = module(**files, seed=seed, random_window=True).train_dataloader()
        loader.set_epoch(epoch)
        return [len(batch.inputs_TB) for batch in loader]

    assert lengths(1, 0) == lengths(1, 0)
    assert len({tuple(lengths(*which)) for which in ((1, 0), (2, 0), (1, 1))}) == 3


def test_evaluations_predict_the_whole_stream_in_as_many_rows_as_asked_for(files):
    data = module(**files, test_streams=2, validation_streams=3)
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
    assert {len(batch.index_B) for batch in module(**files).evaluation_batches("test")} == {1}, "one stream"


def test_two_devices_have_rows_of_their_own(files):
    """Each as many as asked for; windows and the tokens of a step are the same on both."""
    ranks = [on_rank(module(**files), rank, 2, accumulate=2) for rank in range(2)]
    batches = [list(data.train_dataloader()) for data in ranks]
    assert targets(batches[0]) + targets(batches[1]) == stream_of(ranks[0], "train")
    assert {len(batch.index_B) for rank in batches for batch in rank} == {3}
    assert [batch.step_tokens for batch in batches[0]] == [batch.step_tokens for batch in batches[1]]
    assert batches[0][0].step_tokens == 2 * 6 * 7
    for make in (LanguageText.val_dataloader, lambda data: data.evaluation_batches("test")):
        shares = [list(make(data)) for data in ranks]
        assert sorted(token for share in shares for token in targets(share)) == sorted(targets(make(module(**files))))
        assert len({len(share) for share in shares}) == 1


def test_documents_begin_where_the_state_is_reset(files, write):
    train = write("train.txt", ["one two", "", "three", "four", "", "five"] * 20)
    for unit, starts in (("line", 120), ("paragraph", 41), ("file", 1)):
        data = module(train, val=files["val"], document=unit, reset_documents=True)
        assert sum(int(batch.resets_TB.sum()) for batch in data.train_dataloader()) == starts
        assert data.describe("train")["documents"] == starts
        assert all(batch.resets_TB is not None for batch in data.evaluation_batches("val"))
    assert all(batch.resets_TB is None for batch in module(train, val=files["val"]).train_dataloader())


def test_a_text_that_is_too_short(files, write):
    short = write("short.txt", ["a b c d", "b"])  # seven tokens
    with pytest.raises(
        UserError, match=r"^the train text has 7 tokens, .*: 3 rows \(data\.streams\) x 7 tokens \(data"
    ):
        module(short, val=files["val"]).prepare()
    module(short, val=files["val"], streams=1).prepare()
    with pytest.raises(UserError, match=r"^the val text has 7 tokens, .*: 8 rows \(data\.validation_streams\) x 1"):
        module(files["train"], val=short, validation_streams=8).prepare()
    with pytest.raises(UserError, match=r"^the test text has 7 tokens, .*: 8 rows \(data\.test_streams\) x 1"):
        module(files["train"], val=files["val"], test=short, test_streams=8).prepare()
    with pytest.raises(UserError, match=r"7 tokens, .*: 2 rows \(data\.streams\) x 7 tokens"):
        len(on_rank(module(short, val=files["val"], streams=1), 0, 2).train_dataloader())
    module(files["train"], val=short, validation_streams=7, stateful=False).prepare()


# ----------------------------------------------------------------------------------------------------------- documents


def test_documents_as_examples(files):
    """In an evaluation all of them, blank ones too, each from EOS to its EOS and padded little."""
    data = module(**files, stateful=False, batch_tokens=40)
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
                line = data.tokenizer.encode(lines_of(20)[number])
                assert batch.targets_TB[:length, column].tolist() == [*line, EOS]
        sums = [sum(batch.sizes[field] for batch in batches) for field in range(3)]
        assert sums == [data.describe(split)[name] for name in ("words", "bytes", "unknown")]
        assert data.describe(split)["streams"] is None
    assert sorted(targets(data.val_dataloader())) == sorted(stream_of(data, "val"))


def test_training_documents_that_are_left_out(files, write, messages):
    lines = lines_of(30)
    lines[4], lines[9], lines[20] = "", " ", " ".join(COLOURS * 2)
    data = module(write("train.txt", lines), val=files["val"], stateful=False, max_length=9)
    kept = [line for number, line in enumerate(lines) if number not in (4, 9, 20)]
    batches = list(data.train_dataloader())
    assert sorted(targets(batches)) == sorted(token for line in kept for token in (*data.tokenizer.encode(line), EOS))
    assert "data: left 3 of these documents out: 2 blank ones, 1 of over 9 tokens" in messages
    assert data.describe("train")["documents"] == 30
    with pytest.raises(UserError, match=r"none of 30 training documents is left: 2 blank ones, 28 of over 1 tokens"):
        module(write("train.txt", lines), val=files["val"], stateful=False, max_length=1).prepare()


def test_documents_are_in_an_order_of_the_seed(files):
    orders = [
        [batch.index_B.tolist() for batch in module(**files, stateful=False, seed=seed).train_dataloader()]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


# ----------------------------------------------------------------------------------------------- tokenizer, checkpoint


def test_tokenizer_is_of_the_training_text_alone(files, write):
    data = module(files["train"], val=write("val.txt", ["red purple"] * 2), validation_streams=1)
    red, purple = data.tokenizer.encode("red purple")
    assert red != UNK and purple == UNK
    assert data.describe("val")["unknown"] == 2


def test_many_unknown_words_are_told_of_once(files, write, messages):
    """Over a fifth of the tokens, ends of lines included."""
    few, many = ["red blue red", "purple"] * 3, ["red purple", "purple"] * 3
    for lines, told in ((few, 0), (many, 1)):
        messages.clear()
        data = module(files["train"], val=write("val.txt", lines))
        data.prepare()
        list(data.val_dataloader())
        warnings = [message for message in messages if "unknown to the tokenizer" in message]
        assert len(warnings) == told
    assert warnings == [
        "data: 40 % of the tokens of data.val are unknown to the tokenizer: is it text of the same kind?"
    ]


def test_subwords_are_lossless_by_default(files):
    data = LanguageText(**{**files, "tokenizer": LanguageText().settings})
    data.settings.vocab_size = 300
    line = "  red   blue, 紅 "
    assert data.tokenizer.decode(data.tokenizer.encode(line)) == line


@pytest.mark.parametrize("stateful", [True, False])
def test_state_goes_through_a_checkpoint(files, stateful):
    """Tokenizer and position survive a file that may hold only tensors, numbers, text and bytes."""
    data = module(**files, stateful=stateful, random_window=True, batch_tokens=40)
    loader = data.train_dataloader()
    loader.set_epoch(1)
    running = iter(loader)
    taken = [next(running).targets_TB.tolist() for _ in range(3)]
    file = io.BytesIO()
    torch.save(data.state_dict(), file)
    file.seek(0)
    restored = module(**files, stateful=stateful, random_window=True, batch_tokens=40)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert restored.tokenizer.model == data.tokenizer.model
    resumed = restored.train_dataloader()
    resumed.set_epoch(1)
    rest = [batch.targets_TB.tolist() for batch in resumed]
    assert rest and rest == [batch.targets_TB.tolist() for batch in running]
    fresh = module(**files, stateful=stateful, random_window=True, batch_tokens=40).train_dataloader()
    fresh.set_epoch(1)
    assert taken + rest == [batch.targets_TB.tolist() for batch in fresh]


def test_a_loaded_tokenizer_is_not_trained_again(files, write, messages):
    """Even where the text is another one by now."""
    state = module(**files).state_dict()
    messages.clear()
    data = module(write("other.txt", ["something else"] * 60), val=files["val"])
    data.load_state_dict(state)
    data.prepare()
    assert data.tokenizer.decode(data.tokenizer.encode("red blue")) == "red blue"
    assert not [message for message in messages if "training a" in message]


def test_what_a_score_says_of_its_data(files):
    data = module(**files, test_streams=2)
    found = data.describe("test")
    text = Path(files["test"]).read_bytes()
    assert found == {
        "name": files["test"],
        "split": "test",
        "documents": 10,
        "tokens": len(stream_of(data, "test")),
        "words": len(text.split()) + 10,
        "bytes": len(text),
        "unknown": 0,
        "sha256": hashlib.sha256(text).hexdigest(),
        "streams": 2,
    }
    assert json.loads(json.dumps(found)) == found


def test_tokens_of_a_large_text_are_not_made_twice(files, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encoded_text, "CACHED_FROM", 0)
    module(**files).prepare()
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 2 * 3
    monkeypatch.setattr(encoded_text, "_encode", lambda *_: pytest.fail("encoded again"))
    data = module(**files)
    data.prepare()
    assert targets(data.train_dataloader()) == stream_of(data, "train")
