"""Each training example is trained on once an epoch and each validation example scored once, whatever their number."""

from collections import defaultdict
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

ANIMALS, VERBS = ("dog", "cat", "bird", "horse", "fox"), ("sees", "hears", "likes")
SENTENCES = [f"the {a} {verb} the {b}{' again' * (len(a) % 3)}" for a, verb, b in product(ANIMALS, VERBS, ANIMALS)]
EPOCHS = ["--trainer.max_epochs", "2", "--trainer.check_val_every_n_epoch", "1", "--trainer.val_check_interval", "1.0"]


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[[int, int], list[str]]:
    """Writes corpora of so many pairs to train and to validate on; returns flags of a small translation."""

    def write(train: int, val: int) -> list[str]:
        for split, rows in (("train", SENTENCES[:train]), ("val", SENTENCES[-val:])):
            for side, text in (("en", "\n".join(rows)), ("de", "\n".join(rows).upper())):
                (tmp_path / f"{split}.{side}").write_text(f"{text}\n", encoding="utf-8")
        return [
            *("--recipe", "translation", "--data.train", str(tmp_path / "train"), "--data.val", str(tmp_path / "val")),
            *(
                "--data.tokenizer.kind",
                "character",
                "--data.tokenizer.vocab_size",
                "100",
                "--trainer.accelerator",
                "cpu",
            ),
            *("--model.embedding_size", "6", "--model.encoder_size", "5", "--model.decoder_size", "7"),
            *("--trainer.max_steps", "1000", *EPOCHS),
        ]

    return write


def check_each_once(done: Any, train: int, val: int, world: int = 2) -> None:
    assert done.code == 0, done.err
    epochs = defaultdict(list)
    for ranks in done.steps(world):
        shares = [[number for batch in rank["batches"] for number in batch] for rank in ranks]
        assert all(shares), "every rank has examples in every step"
        epochs[ranks[0]["epoch"]] += [number for share in shares for number in share]
    assert [sorted(numbers) for numbers in epochs.values()] == [list(range(train))] * 2
    step = done.checkpoint()["global_step"]
    scored = done.scored(world, step)
    assert sorted(number for share in scored for number in share) == list(range(val)) and all(scored)


@pytest.mark.parametrize(
    ("train", "val", "batch_tokens"),
    [
        (33, 3, 200),
        pytest.param(7, 2, 1, marks=pytest.mark.slow),  # an odd number of batches of a pair each
        pytest.param(3, 5, 5000, marks=pytest.mark.slow),
    ],
)
def test_one_pair_more_than_a_multiple(
    fit: Callable, corpus_of: Callable, train: int, val: int, batch_tokens: int
) -> None:
    flags = corpus_of(train, val)
    check_each_once(fit("odd", *flags, "--data.batch_tokens", batch_tokens, devices=2), train, val)


@pytest.mark.slow
def test_one_document_more_than_a_multiple(fit: Callable, language: list[str]) -> None:
    documents = ["--data.stateful", "false", "--data.batch_tokens", "30", "--trainer.max_steps", "1000"]
    check_each_once(fit("odd", *language, *documents, *EPOCHS, devices=2), 61, 13)


@pytest.mark.slow
def test_three_devices(fit: Callable, corpus_of: Callable) -> None:
    check_each_once(fit("odd", *corpus_of(31, 7), "--data.batch_tokens", "150", devices=3), 31, 7, world=3)


@pytest.mark.slow
@pytest.mark.parametrize(("train", "val", "which"), [(1, 3, "training"), (5, 1, "validation")])
def test_fewer_examples_than_devices(fit: Callable, corpus_of: Callable, train: int, val: int, which: str) -> None:
    """Every process finds it, in the fit; the first says so in the plain line."""
    done = fit("few", *corpus_of(train, val), devices=2)
    assert done.code == 2 and "Traceback" not in done.err, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("seqlab fit: error: ")]
    text = f"1 {which} examples cannot be shared among 2 devices"
    assert [line for line in lines if line.startswith(f"seqlab fit: error: {text}")], lines
    assert all(text in line for line in lines)
