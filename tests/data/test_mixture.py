"""Several corpora as one: what is held out of them, their weights, and several references."""

import hashlib
import itertools
import json
import pickle
from collections import Counter

import numpy as np
import pytest
from datasets import Dataset

from seqlab.data import mixture
from seqlab.data.mixture import training_text
from seqlab.errors import UserError


def rows(dataset) -> list[tuple[str, str]]:
    return list(zip(dataset["source"], dataset["target"], strict=True))


def numbers(batches) -> list[list[int]]:
    return [batch.index_B.tolist() for batch in batches]


def test_several_training_corpora(corpus, text_module, sentences):
    """One after the other; what is held out comes from all of them."""
    lines = sentences(200)
    names = [corpus("one", lines[:120]), corpus("two", lines[120:])]
    module = text_module(names, val=corpus("val", ["red"]))
    assert [source for source, _ in rows(module.text("train"))] == lines
    module = text_module(names)
    held_out = [lines.index(source) for source, _ in rows(module.text("val"))]
    assert len(held_out) == 4 and held_out[0] < 120 <= held_out[-1]
    assert len(module.text("train")) == 196


def test_what_is_held_out_of_training_text(monkeypatch):
    """Also rows beside each other and at the ends, against a plain list; it is copied to other processes as well."""
    monkeypatch.setattr(mixture, "HELD_OUT_SHARE", 0.6)
    for sizes in ((11,), (3, 5, 7), (40, 1, 9)):
        lines = [f"{number} {place}" for number, size in enumerate(sizes) for place in range(size)]
        columns = {"source": lines, "target": lines, "references": [[line, "x"] for line in lines]}
        corpora = [
            Dataset.from_dict({name: values[end - size : end] for name, values in columns.items()})
            for end, size in zip(itertools.accumulate(sizes), sizes, strict=True)
        ]
        training = training_text(corpora, hold_out=True)
        held_out = list(training.held_out["source"])
        assert len(held_out) == int(0.6 * len(lines))
        kept = [line for line in lines if line not in held_out]
        for text in (training.text, pickle.loads(pickle.dumps(training.text))):
            assert rows(text) == [(line, line) for line in kept]
        counts = [sum(line.startswith(f"{number} ") for line in kept) for number in range(len(sizes))]
        assert training.ends.tolist() == list(itertools.accumulate(counts))
        left = np.arange(0, len(kept), 2)
        counts = [sum(line.startswith(f"{number} ") for line in kept[::2]) for number in range(len(sizes))]
        assert training.passes(left, range(len(sizes))) == list(zip(counts, range(len(sizes)), strict=True))


def write_table(tmp_path, name: str, table: list[tuple[str, ...]]) -> str:
    (tmp_path / name).write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
    return str(tmp_path / name)


@pytest.mark.parametrize("val", [True, False])
def test_weights_of_training_corpora(corpus, messages, val, text_module, sentences):
    """How often an epoch has a pair of each, after some are left out and held out; another half in each epoch."""
    lines = sentences(300)
    lines[7] = lines[150] = ""
    names = [corpus("one", lines[:100]), corpus("two", lines[100:240]), corpus("three", lines[240:])]
    module = text_module(names, weights=[2, 0.5, 0], val=corpus("val", ["red"]) if val else None)
    pairs, kept = module.encoded("train"), [name for name, _ in rows(module.text("train")) if name]
    sizes = [len(set(kept) & set(part)) for part in (lines[:100], lines[100:240], lines[240:])]
    assert sum(sizes) == len(kept) == len(pairs) == (298 if val else 292)
    assert module.passes() == list(zip(sizes, [2, 0.5, 0], strict=True))
    drawn = []
    for epoch in range(2):
        loader = module.train_dataloader()
        loader.set_epoch(epoch)
        counts = Counter(pairs.corpus[number]["source"] for batch in numbers(loader) for number in batch)
        assert all(counts[line] == 2 for line in kept[: sizes[0]])
        assert not any(counts[line] for line in lines[240:])
        drawn.append({line for line in kept[sizes[0] :] if counts[line] == 1})
        assert len(drawn[-1]) == round(sizes[1] / 2) == counts.total() - 2 * sizes[0]
    assert drawn[0] != drawn[1]


def test_no_weights_are_weights_of_one(corpus, text_module, sentences):
    names = [corpus("one", sentences(60)), corpus("two", sentences(90)[60:])]
    plain, ones = (numbers(text_module(names, weights=weights).train_dataloader()) for weights in (None, [1, 1]))
    assert plain == ones


@pytest.mark.parametrize(
    "weights, message",
    [
        ([1], "data.weights must have one number for each training corpus, not 1 for 2"),
        ([1, 2, 3], "data.weights must have one number for each training corpus, not 3 for 2"),
        ([1, -0.5], r"data.weights must be numbers that are not negative, not \[1, -0.5\]"),
        ([1, float("nan")], "data.weights must be numbers that are not negative"),
        ([1, float("inf")], "data.weights must be numbers that are not negative"),
        ([0, 0.0], "data.weights are all 0: an epoch would be empty"),
    ],
)
def test_bad_weights(weights, message, text_module):
    with pytest.raises(UserError, match=message):
        text_module(["a", "b"], weights=weights)


def test_bad_names_of_corpora(corpus, tmp_path, text_module, sentences):
    with pytest.raises(UserError, match=r"data\.train names no corpus"):
        text_module([])
    prefix = corpus("train", sentences(60))
    message = r"train\.en' alone is one side: give both files with a comma between them"
    with pytest.raises(UserError, match=message):
        text_module([f"{prefix}.en", f"{prefix}.de"]).text("train")


def test_several_references(corpus, tmp_path, text_module, sentences):
    """They go with the batches of what is scored and into its checksum; training takes the first."""
    table = [(line, line.upper(), line.title()) for line in sentences(60)]
    names = [write_table(tmp_path, "train.tsv", table), corpus("more", sentences(90)[60:])]
    module = text_module(names, val=write_table(tmp_path, "val.tsv", table[:7]), test=names)
    assert module.text("train").column_names == ["source", "target"]
    assert rows(module.text("train")) == [(line, line.upper()) for line in sentences(90)]
    expected = [[line.upper(), line.title()] for line in sentences(60)]
    for batch in module.val_dataloader():
        assert batch.references == [expected[number] for number in batch.index_B.tolist()]
    text = "".join("\t".join(row) + "\n" for row in table[:7])
    assert module.describe("val")["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert list(module.text("test")["references"]) == [*expected, *([line.upper()] for line in sentences(90)[60:])]


@pytest.mark.parametrize("several", [False, True])
def test_a_data_set_in_a_folder_has_splits_of_its_own(tmp_path, monkeypatch, several, text_module):
    """As one on the Hub has. Of several corpora, the splits count that all of them have."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for split in ("train", "validation", "test"):
        row = json.dumps({"translation": {"src": split, "de": split.upper()}})
        (tmp_path / f"{split}.jsonl").write_text(f"{row}\n")
    name = f"hub:{tmp_path}"
    module = text_module([name, name] if several else name, source_key="src")
    assert module.has("val") and module.has("test")
    assert rows(module.text("val")) == [("validation", "VALIDATION")] * (1 + several)
    assert rows(module.text("test")) == [("test", "TEST")] * (1 + several)
    mixed = text_module([name, "phrasebook", write_table(tmp_path, "a.tsv", [("a", "b")])], source_key="src")
    assert not mixed.has("test")


def test_weights_that_leave_nothing_are_refused_before_anything_is_trained(corpus, text_module, sentences):
    data = text_module([corpus("a", sentences(60)), corpus("b", sentences(70)[60:])], weights=[0, 0.001])
    with pytest.raises(UserError, match="leave an epoch without a pair: give larger ones"):
        data.prepare()
