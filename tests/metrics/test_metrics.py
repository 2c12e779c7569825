"""Metrics: BLEU is sacreBLEU's to the last digit, the others are plain formulas, and batches of any size add up."""

import itertools
import math
import random

import pytest
import sacrebleu
import torch

from seqlab.metrics import (
    BLEU,
    CHRF,
    TER,
    Accuracy,
    BrevityPenalty,
    LengthRatio,
    Metric,
    Perplexity,
    SequenceAccuracy,
)

SENTENCES = (
    "The cat sat on the mat, didn't it?",
    "The cat sat on a mat, did it not?",
    "It costs 1,999.50 € (about $2,100), doesn't it?",
    "Das Haus mit der roten Tür ist groß.",
    "Das große Haus mit der Tür ist rot!",
    "我喜欢机器翻译，因为它很有趣。",
    "我很喜欢机器翻译，它非常有趣。",
    "state-of-the-art results & more; see <http://example.org>",
)
OPTIONS = [
    *({"tokenize": tokenize} for tokenize in ("13a", "intl", "char", "zh", "none")),
    *({"tokenize": tokenize, "lowercase": True} for tokenize in ("13a", "intl", "char", "zh", "none")),
    {"smooth_method": "none"},
    {"smooth_method": "floor"},
    {"smooth_method": "floor", "smooth_value": 0.5},
    {"smooth_method": "add-k"},
    {"smooth_method": "add-k", "smooth_value": 0.5},
]


def sacre(hypotheses, references, **options):
    """sacreBLEU's own score of a corpus, and its signature."""
    bleu = sacrebleu.metrics.BLEU(**options)
    score = bleu.corpus_score(hypotheses, [references])
    return score.score, str(bleu.get_signature())


def made_up_corpus(seed: int) -> tuple[list[str], list[str]]:
    """References, and hypotheses that are like them, unlike them, in another case, or empty."""
    choose = random.Random(seed)
    hypotheses, references = [], []
    for _ in range(choose.randint(5, 30)):
        reference = choose.choice(SENTENCES)
        words = reference.split()
        kept = " ".join(word for word in words if choose.random() < 0.8)
        hypotheses.append(choose.choice([reference, reference.upper(), kept, kept, "", choose.choice(SENTENCES)]))
        references.append(reference)
    return hypotheses, references


def split_randomly(count: int, seed: int) -> list[slice]:
    """Slices that cover ``count`` things, some of a single one."""
    choose = random.Random(seed)
    cuts = sorted({0, count, *(choose.randrange(count) for _ in range(choose.randint(0, count)))})
    return [slice(first, last) for first, last in itertools.pairwise(cuts)]


def score_in_parts(metric, parts, *values):
    for part in parts:
        metric.update(*(value[part] for value in values))
    return float(metric.compute())


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_bleu_is_that_of_sacrebleu(options):
    scores = set()
    for seed in range(5):
        hypotheses, references = made_up_corpus(seed)
        expected, signature = sacre(hypotheses, references, **options)
        for split in range(3):
            metric = BLEU(**options)
            assert score_in_parts(metric, split_randomly(len(references), split), hypotheses, references) == expected
        assert metric.signature() == signature
        scores.add(expected)
    assert len(scores) > 1 and 0 < max(scores) < 100


def test_options_matter():
    """The corpora here tell them apart, so that none of them can get lost unnoticed."""
    corpora = [made_up_corpus(seed) for seed in range(5)]
    scores = {
        tuple(score_in_parts(BLEU(**options), [slice(None)], *corpus) for corpus in corpora) for options in OPTIONS[:10]
    }
    assert len(scores) == 10


@pytest.mark.parametrize(
    "hypotheses, references",
    [
        (["", ""], ["a cat sat here", "on the mat"]),
        (["a b c", "x y"], ["a b c d e", "x z y"]),
        (["no word in common"], ["zero matches of anything"]),
        (["the same four words"], ["the same four words"]),
        (["longer than its reference by far"], ["longer"]),
    ],
    ids=["all empty", "no 4-gram", "no match", "perfect", "long"],
)
@pytest.mark.parametrize("method, value", [("exp", None), ("floor", None), ("floor", 0.5), ("none", None)])
def test_bleu_of_extreme_corpora(hypotheses, references, method, value):
    options = {"smooth_method": method, "smooth_value": value}
    expected, _ = sacre(hypotheses, references, **options)
    parts = [slice(number, number + 1) for number in range(len(references))]
    assert score_in_parts(BLEU(**options), parts, hypotheses, references) == expected


@pytest.mark.parametrize("options", OPTIONS[:6])
def test_signature_before_the_first_score(options):
    """A run's summary asks a metric that has scored nothing in this process."""
    assert BLEU(**options).signature() == sacre(["x"], ["x"], **options)[1]


def made_up_references(seed: int, most: int) -> tuple[list[str], list[list[str]]]:
    """A made-up corpus with one to ``most`` references for each hypothesis, or exactly two if ``most`` is 2."""
    choose = random.Random(seed)
    corpus, references = made_up_corpus(seed), []
    for hypothesis, reference in zip(*corpus, strict=True):
        count = 2 if most == 2 else choose.randint(1, most)
        references.append([reference, *choose.choices([*SENTENCES, hypothesis, f"{hypothesis} now"], k=count - 1)])
    return corpus[0], references


@pytest.mark.parametrize("most", [2, 3])
@pytest.mark.parametrize("options", OPTIONS[:6], ids=lambda options: "-".join(map(str, options.values())))
def test_bleu_of_several_references_is_that_of_sacrebleu(options, most):
    """Of two for each hypothesis, by the function that others call; of unequally many, to their signature."""
    gains = []
    for seed in range(4):
        hypotheses, references = made_up_references(seed, most)
        streams = [[*column] for column in itertools.zip_longest(*references)]
        bleu = sacrebleu.metrics.BLEU(**options)
        expected = bleu.corpus_score(hypotheses, streams).score
        if most == 2:
            function = {name: value for name, value in options.items() if name in ("tokenize", "lowercase")}
            assert sacrebleu.corpus_bleu(hypotheses, streams, **function).score == expected
        for split in range(3):
            metric = BLEU(**options)
            assert score_in_parts(metric, split_randomly(len(references), split), hypotheses, references) == expected
            metric.reset()  # a signature is asked for when the score was taken
            assert metric.signature() == str(bleu.get_signature())
        assert f"nrefs:{2 if most == 2 else 'var'}|" in metric.signature()
        gains.append(expected - sacre(hypotheses, [given[0] for given in references], **options)[0])
    assert max(gains) > 1


def test_signature_of_devices_with_unequally_many_references():
    """Each has seen one number only; together they have seen two."""
    for counts, expected in (((2, 1), "var"), ((1, 2), "var"), ((2, 2), "2"), ((1, 1), "1")):
        one, two = BLEU(), BLEU()
        for metric, count in zip((one, two), counts, strict=True):
            metric.update(["a b c d"], [["a b c d", "a b c"][:count]])
        one.merge_state(two)
        one.compute()
        assert f"nrefs:{expected}|" in one.signature()


def made_up_tokens(seed: int, count: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.rand(count, generator=generator), torch.rand(count, generator=generator) < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_perplexity(seed):
    nll, hits = made_up_tokens(seed)
    expected = math.exp(math.fsum(nll.tolist()) / len(nll))
    assert score_in_parts(Perplexity(), [slice(None)], nll, hits) == pytest.approx(expected, rel=1e-14)
    parts = split_randomly(len(nll), seed)
    assert score_in_parts(Perplexity(), parts, nll, hits) == pytest.approx(expected, rel=1e-14)


def test_perplexity_sums_in_float64():
    """A thousand batches of 100,000.25 nats each; float32 would lose most of the quarters."""
    metric = Perplexity()
    nll, hits = torch.full((100_000,), 1.0), torch.ones(100_000, dtype=torch.bool)
    nll[0] = 1.25
    for _ in range(1000):
        metric.update(nll, hits)
    assert float(metric.compute()) == pytest.approx(math.exp(1 + 0.25e-5), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_accuracy(seed):
    nll, hits = made_up_tokens(seed)
    expected = 100 * sum(hits.tolist()) / len(hits)
    assert 20 < expected < 40
    assert score_in_parts(Accuracy(), split_randomly(len(hits), seed), nll, hits) == pytest.approx(expected, rel=1e-14)


MAKERS = [BLEU, CHRF, TER, BrevityPenalty, LengthRatio, SequenceAccuracy, Perplexity, Accuracy]


def arguments(metric: Metric, seed: int):
    return made_up_corpus(seed) if metric.needs == "text" else made_up_tokens(seed, 10 * seed)


@pytest.mark.parametrize("make", MAKERS)
def test_reset(make):
    """After it, only what comes after it counts."""
    metric, fresh = make(), make()
    metric.update(*arguments(metric, 1))
    before = float(metric.compute())
    metric.reset()
    metric.update(*arguments(metric, 2))
    fresh.update(*arguments(fresh, 2))
    assert float(metric.compute()) == float(fresh.compute()) != before


@pytest.mark.parametrize("make", MAKERS)
def test_devices_add_up(make):
    """The states of two devices, merged as torchmetrics merges them, score what one device would have."""
    one, two, both = make(), make(), make()
    for metric in (one, both):
        metric.update(*arguments(metric, 1))
    for metric in (two, both):
        metric.update(*arguments(metric, 2))
    one.merge_state(two)
    assert float(one.compute()) == pytest.approx(float(both.compute()), rel=1e-14)


def test_a_model_of_half_precision_does_not_round_the_sums():
    metric = Perplexity()
    torch.nn.ModuleDict({"metric": metric}).to(torch.bfloat16)
    metric.update(torch.full((1000,), 1.001), torch.ones(1000, dtype=torch.bool))
    assert float(metric.compute()) == pytest.approx(math.exp(1.001), rel=1e-6)


def test_what_a_metric_says_of_itself():
    assert (BLEU.needs, Perplexity.needs, Accuracy.needs) == ("text", "tokens", "tokens")
    assert (BLEU().higher_is_better, Perplexity().higher_is_better, Accuracy().higher_is_better) == (True, False, True)
    assert all(make().signature() for make in (Perplexity, Accuracy))
