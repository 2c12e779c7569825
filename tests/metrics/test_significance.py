"""Paired tests are those of sacreBLEU for text, and of a plain loop for tokens; intervals over seeds, of the tables."""

import math
import statistics as standard

import numpy as np
import pytest
import sacrebleu
import torch
from sacrebleu.significance import PairedTest

from seqlab.data.encoded_text import Sizes
from seqlab.errors import UserError
from seqlab.metrics import BLEU, CHRF, TER, Accuracy, Perplexity, SequenceAccuracy, WordPerplexity
from seqlab.metrics.bootstrap import score_from_sums, text_units, unit_statistics
from seqlab.metrics.significance import check_references, compare, over_seeds, student_quantile

TRIALS = {"bs": 300, "ar": 700}


@pytest.fixture(autouse=True)
def no_seed_of_the_environment(monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)


def of_text(metric, references, *systems) -> dict[str, np.ndarray]:
    return {
        f"system {number}": unit_statistics(metric, text_units(hypotheses, references))
        for number, hypotheses in enumerate(systems)
    }


def of_tokens(metric, *seeds: int) -> dict[str, np.ndarray]:
    """Statistics of 25 units of 1 to 6 tokens, scored by models of different seeds."""
    lengths = torch.randint(1, 7, (25,), generator=torch.Generator().manual_seed(0)).tolist()
    found = {}
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        rows = [torch.rand(length, generator=generator) for length in lengths]
        units = [{"nll": (3 + 0.1 * seed) * row, "hits": row < 0.3 + 0.05 * seed} for row in rows]
        found[f"seed {seed}"] = unit_statistics(metric, units)
    return found


@pytest.mark.parametrize("references", [1, 2, None], ids=["one", "two", "varying"])
@pytest.mark.parametrize("test", ["bs", "ar"])
@pytest.mark.parametrize(
    "metric, options",
    [(BLEU, {"tokenize": "zh"}), (BLEU, {"smooth_method": "add-k"}), (CHRF, {"word_order": 2}), (TER, {})],
    ids=["BLEU", "BLEU-add-k", "chrF++", "TER"],
)
def test_of_text_is_that_of_sacrebleu(make, metric, options, test, references):
    """Baseline and two systems, their scores, p-values, intervals and signature, to the last bit."""
    base, other = (make(11, references, 30, system) for system in (1, 2))
    systems = [base.hypotheses, other.hypotheses, ["no"] * 5 + base.hypotheses[5:]]
    theirs = getattr(sacrebleu.metrics, metric.__name__)(**options)
    named = [(f"system {number}", hypotheses) for number, hypotheses in enumerate(systems)]
    signatures, table = PairedTest(named, {"m": theirs}, base.streams, test_type=test, n_samples=TRIALS[test])()
    ((key, signature),) = signatures.items()
    mine = metric(**options)
    found = compare(mine, of_text(mine, base.references, *systems), test, TRIALS[test])
    assert found.signature == str(signature)
    assert list(found.results) == table["System"]
    for result, expected in zip(found.results.values(), table[key], strict=True):
        assert tuple(result) == (expected.score, expected.p_value, expected.mean, expected.ci)
    assert 0.02 < found.results["system 1"].p_value != found.results["system 2"].p_value


@pytest.mark.parametrize("metric", [Perplexity, Accuracy])
def test_bootstrap_of_tokens_is_that_of_a_loop(metric):
    """Sentences are drawn for both systems; differences are told from their mean, as sacreBLEU tells them."""
    systems, mine = of_tokens(metric(), 1, 2, 4), metric()
    base, *others = systems.values()
    found = compare(mine, systems, samples=200, seed=8)
    for name, other in zip(list(systems)[1:], others, strict=True):
        scores = []
        for drawn in np.random.default_rng(8).choice(25, size=(200, 25)):
            scores.append([naive(metric, [each[i] for i in drawn]) for each in (base, other)])
        differences = [abs(one - two) for one, two in scores]
        real, mean = abs(naive(metric, base) - naive(metric, other)), sum(differences) / 200
        p_value = (1 + sum(difference - mean >= real - 1e-6 for difference in differences)) / 201
        ordered = sorted(two for _, two in scores)
        result = found.results[name]
        assert result.p_value == p_value
        expected = (naive(metric, other), sum(ordered) / 200, (ordered[194] - ordered[5]) / 2)
        assert (result.score, result.mean, result.half_width) == pytest.approx(expected, rel=1e-12)
    assert found.signature.startswith("bs:200|seed:8|per:token|")


def naive(metric, rows) -> float:
    """A score by its definition from [nats or hits, tokens] of each sentence."""
    value = sum(row[0] for row in rows) / sum(row[1] for row in rows)
    return math.exp(value) if metric is Perplexity else 100 * value


@pytest.mark.parametrize("metric", [Perplexity, Accuracy])
def test_randomisation_of_tokens_is_that_of_a_loop(metric):
    """More trials than are added up at a time."""
    systems, trials = of_tokens(metric(), 1, 4), 700
    base, other = systems.values()
    found = compare(metric(), systems, "ar", trials, 8)
    real, greater = abs(naive(metric, base) - naive(metric, other)), 0
    for tossed in np.random.default_rng(8).integers(2, size=(trials, 25), dtype=bool):
        one = [base[i] if tossed[i] else other[i] for i in range(25)]
        two = [other[i] if tossed[i] else base[i] for i in range(25)]
        greater += abs(naive(metric, one) - naive(metric, two)) >= real - 1e-6
    result = found.results["seed 4"]
    assert result.p_value == (greater + 1) / (trials + 1)
    assert 0.01 < result.p_value < 0.99
    assert result.mean is result.half_width is None
    assert found.signature.startswith(f"ar:{trials}|seed:8|per:token|")


@pytest.mark.parametrize("test", ["bs", "ar"])
def test_by_default_as_many_trials_as_sacrebleu(test):
    """And tests of others with the same baseline do not change a system's."""
    systems = of_tokens(Accuracy(), 1, 2, 3)
    all_of_them = compare(Accuracy(), systems, test)
    alone = compare(Accuracy(), {name: systems[name] for name in ("seed 1", "seed 3")}, test)
    assert alone.signature.startswith({"bs": "bs:1000|seed:12345|", "ar": "ar:10000|seed:12345|"}[test])
    assert alone.results["seed 3"] == all_of_them.results["seed 3"]


@pytest.mark.parametrize("test", ["bs", "ar"])
def test_chance_and_certainty(test):
    """A system that is right everywhere differs from one that seldom is; one with another half right does not."""
    references = [f"sentence {number}" for number in range(40)]
    seldom = references[:4] + ["x"] * 36
    half = [line if number % 2 else "x" for number, line in enumerate(references)]
    other_half = ["x" if number % 2 else line for number, line in enumerate(references)]
    metric = SequenceAccuracy()
    p_value = compare(metric, of_text(metric, references, seldom, references), test, 999).results["system 1"].p_value
    assert p_value == 1 / 1000
    p_value = compare(metric, of_text(metric, references, half, other_half), test, 999).results["system 1"].p_value
    assert p_value > 0.15


def test_one_right_sentence_more_is_no_evidence():
    """Whoever's the one sentence is that tells the systems apart: the difference is the observed one."""
    references = [f"sentence {number}" for number in range(40)]
    one, two = (references[:right] + ["x"] * (40 - right) for right in (1, 2))
    metric = SequenceAccuracy()
    assert compare(metric, of_text(metric, references, one, two), "ar", 999).results["system 1"].p_value == 1


def test_the_same_system_again_has_the_least_p_value(make):
    """As in sacreBLEU: no sample differs by more than nothing."""
    corpus, metric = make(1), BLEU()
    for test in ("bs", "ar"):
        found = compare(metric, of_text(metric, corpus.references, corpus.hypotheses, corpus.hypotheses), test, 99)
        assert found.results["system 1"].p_value == 1 / 100


def raises(call) -> str:
    with pytest.raises(UserError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_systems_of_other_units(make):
    bleu, corpus = BLEU(), make(1, 2)
    systems = of_text(bleu, corpus.references, corpus.hypotheses)
    shorter = {**systems, "short": systems["system 0"][:-1]}
    assert raises(lambda: compare(bleu, shorter)) == "BLEU: short has 16 units, but system 0 has 17"
    fewer = of_text(bleu, [corpus.references[0][:1], *corpus.references[1:]], corpus.hypotheses)
    message = raises(lambda: compare(bleu, {**systems, "fewer": fewer["system 0"]}))
    assert message == (
        "BLEU: unit 1 of fewer and of system 0 differ in references (1 and 2): their scores do not compare"
    )
    one = unit_statistics(Perplexity(), [{"nll": torch.ones(n), "hits": torch.ones(n)} for n in (3, 4)])
    two = unit_statistics(Perplexity(), [{"nll": torch.ones(n), "hits": torch.ones(n)} for n in (3, 5)])
    message = raises(lambda: compare(Perplexity(), {"one": one, "two": two}))
    assert message == "Perplexity: unit 2 of two and of one differ in count (5 and 4): their scores do not compare"


def test_models_of_different_tokens_compare_by_word():
    """Their units have the same words, whatever the number of tokens; not if they have other words."""
    metric = WordPerplexity()
    one = unit_statistics(metric, [{"nll": torch.ones(n), "sizes": Sizes(2, 9, 0)} for n in (2, 3)])
    two = unit_statistics(metric, [{"nll": torch.ones(n), "sizes": Sizes(2, 9, 0)} for n in (8, 9)])
    assert compare(metric, {"one": one, "two": two}, samples=9).results["two"].score == pytest.approx(math.exp(17 / 4))
    two[1, 1] = 3
    message = raises(lambda: compare(metric, {"one": one, "two": two}))
    assert message.startswith("WordPerplexity: unit 2 of two and of one differ in words (3 and 2)")


def test_bad_input(make):
    systems = of_tokens(Accuracy(), 1, 2)
    assert raises(lambda: compare(Accuracy(), {"a": systems["seed 1"]})) == "a paired test needs two systems or more"
    assert raises(lambda: compare(Accuracy(), systems, samples=0)) == "number of resampled scores: at least 1, not 0"
    assert raises(lambda: over_seeds([27.5])) == "an interval over seeds needs two or more"


def test_references():
    check_references({"a": ["x", ["y", "z"]], "b": [["x"], ("y", "z")]})
    message = raises(lambda: check_references({"a": ["x", "y"], "b": ["x", "y"], "c": ["x", ["y", "z"]]}))
    assert message == "sentence 2 of c and of a have different references"
    message = raises(lambda: check_references({"a": ["x", "y"], "b": ["x"]}))
    assert message == "b has references of 1 sentences, but a of 2"


@pytest.mark.parametrize(
    "probability, freedom, published",
    [
        *((0.975, 1, "12.706"), (0.975, 2, "4.303"), (0.975, 3, "3.182"), (0.975, 4, "2.776"), (0.975, 5, "2.571")),
        *((0.975, 9, "2.262"), (0.975, 10, "2.228"), (0.975, 30, "2.042"), (0.975, 120, "1.980")),
        *((0.95, 1, "6.314"), (0.95, 7, "1.895"), (0.995, 4, "4.604"), (0.995, 29, "2.756"), (0.9995, 6, "5.959")),
    ],
)
def test_quantiles_of_student(probability, freedom, published):
    """Of the usual printed table."""
    assert f"{student_quantile(probability, freedom):.3f}" == published


def test_quantiles_of_student_in_closed_form():
    """Of one and of two degrees of freedom; of very many, the normal distribution's."""
    assert student_quantile(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-12)
    assert student_quantile(0.975, 2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-12)
    assert student_quantile(0.975, 10_001) == pytest.approx(standard.NormalDist().inv_cdf(0.975), rel=2e-4)


def test_interval_over_seeds():
    """27, 28 and 30: mean 28.333, standard deviation 1.5275, 4.3027 / sqrt(3) of it."""
    found = over_seeds([27.0, 28.0, 30.0])
    assert found.seeds == 3 and found.mean == pytest.approx(85 / 3, rel=1e-15)
    assert found.half_width == pytest.approx(4.302652729749 * 1.527525231652 / math.sqrt(3), rel=1e-11)
    assert over_seeds([5.0, 5.0, 5.0, 5.0]).half_width == 0


def test_scores_are_those_of_the_corpus():
    systems = of_tokens(Perplexity(), 1, 2)
    found = compare(Perplexity(), systems, samples=3)
    for name, statistics in systems.items():
        assert found.results[name].score == score_from_sums(Perplexity(), statistics.sum(0))
