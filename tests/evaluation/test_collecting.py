"""What a pass over a split leaves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqlab.data.encoded_text import Sizes
from seqlab.evaluation.collecting import Collected
from seqlab.metrics import BLEU, BitsPerByte, Perplexity
from seqlab.metrics.bootstrap import score_from_sums


class FakeTask:
    """A task whose outputs are given."""

    example = "sentence"

    def __init__(self, **metrics):
        self.metrics = metrics

    def example_of_tokens(self, batch):
        return batch.examples

    def compute_metrics(self):
        return {name: metric.compute() for name, metric in self.metrics.items()}

    def signatures(self):
        return {name: metric.signature() for name, metric in self.metrics.items()}

    def steps(self, batches):
        for batch, outputs in batches:
            for metric in self.metrics.values():
                metric.update(**outputs[metric.needs])
            yield batch, outputs


def windows(length: int, count: int, rows: int = 1):
    """Windows of a stream, with the sizes of the text in the first."""
    draw = torch.Generator().manual_seed(1)
    for number in range(count):
        nll = torch.rand(length * rows, generator=draw)
        batch = SimpleNamespace(tokens=length * rows, streams=rows, index_B=torch.arange(rows), examples=None)
        sizes = Sizes(400, 6001, 3) if number == 0 else Sizes()
        yield batch, {"tokens": {"nll": nll, "hits": nll < 0.5}, "sized_tokens": {"nll": nll, "sizes": sizes}}


@pytest.mark.parametrize(("length", "rows", "expected"), [(20, 1, 4), (500, 1, 80), (166, 3, 80), (800, 1, 80)])
def test_windows_of_a_stream_are_put_together_to_stretches(length: int, rows: int, expected: int) -> None:
    task = FakeTask(perplexity=Perplexity(), bits=BitsPerByte())
    collected = Collected(task)
    collected.take(task.steps(windows(length, 80, rows)))
    for score in collected.scores("+more", "|x:1").values():
        assert len(score.statistics) == expected and score.unit == "stretch|tokens:500"
        assert score_from_sums(score.metric, score.statistics.sum(0)) == pytest.approx(score.value, rel=1e-12)
        assert score.signature.endswith("|x:1")
    bits = collected.scores()["bits"].statistics
    assert bits.sum(0)[1:4].tolist() == [400, 6001, 3] and np.ptp(bits[:-1, 2]) <= 1, "as many bytes for as many tokens"


def test_sentences_are_in_the_order_of_the_corpus() -> None:
    task = FakeTask(bleu=BLEU(), perplexity=Perplexity())
    batches = []
    for index, texts in (([2, 0], ["c c", "a"]), ([1], ["b b b"])):
        examples = torch.tensor([0, 1, 0] if len(index) == 2 else [0, 0])
        batch = SimpleNamespace(tokens=len(examples), index_B=torch.tensor(index), examples=examples)
        nll = torch.arange(1.0, 1.0 + len(examples))
        text = {"hypotheses": texts, "references": [[f"{line} x"] for line in texts]}
        batches.append((batch, {"text": text, "tokens": {"nll": nll, "hits": nll > 0}}))
    collected = Collected(task)
    collected.take(task.steps(batches))
    assert collected.texts() == {
        "text": {"hypotheses": ["a", "b b b", "c c"], "references": [["a x"], ["b b b x"], ["c c x"]]}
    }
    assert collected.log_probabilities() == [(-2.0, 1), (-3.0, 2), (-4.0, 2)]
    scores = collected.scores()
    assert {score.unit for score in scores.values()} == {"sentence"}
    assert scores["bleu"].statistics[:, 0].tolist() == [1, 3, 2]  # lengths of the hypotheses
    assert scores["perplexity"].statistics.tolist() == [[2, 1], [3, 2], [4, 2]]
