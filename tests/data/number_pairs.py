"""Pairs of sentences whose text already is token ids."""

import numpy as np
from datasets import Dataset

from seqlab.data.pairs import EncodedPairs


class Numbers:
    """Stands for a tokenizer: the text already is token ids."""

    def encode(self, line: str) -> list[int]:
        return [int(token) for token in line.split()]


def make_pairs(count: int, seed: int = 0, longest: int = 11) -> EncodedPairs:
    random = np.random.default_rng(seed)
    sides = [
        [" ".join(map(str, random.integers(4, 99, random.integers(1, longest + 1)))) for _ in range(count)]
        for _ in range(2)
    ]
    return EncodedPairs(Dataset.from_dict({"source": sides[0], "target": sides[1]}), Numbers(), Numbers())


def steps(pairs: EncodedPairs) -> tuple[list[int], list[int]]:
    """Steps of each pair's two sides, the end of the sentence included, counted in the text."""
    return tuple([len(line.split()) + 1 for line in pairs.corpus[side]] for side in ("source", "target"))
