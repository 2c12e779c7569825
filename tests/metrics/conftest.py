"""What tests of metrics share: made-up corpora with hypotheses of all kinds, and sacreBLEU's order of references."""

import random
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import pytest

SENTENCES = (
    "The cat sat on the mat, didn't it?",
    "It costs 1,999.50 € (about $2,100), doesn't it?",
    "Das Haus mit der roten Tür ist groß.",
    "我喜欢机器翻译，因为它很有趣。",
    "私はこの本が好きです。カタカナもあります!",
    "state-of-the-art results &amp; more; see <http://example.org>",
    "short",
)


class Corpus(NamedTuple):
    hypotheses: list[str]
    references: list[list[str]]

    @property
    def streams(self) -> list[list[str | None]]:
        """As sacreBLEU takes references: all first ones, all second ones, ..., None where there is no more."""
        return [[*column] for column in zip_longest(*self.references)]


Make = Callable[..., Corpus]


def noisy(sentence: str, choose: random.Random) -> str:
    """The sentence without some words, in another order, in capitals, another one, or nothing."""
    words = sentence.split()
    kept = [word for word in words if choose.random() < 0.8]
    turned = words[len(words) // 2 :] + words[: len(words) // 2]
    return choose.choice([sentence, sentence.upper(), *2 * [" ".join(kept)], " ".join(turned), "", *SENTENCES[:2]])


def make_corpus(seed: int, references: int | None = 1, sentences: int = 17, system: int = 0) -> Corpus:
    """Hypotheses of a system and their references, or one to three each if None."""
    choose = random.Random(seed)
    lists = []
    for _ in range(sentences):
        sentence = choose.choice(SENTENCES)
        count = references or choose.randint(1, 3)
        lists.append([sentence, *(noisy(sentence, choose) or "other" for _ in range(count - 1))])
    choose = random.Random(1000 * system + seed)
    return Corpus([noisy(given[0], choose) for given in lists], lists)


@pytest.fixture
def make() -> Make:
    return make_corpus
