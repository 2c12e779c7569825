"""The data module of language modelling: its splits, its tokenizer, and what a checkpoint keeps."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqlab.data import token_files
from seqlab.data.language_text import LanguageText
from seqlab.data.pydocs import pydocs
from seqlab.data.tokenizers import UNK, TokenizerSettings
from seqlab.errors import UserError
from seqlab.metrics import BitsPerByte


def test_built_in_text_has_splits_of_its_own(language_text):
    data = language_text(document="file")
    assert all(map(data.has, ("train", "val", "test")))
    for split in ("train", "val", "test"):
        assert list(data.text(split)["text"]) == pydocs(split)


def test_files_for_each_split(files, messages, language_text, lines_of):
    data = language_text(**files)
    assert [len(data.text(split)) for split in ("train", "val", "test")] == [100, 20, 10]
    assert list(data.text("val")["text"]) == lines_of(20)
    data.prepare()
    assert not [message for message in messages if "held" in message]


def test_validation_text_is_held_out_from_the_end(files, messages, language_text, lines_of):
    data = language_text(files["train"])
    data.prepare()
    assert list(data.text("train")["text"]) == lines_of(100)[:95]
    assert list(data.text("val")["text"]) == lines_of(100)[95:]
    assert data.describe("val")["documents"] == 5
    held_out = "data: held the last 5 training documents out for validation (data.val is null)"
    assert messages.count(held_out) == 1, "not at each reading"
    assert list(language_text(files["train"]).text("val")["text"]) == lines_of(100)[95:], "whichever is read first"


def test_too_few_documents_to_hold_some_out(write_lines, language_text, lines_of):
    train = write_lines("train.txt", lines_of(19))
    with pytest.raises(UserError, match=r"is 19 documents, too few.*: give data\.val$"):
        language_text(train).text("val")
    with pytest.raises(UserError, match=r"is 1 documents, too few.*data\.val, or .*--data\.document line$"):
        language_text(train, document="file").prepare()


def test_a_missing_test_text_names_the_flag(files, language_text):
    data = language_text(files["train"], val=files["val"])
    assert data.has("val") and not data.has("test")
    data.prepare()
    with pytest.raises(UserError, match=r"--data\.test "):
        data.text("test")


def test_prepare_finds_what_is_wrong_with_any_split(files, language_text):
    for split in ("train", "val", "test"):
        with pytest.raises(UserError, match="nowhere"):
            language_text(**{**files, split: "nowhere"}).prepare()


@pytest.mark.parametrize(
    "setting", ["streams", "window", "validation_streams", "test_streams", "max_length", "batch_tokens"]
)
def test_sizes_must_be_positive(setting, language_text):
    with pytest.raises(UserError, match=rf"^data\.{setting} must be between 1 and 1,000,000,000, not 0$"):
        language_text(**{setting: 0})


def test_settings_of_the_tokenizer_are_a_group(language_text):
    with pytest.raises(UserError, match=r"data\.tokenizer is a group of settings"):
        language_text(tokenizer="word")


# ----------------------------------------------------------------------------------------------- tokenizer, checkpoint


def test_tokenizer_is_of_the_training_text_alone(files, write_lines, language_text):
    data = language_text(files["train"], val=write_lines("val.txt", ["red purple"] * 2), validation_streams=1)
    red, purple = data.tokenizer.encode("red purple")
    assert red != UNK and purple == UNK
    assert data.describe("val")["unknown"] == 2


def test_many_unknown_words_are_told_of_once(files, write_lines, messages, language_text):
    """Over a fifth of the tokens, ends of lines included."""
    few, many = ["red blue red", "purple"] * 3, ["red purple", "purple"] * 3
    for lines, told in ((few, 0), (many, 1)):
        messages.clear()
        data = language_text(files["train"], val=write_lines("val.txt", lines))
        data.prepare()
        list(data.val_dataloader())
        warnings = [message for message in messages if "unknown to the tokenizer" in message]
        assert len(warnings) == told
    assert warnings == [
        "data: 40 % of the tokens of data.val are unknown to the tokenizer: is it text of the same kind?"
    ]


def test_subwords_are_lossless_by_default(files):
    settings = replace(LanguageText().settings, kind="bpe", vocab_size=300)
    data = LanguageText(**files, tokenizer=settings)
    line = "  red   blue, 紅 "
    assert data.tokenizer.decode(data.tokenizer.encode(line)) == line


@pytest.mark.parametrize("stateful", [True, False])
def test_state_goes_through_a_checkpoint(files, stateful, language_text):
    """Tokenizer and position survive a file that may hold only tensors, numbers, text and bytes."""
    data = language_text(**files, stateful=stateful, random_window=True, batch_tokens=40)
    loader = data.train_dataloader()
    loader.set_epoch(1)
    running = iter(loader)
    taken = [next(running).targets_TB.tolist() for _ in range(3)]
    file = io.BytesIO()
    torch.save(data.state_dict(), file)
    file.seek(0)
    restored = language_text(**files, stateful=stateful, random_window=True, batch_tokens=40)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert restored.tokenizer.model == data.tokenizer.model
    resumed = restored.train_dataloader()
    resumed.set_epoch(1)
    rest = [batch.targets_TB.tolist() for batch in resumed]
    assert rest and rest == [batch.targets_TB.tolist() for batch in running]
    fresh = language_text(**files, stateful=stateful, random_window=True, batch_tokens=40).train_dataloader()
    fresh.set_epoch(1)
    assert taken + rest == [batch.targets_TB.tolist() for batch in fresh]


def test_a_loaded_tokenizer_is_not_trained_again(files, write_lines, messages, language_text):
    """Even where the text is another one by now."""
    state = language_text(**files).state_dict()
    messages.clear()
    data = language_text(write_lines("other.txt", ["something else"] * 60), val=files["val"])
    data.load_state_dict(state)
    data.prepare()
    assert data.tokenizer.decode(data.tokenizer.encode("red blue")) == "red blue"
    assert not [message for message in messages if "training a" in message]


def test_what_a_score_says_of_its_data(files, language_text, stream_of):
    data = language_text(**files, test_streams=2)
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
        "changed": 0,
        "sha256": hashlib.sha256(text).hexdigest(),
        "streams": 2,
    }
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("lowercase", [False, True])
def test_scores_of_text_that_the_tokenizer_changes_compare_with_none(files, language_text, lowercase):
    """As their signature says."""
    data = language_text(**files, tokenizer=TokenizerSettings("word", 200, lowercase=lowercase))
    changed = "|text:changed|compares:no" if lowercase else ""
    for stateful in (True, False):
        data.stateful = stateful
        metric = BitsPerByte()
        for batch in data.evaluation_batches("test"):
            metric.update(torch.ones(batch.tokens), batch.sizes)
        assert float(metric.compute()) > 0
        assert metric.signature() == f"per:byte|eos:yes|smoothing:no|unknown:0{changed}"


def test_tokens_of_a_large_text_are_not_made_twice(files, tmp_path, monkeypatch, language_text, stream_of):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_files, "CACHED_FROM", 0)
    language_text(**files).prepare()
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 2 * 3
    monkeypatch.setattr(token_files, "_encode", lambda *_: pytest.fail("encoded again"))
    data = language_text(**files)
    data.prepare()
    assert data.describe("train")["tokens"] == len(stream_of(data, "train"))


def test_documents_too_long_to_score_are_told_of(files, write_lines, language_text, messages):
    """Where each is an example on its own; a stream is cut into windows."""
    val = write_lines("long.txt", ["red blue", "red " * 31])
    options = {"train": files["train"], "val": val, "max_length": 3}
    language_text(**options, stateful=False).encoded("val")
    assert messages[-1].startswith(
        "data: 1 examples of data.val have over 30 tokens (number 2 has 31): they are scored"
    )
    messages.clear()
    language_text(**options).encoded("val")
    assert not [message for message in messages if "over 30 tokens" in message]
