"""Intervals are sacreBLEU's for text, and those of a plain loop for everything else."""

import copy

import numpy as np
import pytest
import sacrebleu
import torch

from seqlab.data.encoded_text import Sizes
from seqlab.errors import UserError
from seqlab.metrics import (
    BLEU,
    CHRF,
    TER,
    Accuracy,
    BitsPerByte,
    BrevityPenalty,
    LengthRatio,
    Metric,
    Perplexity,
    SequenceAccuracy,
    WordPerplexity,
)
from seqlab.metrics.bootstrap import interval, score_from_sums, text_units, unit_scores, unit_statistics

TEXT = [
    (BLEU, {}),
    (BLEU, {"tokenize": "zh", "smooth_method": "add-k"}),
    (BLEU, {"tokenize": "char", "smooth_method": "floor"}),
    (CHRF, {}),
    (CHRF, {"word_order": 2}),
    (TER, {}),
]
NAMES = [f"{metric.__name__}-{'-'.join(map(str, options.values()))}" for metric, options in TEXT]


@pytest.fixture(autouse=True)
def no_seed_of_the_environment(monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)


def tokens(seed: int, units: int = 30) -> list[dict[str, torch.Tensor]]:
    """Units of 1 to 9 tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 10, (units,), generator=generator).tolist()
    nll = [3 * torch.rand(length, generator=generator) for length in lengths]
    return [{"nll": row, "hits": torch.rand(len(row), generator=generator) < 0.4} for row in nll]


def bleu_by_samples(corpus, samples, seed, **options):
    """Mean and half-width of BLEU of corpora that are written out, line by line."""
    scores, lines = [], len(corpus.hypotheses)
    for drawn in np.random.default_rng(seed).choice(lines, size=(samples, lines)):
        hypotheses, streams = [corpus.hypotheses[i] for i in drawn], [[s[i] for i in drawn] for s in corpus.streams]
        scores.append(sacrebleu.metrics.BLEU(**options).corpus_score(hypotheses, streams).score)
    scores.sort()
    return sum(scores) / samples, (scores[samples - samples // 40 - 1] - scores[samples // 40]) / 2


@pytest.mark.parametrize("references", [1, 2, None], ids=["one", "two", "varying"])
@pytest.mark.parametrize("metric, options", TEXT, ids=NAMES)
def test_interval_is_that_of_sacrebleu(make, metric, options, references):
    """To the last bit, thirds of TER's lengths included; and so is the signature."""
    corpus = make(1, references, 40)
    theirs = getattr(sacrebleu.metrics, metric.__name__)(**options)
    expected = theirs.corpus_score(corpus.hypotheses, corpus.streams, n_bootstrap=200)
    mine = metric(**options)
    statistics = unit_statistics(mine, text_units(*corpus))
    found = interval(mine, statistics, 200)
    assert (found.mean, found.half_width) == (expected._mean, expected._ci)
    assert 0 < found.half_width < found.mean
    assert mine.signature_of(statistics.sum(0), **found.resampling) == str(theirs.get_signature())


def test_interval_of_bleu_is_that_of_written_out_samples(make):
    corpus, metric = make(5, 2), BLEU(tokenize="intl")
    expected = bleu_by_samples(corpus, 80, 7, tokenize="intl")
    found = interval(metric, unit_statistics(metric, text_units(*corpus)), 80, 7)
    assert (found.mean, found.half_width) == pytest.approx(expected, rel=1e-5)  # sacreBLEU resamples in float32


def test_samples_without_any_match():
    """sacreBLEU itself ends at a TypeError here: scores of no match are of another type."""
    hypotheses, references = ["", "a b c d", "x"], ["y", "a b c d", "w"]
    for metric in (CHRF(), TER(), BLEU()):
        found = interval(metric, unit_statistics(metric, text_units(hypotheses, references)), 100)
        assert found.half_width > 0


@pytest.mark.parametrize("metric, options", TEXT, ids=NAMES)
def test_statistics_of_text_are_of_the_sentences(make, metric, options):
    """They add up to the corpus' score; alone, a sentence scores as with ``sacrebleu --sentence-level``."""
    corpus, mine = make(2, 2), metric(**options)
    mine.update(*corpus)
    before = mine.sums()
    statistics = unit_statistics(mine, text_units(*corpus))
    np.testing.assert_array_equal(mine.sums(), before)  # its own states are left alone
    np.testing.assert_array_equal(statistics.sum(0), before)
    assert score_from_sums(mine, statistics.sum(0)) == float(mine.compute())
    theirs = getattr(sacrebleu.metrics, metric.__name__)(
        **options, **({"effective_order": True} if metric is BLEU else {})
    )
    expected = [theirs.sentence_score(*pair).score for pair in zip(*corpus, strict=True)]
    assert unit_scores(mine, statistics).tolist() == expected
    assert len(set(expected)) > 5


def test_scores_of_units_by_hand():
    units = [{"nll": torch.tensor([1.0, 3.0]), "hits": torch.tensor([True, False])}]
    units += [{"nll": torch.tensor([0.5]), "hits": torch.tensor([True])}]
    perplexity, accuracy = (unit_statistics(metric, units) for metric in (Perplexity(), Accuracy()))
    assert perplexity.tolist() == [[4.0, 2.0], [0.5, 1.0]] and accuracy.tolist() == [[1.0, 2.0], [1.0, 1.0]]
    np.testing.assert_allclose(unit_scores(Perplexity(), perplexity), np.exp([2.0, 0.5]), rtol=1e-15)
    assert unit_scores(Accuracy(), accuracy).tolist() == [50.0, 100.0]
    assert score_from_sums(Perplexity(), perplexity.sum(0)) == pytest.approx(np.exp(1.5), rel=1e-15)
    assert score_from_sums(Accuracy(), accuracy.sum(0)) == pytest.approx(200 / 3, rel=1e-15)


def percentiles(scores: list[float]) -> tuple[float, float]:
    """Mean and half-width as defined: of 200 sorted, the 6th from either end."""
    ordered = sorted(scores)
    assert len(ordered) == 200
    return sum(ordered) / 200, (ordered[194] - ordered[5]) / 2


@pytest.mark.parametrize("seed", [3, 5, 12345])
def test_intervals_of_tokens_are_those_of_a_loop(seed):
    """Tokens are drawn with their sentence, and sums are float64's."""
    units = tokens(seed)
    perplexities, accuracies = [], []
    for drawn in np.random.default_rng(seed).choice(len(units), size=(200, len(units))):
        nll = np.concatenate([units[i]["nll"].double().numpy() for i in drawn])
        perplexities.append(float(np.exp(nll.mean())))
        accuracies.append(100 * float(np.concatenate([units[i]["hits"].numpy() for i in drawn]).mean()))
    for metric, scores in ((Perplexity(), perplexities), (Accuracy(), accuracies)):
        found = interval(metric, unit_statistics(metric, units), 200, seed)
        assert (found.mean, found.half_width) == pytest.approx(percentiles(scores), rel=1e-12)
        assert found.resampling == {"bs": 200, "seed": str(seed)}


def test_intervals_of_running_text_are_those_of_a_loop():
    """Units are windows, with the size of the raw text that each ends."""
    choose, units = np.random.default_rng(1), []
    for _ in range(12):
        nll = torch.from_numpy(4 * choose.random(5)).float()
        units.append({"nll": nll, "sizes": Sizes(int(choose.integers(1, 6)), int(choose.integers(6, 30)), 0)})
    words, bytes_ = [], []
    for drawn in np.random.default_rng(12345).choice(12, size=(200, 12)):
        nats = sum(float(units[i]["nll"].double().sum()) for i in drawn)
        words.append(float(np.exp(nats / sum(units[i]["sizes"].words for i in drawn))))
        bytes_.append(nats / np.log(2) / sum(units[i]["sizes"].bytes for i in drawn))
    for metric, scores in ((WordPerplexity(), words), (BitsPerByte(), bytes_)):
        found = interval(metric, unit_statistics(metric, units), 200)
        assert (found.mean, found.half_width) == pytest.approx(percentiles(scores), rel=1e-12)


def test_interval_of_sequence_accuracy_is_that_of_a_loop():
    hypotheses, references = ["a", "b", "c", "x", "y"], ["a", "b", "c", "d", ["e", "y"]]
    hits = np.array([1, 1, 1, 0, 1])
    scores = [100 * hits[drawn].mean() for drawn in np.random.default_rng(12345).choice(5, size=(200, 5))]
    metric = SequenceAccuracy()
    found = interval(metric, unit_statistics(metric, text_units(hypotheses, references)), 200)
    assert (found.mean, found.half_width) == pytest.approx(percentiles(scores), rel=1e-12)


def test_intervals_of_lengths(make):
    """Of the brevity penalty by definition from the two lengths; there is no resampling of it in sacreBLEU."""
    corpus = make(3, 1, 25)
    pairs = [(len(one.split()), len(two[0].split())) for one, two in zip(*corpus, strict=True)]
    sums = [np.sum([pairs[i] for i in drawn], 0) for drawn in np.random.default_rng(12345).choice(25, size=(200, 25))]
    penalties = [float(np.exp(min(0.0, 1 - reference / hypothesis))) for hypothesis, reference in sums]
    for metric, scores in (BrevityPenalty("none"), penalties), (LengthRatio("none"), [one / two for one, two in sums]):
        found = interval(metric, unit_statistics(metric, text_units(*corpus)), 200)
        assert (found.mean, found.half_width) == pytest.approx(percentiles(scores), rel=1e-12)


def test_resampling_does_not_change_what_a_metric_says(make):
    """Samples of the sentences with one reference only, or with unknown words, are not the corpus."""
    metric, corpus = BLEU(), make(1, None)
    metric.update(*corpus)
    metric.compute()
    interval(metric, unit_statistics(metric, text_units(*make(1, 2))), 20)
    assert metric.signature().startswith("nrefs:var|case")
    words = WordPerplexity()
    words.update(torch.ones(3), Sizes(2, 9, 1))
    words.compute()
    statistics = unit_statistics(words, [{"nll": torch.ones(3), "sizes": Sizes(2, 9, 5)}] * 4)
    found = interval(words, statistics, 20)
    assert "unknown:1|" in words.signature()
    assert words.signature_of(statistics.sum(0), **found.resampling) == (
        "bs:20|seed:12345|per:word|eos:yes|smoothing:no|unknown:20|compares:no"
    )


class Tagger:
    """Splits words, and can be copied as little as that of the tokenizer ja-mecab."""

    def __call__(self, line: str) -> str:
        return line.replace("-", " ")

    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle 'Tagger' object")


def test_a_tokenizer_that_cannot_be_copied():
    metric = BLEU()
    metric.sacrebleu.tokenizer = Tagger()
    statistics = unit_statistics(metric, text_units(["a-b c", "d"], ["a-b-c", "d-e"]))
    assert statistics[:, :2].tolist() == [[3, 3], [1, 2]]
    assert metric.sums().sum() == 0
    copied = copy.deepcopy(metric)
    copied.update(["a-b"], ["a"])
    assert copied.sums()[:2].tolist() == [2, 1] and metric.sums().sum() == 0


@pytest.mark.parametrize("given", ["77", "none", "None"])
def test_seed_of_the_environment(given, make, monkeypatch):
    """As sacreBLEU takes it; one that is given comes first."""
    corpus, metric = make(1), BLEU()
    statistics = unit_statistics(metric, text_units(*corpus))
    usual = interval(metric, statistics, 50)
    monkeypatch.setenv("SACREBLEU_SEED", given)
    theirs = sacrebleu.metrics.BLEU()
    expected = theirs.corpus_score(corpus.hypotheses, corpus.streams, n_bootstrap=50)
    found, again = interval(metric, statistics, 50), interval(metric, statistics, 50)
    assert metric.signature_of(statistics.sum(0), **found.resampling) == str(theirs.get_signature())
    assert (found == again) == (given == "77")
    assert found != usual == interval(metric, statistics, 50, 12345)
    if given == "77":
        assert (found.mean, found.half_width) == (expected._mean, expected._ci)


class Most(Metric):
    """A metric of a plugin whose state is no sum."""

    def __init__(self):
        super().__init__()
        self.add_state("most", torch.zeros(()), dist_reduce_fx="max")

    def update(self, nll, hits):
        self.most = torch.maximum(self.most, nll.max())

    def compute(self):
        return self.most


def test_bad_input(monkeypatch):
    statistics = unit_statistics(Accuracy(), tokens(1))
    for call, expected in (
        (
            lambda: unit_statistics(Most(), tokens(1)),
            "Most cannot be resampled: its state 'most' is not a sum",
        ),
        (lambda: unit_statistics(Accuracy(), []), "Accuracy: there is nothing to score"),
        (lambda: list(text_units(["a"], ["a", "b"])), "1 hypotheses, but references of 2"),
        (lambda: interval(Accuracy(), statistics, 0), "number of resampled scores: at least 1, not 0"),
    ):
        with pytest.raises(UserError) as raised:
            call()
        assert str(raised.value).startswith(expected) and "\n" not in str(raised.value)
    monkeypatch.setenv("SACREBLEU_SEED", "x1")
    with pytest.raises(UserError, match=r"^SACREBLEU_SEED=x1: not a whole number \(or none\)$"):
        interval(Accuracy(), statistics)
