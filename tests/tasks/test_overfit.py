"""Every cell, alone and mixed, with attention and without, can learn 200 pairs by heart."""

import itertools

import numpy as np
import pytest
import torch
from datasets import Dataset

from seqlab.data.pairs import EncodedPairs
from seqlab.data.phrasebook import phrasebook
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, make_tokenizer
from seqlab.metrics import Accuracy
from seqlab.tasks import Translation

CELLS = ["elman", "lstm", "gru", "rrnn"]
MIXED = [("gru", "lstm"), ("lstm", "elman"), ("elman", "rrnn"), ("rrnn:feedback=updated", "gru")]
CASES = [(cell, cell, attention) for cell in CELLS for attention in ("general", "none")]
CASES += [(encoder, decoder, attention) for encoder, decoder in MIXED for attention in ("general", "none")]
QUICK = ("gru", "lstm", "general")


@pytest.fixture(scope="module")
def learned() -> tuple[Tokenizer, EncodedPairs]:
    """200 pairs of the phrasebook, and their tokenizer."""
    rows = phrasebook(("en", "de"), "train", 200)
    corpus = Dataset.from_dict({"source": [row[0] for row in rows], "target": [row[1] for row in rows]})
    tokenizer = make_tokenizer(itertools.chain(*rows), TokenizerSettings(kind="bpe", vocab_size=600))
    return tokenizer, EncodedPairs(corpus, tokenizer, tokenizer)


@pytest.mark.parametrize(
    ("encoder", "decoder", "attention"),
    [pytest.param(*case, marks=[] if case == QUICK else pytest.mark.slow) for case in CASES],
)
def test_learns_by_heart(learned: tuple[Tokenizer, EncodedPairs], encoder: str, decoder: str, attention: str) -> None:
    tokenizer, pairs = learned
    torch.manual_seed(1)
    task = Translation(
        tokenizer,
        tokenizer,
        encoder_cell=encoder,
        decoder_cell=decoder,
        embedding_size=64,
        encoder_size=64,
        decoder_size=128,
        attention=attention,
        dropout=0.0,
        label_smoothing=0.0,
        metrics={"accuracy": Accuracy()},
        optimizer=torch.optim.AdamW,
    )
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    epochs = 60 if (encoder, decoder, attention) == QUICK else 100 if attention != "none" else 150
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * 10)
    random = np.random.default_rng(1)
    for _ in range(epochs):
        for index_B in np.split(random.permutation(200), 10):
            batch = pairs.batch(index_B, 1)
            (task.loss(batch) / batch.tokens).backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    list(task.score([pairs.batch(np.arange(200), 1)]))
    assert task.compute_metrics()["accuracy"] >= 99.0
