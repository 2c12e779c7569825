"""The data module of translation: what is held out, what is left out, and what a checkpoint keeps."""

import hashlib
import io

import pytest
import torch

from seqlab.data.parallel_text import ParallelText
from seqlab.data.tokenizers import UNK
from seqlab.errors import UserError


def rows(dataset) -> list[tuple[str, str]]:
    return list(zip(dataset["source"], dataset["target"], strict=True))


def numbers(batches) -> list[list[int]]:
    return [batch.index_B.tolist() for batch in batches]


@pytest.mark.parametrize("count, expected", [(50, 1), (99, 1), (300, 6), (2000, 40)])
def test_held_out_validation(corpus, messages, count, expected, text_module, sentences):
    """Two in a hundred, disjoint from what is trained on, nothing lost, aligned, and told."""
    everything = sentences(count)
    module = text_module(corpus("train", everything))
    train, val = rows(module.text("train")), rows(module.text("val"))
    assert len(val) == expected
    assert len(train) == count - expected
    assert {source for source, _ in train + val} == set(everything)
    assert all(target == source.upper() for source, target in train + val)
    assert [message for message in messages if f"{expected:,} of {count:,}" in message]


def test_held_out_at_most_a_thousand(corpus, text_module):
    module = text_module(corpus("train", [f"line {number}" for number in range(60_000)]))
    assert len(module.text("val")) == 1000
    assert len(module.text("train")) == 59_000


def test_held_out_pairs_do_not_depend_on_the_seed(corpus, text_module, sentences):
    """So the scores of runs with different seeds compare. They come from all over the corpus."""
    train, everything = corpus("train", sentences(2000)), sentences(2000)
    held_out = [rows(text_module(train, seed=seed).text("val")) for seed in (1, 2)]
    assert held_out[0] == held_out[1]
    places = [everything.index(source) for source, _ in held_out[0]]
    assert places == sorted(places) and places[0] < 500 and places[-1] >= 1500
    assert places[-1] - places[0] >= len(places)


def test_too_few_pairs_to_hold_some_out(corpus, text_module, sentences):
    with pytest.raises(UserError, match=r"\b49 pairs.*data\.val"):
        text_module(corpus("train", sentences(49))).text("val")


def test_a_given_validation_corpus_leaves_training_whole(corpus, text_module, sentences):
    module = text_module(
        corpus("train", sentences(49)), val=corpus("val", ["red new red"]), test=corpus("test", ["old"])
    )
    assert [len(module.text(split)) for split in ("train", "val", "test")] == [49, 1, 1]
    assert rows(module.text("val")) == [("red new red", "RED NEW RED")]
    assert module.has("test")


def test_built_in_corpus_has_splits_of_its_own():
    module = ParallelText()
    assert all(module.has(split) for split in ("train", "val", "test"))
    val, test = rows(module.text("val")), rows(module.text("test"))
    assert len(val) == len(test) == 500
    assert set(val).isdisjoint(test)


def test_missing_test_corpus_names_the_flag(corpus, text_module, sentences):
    module = text_module(corpus("train", sentences(60)))
    assert not module.has("test") and module.has("val")
    with pytest.raises(UserError, match=r"--data\.test "):
        module.text("test")


def test_training_pairs_that_are_left_out(corpus, messages, text_module, sentences):
    """Two with an empty side and one too long, as the message counts; the others keep text and tokens together."""
    lines = sentences(30)
    lines[4], lines[9], lines[20] = "", " ", " ".join(lines[:2])
    module = text_module(corpus("train", lines), val=corpus("val", lines), max_length=5)
    pairs = module.encoded("train")
    kept = [line for number, line in enumerate(lines) if number not in (4, 9, 20)]
    assert list(pairs.corpus["source"]) == kept
    assert [module.source_tokenizer.decode(pairs.source[number].tolist()) for number in range(27)] == kept
    (message,) = (message for message in messages if "left out" in message)
    assert "27 training pairs" in message
    assert "2 with an empty side" in message and "1 with a side of over 5 tokens" in message
    assert len(module.encoded("val")) == 30, "nothing is left out of what is scored"


def test_longest_allowed_length_is_kept(corpus, messages, text_module, sentences):
    """The limit counts tokens of the sentence, without its end; with nothing left out nothing is said of it."""
    module = text_module(corpus("train", sentences(30)), val=corpus("val", ["red"]), max_length=3)
    assert len(module.encoded("train")) == 30
    assert "data: 30 training pairs" in messages
    with pytest.raises(UserError, match=r"none of 30 .* 30 with a side of over 2 tokens.*max_length"):
        text_module(corpus("train", sentences(30)), val=corpus("val", ["red"]), max_length=2).encoded("train")


@pytest.mark.parametrize("setting", ["batch_tokens", "max_length"])
def test_sizes_must_be_positive(corpus, setting, text_module, sentences):
    with pytest.raises(UserError, match=f"data.{setting}"):
        text_module(corpus("train", sentences(60)), **{setting: 0})


def test_tokenizer_is_of_both_languages_and_of_the_training_pairs_alone(corpus, text_module, sentences):
    module = text_module(corpus("train", sentences(60)), val=corpus("val", ["green"]))
    tokenizer = module.source_tokenizer
    assert module.target_tokenizer is tokenizer
    red, capital_red, green = tokenizer.encode("red RED green")
    assert red != capital_red and UNK not in (red, capital_red)
    assert green == UNK


def test_validation_batches_hold_every_pair_and_its_reference(corpus, text_module, sentences):
    module = text_module(corpus("train", sentences(300)))
    batches = list(module.val_dataloader())
    assert sorted(number for batch in numbers(batches) for number in batch) == list(range(6))
    expected = rows(module.text("val"))
    for batch in batches:
        assert batch.references == [[expected[number][1]] for number in batch.index_B.tolist()]


def test_description_of_a_split(corpus, text_module, sentences):
    """The checksum is that of the pairs, a tab between their sides and a line feed after each."""
    lines = sentences(2100)
    module = text_module("phrasebook", val=corpus("val", lines))
    assert module.describe("val") == {
        "name": module.names["val"],
        "split": "val",
        "languages": ["en", "de"],
        "pairs": 2100,
        "sha256": hashlib.sha256("".join(f"{line}\t{line.upper()}\n" for line in lines).encode()).hexdigest(),
    }


def test_training_batches_depend_on_the_seed(corpus, text_module, sentences):
    train = corpus("train", sentences(100))
    orders = [numbers(text_module(train, seed=seed).train_dataloader()) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_state_goes_through_a_checkpoint(corpus, text_module, sentences):
    """Tokenizer and position survive a file that may hold only tensors, numbers and text."""
    train = corpus("train", sentences(100))
    module = text_module(train)
    loader = module.train_dataloader()
    loader.set_epoch(1)
    running = iter(loader)
    taken = numbers(next(running) for _ in range(3))
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    restored = text_module(train)
    restored.load_state_dict(state)
    assert restored.source_tokenizer.model == module.source_tokenizer.model
    resumed = restored.train_dataloader()
    resumed.set_epoch(1)
    rest = numbers(resumed)
    assert taken + rest == taken + numbers(running)
    assert sorted(number for batch in taken + rest for number in batch) == list(range(98))


def test_a_loaded_tokenizer_is_not_trained_again(corpus, messages, text_module, sentences):
    """Even where the corpus is another one by now."""
    state = text_module(corpus("train", sentences(100))).state_dict()
    messages.clear()
    module = text_module(corpus("other", ["something else"] * 60))
    module.load_state_dict(state)
    tokenizer = module.source_tokenizer
    assert tokenizer.decode(tokenizer.encode("red RED")) == "red RED"
    assert not [message for message in messages if "tokenizer" in message]


def test_prepare_finds_what_is_wrong_with_any_split(corpus, text_module, sentences):
    train = corpus("train", sentences(60))
    for split in ("val", "test"):
        with pytest.raises(UserError, match="nowhere"):
            text_module(train, **{split: "nowhere"}).prepare()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_corpora_are_looked_up_without_reading_them(corpus, text_module, sentences, monkeypatch, split):
    """In their order, but files before data sets of the Hub."""
    names = {"train": ["phrasebook", corpus("train", sentences(5))], "val": "hub:nobody/has-this", "test": "phrasebook"}
    loaded = []
    monkeypatch.setattr("seqlab.data.corpora.parallel_corpus", lambda *_: pytest.fail("read"))
    monkeypatch.setattr("seqlab.data.corpora.hub_splits", lambda name, instead: loaded.append(name))
    text_module(**names).look_up()
    assert loaded == ["hub:nobody/has-this"]
    with pytest.raises(UserError, match=r"^no file nowhere\.\w\w \('nowhere' is taken as a path prefix"):
        text_module(**{**names, split: ["phrasebook", "nowhere"]}).look_up()
    assert len(loaded) == 1


@pytest.mark.parametrize("split", ["val", "test"])
def test_sentences_too_long_to_score_are_told_of(corpus, text_module, sentences, messages, split):
    """Nothing is left out of what is scored; of training pairs long ones are left out, and counted."""
    lines = sentences(30)
    lines[11], lines[20] = " ".join(lines[:11] * 2), " ".join(lines[:10] * 2)
    names = {"val": corpus("short", lines[:5]), split: corpus("long", lines)}
    module = text_module(corpus("train", lines), max_length=6, **names)
    module.encoded("train")
    assert "data: 28 training pairs; left out 0 with an empty side, 2 with a side of over 6 tokens" in messages
    assert len(module.encoded(split)) == 30
    assert messages[-1] == (
        f"data: 1 examples of data.{split} have over 60 tokens (number 12 has 66): they are scored too, however long "
        "that takes; cut them up, or leave them out"
    )
