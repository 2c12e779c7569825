"""Outputs of a batch cut into examples.

Shape suffixes: T = steps, B = sentences, N = tokens.
"""

import numpy as np
import torch

from seqlab.data.encoded_text import Sizes
from seqlab.data.pairs import EncodedPairs
from seqlab.data.tokenizers import TokenizerSettings, make_tokenizer
from seqlab.evaluation.collecting import spread_sizes
from seqlab.evaluation.units import cut_outputs
from seqlab.tasks.translation import Translation


def test_tokens_go_to_the_sentence_that_they_are_of() -> None:
    """As a loop over time steps and sentences, which is the order that real tokens are in."""
    lengths, examples, expected = [3, 1, 2], [], [[], [], []]
    for step in range(3):
        for sentence, length in enumerate(lengths):
            if step < length:
                expected[sentence].append(float(len(examples)))
                examples.append(sentence)
    nll_N = torch.arange(6.0)
    cut = cut_outputs({"tokens": {"nll": nll_N, "hits": nll_N > 2}}, 3, torch.tensor(examples))
    assert [unit["nll"].tolist() for unit in cut["tokens"]] == expected
    assert [unit["hits"].tolist() for unit in cut["tokens"]] == [[x > 2 for x in row] for row in expected]


def test_rows_of_other_outputs_are_examples() -> None:
    outputs = {
        "text": {"hypotheses": ["a", "b"], "references": [["c"], ["d", "e"]]},
        "label": {"right_B": torch.tensor([True, False])},
        "sum": {"total": torch.tensor(3.0)},
    }
    cut = cut_outputs(outputs, 2, None)
    assert cut["text"] == [
        {"hypotheses": ["a"], "references": [["c"]]},
        {"hypotheses": ["b"], "references": [["d", "e"]]},
    ]
    assert [unit["right_B"].tolist() for unit in cut["label"]] == [[True], [False]]
    assert len(cut["sum"]) == 1 and cut["sum"][0] is outputs["sum"]


def test_running_text_is_not_cut() -> None:
    """Not even where it has as many tokens as rows."""
    outputs = {
        "tokens": {"nll": torch.ones(2), "hits": torch.ones(2)},
        "sized_tokens": {"nll": torch.ones(2), "sizes": Sizes(1, 2, 0)},
    }
    cut = cut_outputs(outputs, 2, None)
    assert all(units == [outputs[name]] and units[0] is outputs[name] for name, units in cut.items())


def test_the_translation_task_says_which_sentence_a_token_is_of() -> None:
    from datasets import Dataset

    words = make_tokenizer(["a b c d"], TokenizerSettings("word", 20))
    corpus = Dataset.from_dict({"source": ["a", "b", "c"], "target": ["a b c", "d", "b a"]})
    batch = EncodedPairs(corpus, words, words).batch(np.arange(3), 1)
    # Targets with their ends of sentence, step by step.
    assert Translation.example_of_tokens(None, batch).tolist() == [0, 1, 2, 0, 1, 2, 0, 2, 0]


def test_sizes_of_a_stream_are_spread_over_its_windows() -> None:
    windows = [
        {"nll": torch.ones(count), "sizes": Sizes(9, 47, 1) if number == 0 else Sizes()}
        for number, count in enumerate((5, 5, 2))
    ]
    sizes = [window["sizes"] for window in spread_sizes(windows)]
    assert (sum(size.words for size in sizes), sum(size.unknown for size in sizes)) == (9, 1)
    assert [size.bytes for size in sizes] == [20, 19, 8]  # 47 x 5/12 = 19.6, 47 x 10/12 = 39.2
