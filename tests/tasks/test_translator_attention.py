"""Where translations looked, against steps one after the other, in float64."""

import numpy as np
import pytest
import torch

from seqlab.errors import UserError
from seqlab.tasks.translator import Translator

from .translating import BOS, LINES, encoded, make

OPTIONS = [{}, {"attention": "mlp", "coverage": True}, {"input_feeding": True}, {"attention": "dot", "decoder_size": 8}]


@torch.no_grad()
def weights_in_steps(task, line, tokens):
    """Attention weights ``[T, S]`` one step after the other, as differences of their sums."""
    state, sums, rows = task.network.start(*encoded(line)).with_coverage(), 0.0, []
    for token in (BOS, *tokens):
        _, state = task.network.step(torch.tensor([token]), state)
        rows.append((state.coverage_RS[0] - sums).numpy())
        sums = state.coverage_RS[0]
    return np.stack(rows)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_attention_is_that_of_each_step(options):
    task = make(**options)
    translator = Translator([task], batch_tokens=15)
    found, maps = translator.decode(LINES), translator.attention(LINES)
    for line, candidates, attention in zip(LINES, found, maps, strict=True):
        if not line.strip():
            assert attention is None
            continue
        expected = weights_in_steps(task, line, candidates[0].tokens)
        np.testing.assert_allclose(attention.weights, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.sum(attention.weights, 1), 1, rtol=1e-12)
        assert attention.source == [*line.split(), "<eos>"]
        assert attention.target[-1] == "<eos>" and " ".join(attention.target[:-1]) == candidates[0].text
        assert (attention.source_text, attention.text) == (line, candidates[0].text)
        assert attention.score == candidates[0].score


def test_attention_of_an_ensemble_is_the_mean_of_its_members():
    tasks = [make(1), make(2, attention="mlp", coverage=True), make(3, encoder_size=3)]
    translator = Translator(tasks)
    for line, candidates, attention in zip(LINES, translator.decode(LINES), translator.attention(LINES), strict=True):
        if attention is not None:
            expected = np.mean([weights_in_steps(task, line, candidates[0].tokens) for task in tasks], 0)
            np.testing.assert_allclose(attention.weights, expected, rtol=1e-9, atol=1e-12)


def test_a_model_without_attention_has_none_to_show():
    with pytest.raises(UserError, match=r"^model 2 has no attention to show \(model.attention none\)$"):
        Translator([make(), make(attention="none")]).attention(["a"])
