"""Scores of text are sacreBLEU's to the last bit, signature included, however the corpus is cut; and right by hand."""

import math

import pytest
import sacrebleu

from seqlab.errors import UserError
from seqlab.metrics import BLEU, CHRF, TER, BrevityPenalty, LengthRatio, Metric, SequenceAccuracy

TOKENIZERS = ("13a", "intl", "char", "zh", "none")
METRICS = [
    *((BLEU, {"tokenize": tokenize}) for tokenize in TOKENIZERS),
    (BLEU, {"lowercase": True, "smooth_method": "add-k", "smooth_value": 0.5}),
    (CHRF, {}),
    (CHRF, {"word_order": 2}),
    (CHRF, {"char_order": 3, "word_order": 1, "beta": 3, "lowercase": True, "whitespace": True}),
    (CHRF, {"eps_smoothing": True}),
    (TER, {}),
    (TER, {"normalized": True, "case_sensitive": True}),
    (TER, {"normalized": True, "no_punct": True, "asian_support": True}),
]
NAMES = [f"{metric.__name__}-{'-'.join(map(str, options.values()))}" for metric, options in METRICS]
OF_SCORE = {BrevityPenalty: ("BLEU", "bp"), LengthRatio: ("BLEU", "ratio")}
LENGTHS = [(metric, tokenize) for metric in (BrevityPenalty, LengthRatio) for tokenize in TOKENIZERS]


def original(metric, options):
    return getattr(sacrebleu.metrics, metric.__name__)(**options)


def score_in_parts(metric: Metric, corpus, size: int) -> float:
    for start in range(0, len(corpus.hypotheses), size):
        metric.update(*(part[start : start + size] for part in corpus))
    return float(metric.compute())


@pytest.mark.parametrize("references", [1, 2, None], ids=["one", "two", "varying"])
@pytest.mark.parametrize("metric, options", METRICS, ids=NAMES)
def test_score_and_signature(make, metric, options, references):
    """Thirds, of TER's mean of three lengths, add up to the last bit in sacreBLEU's order only."""
    found = set()
    for seed in (1, 2, 3):
        corpus, theirs = make(seed, references), original(metric, options)
        expected = theirs.corpus_score(corpus.hypotheses, corpus.streams).score
        for size in (1, 5, 17):
            mine = metric(**options)
            exact = metric is not TER or references is not None or size == 17
            score = score_in_parts(mine, corpus, size)
            assert score == (expected if exact else pytest.approx(expected, rel=1e-14))
            mine.reset()  # a signature is asked for when the score was taken
            assert mine.signature() == str(theirs.get_signature())
        found.add(expected)
    assert len(found) == 3 and min(found) > 0


@pytest.mark.parametrize("references", [1, 2, None], ids=["one", "two", "varying"])
@pytest.mark.parametrize("metric, tokenize", LENGTHS, ids=[f"{one.__name__}-{two}" for one, two in LENGTHS])
def test_lengths(make, metric, tokenize, references):
    count, version, found = {1: "1", 2: "2", None: "var"}[references], sacrebleu.__version__, set()
    for seed in range(1, 8):
        corpus, bleu = make(seed, references), sacrebleu.metrics.BLEU(tokenize=tokenize)
        expected = bleu.corpus_score(corpus.hypotheses, corpus.streams)
        mine = metric(tokenize=tokenize)
        found.add(score_in_parts(mine, corpus, 5))
        assert getattr(expected, OF_SCORE[metric][1]) in found
        assert mine.signature() == f"nrefs:{count}|tok:{tokenize}|version:{version}"
    assert 0 < min(found) < 1 and len(found) > 1


def test_options_matter(make):
    """The corpora tell them apart, so that none of them can get lost unnoticed."""
    scores = {
        tuple(score_in_parts(metric(**options), make(seed), 17) for seed in (1, 2, 3)) for metric, options in METRICS
    }
    assert len(scores) == len(METRICS)


@pytest.mark.parametrize("metric", [BLEU, CHRF, TER, BrevityPenalty, LengthRatio])
@pytest.mark.parametrize(
    "hypotheses, references",
    [(["", ""], ["a cat", "on it"]), (["a b"], [""]), ([""], [""]), (["x"], ["y"]), (["a b c d"], ["a b c d"])],
    ids=["empty", "empty reference", "both empty", "no match", "perfect"],
)
def test_extremes(metric, hypotheses, references):
    mine = metric()
    mine.update(hypotheses, references)
    name, attribute = OF_SCORE.get(metric, (metric.__name__, "score"))
    theirs = getattr(sacrebleu.metrics, name)().corpus_score(hypotheses, [references])
    assert float(mine.compute()) == getattr(theirs, attribute)


def by_hand(metric: Metric, *pairs) -> float:
    metric.update([hypothesis for hypothesis, *_ in pairs], [references for _, *references in pairs])
    return float(metric.compute())


def test_bleu_by_hand():
    """5 of 6 words, 3 of 5 pairs, 2 of 4 triples and 1 of 3 quadruples are in the reference, which is as long."""
    score = by_hand(BLEU(tokenize="none"), ("the cat sat on the mat", "the cat sat on a mat"))
    assert score == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4), rel=1e-14)


def test_lengths_by_hand():
    """4 and 1 tokens against 3 and 5: of 3 and 9 the first is closer to 4."""
    pairs = ("a b c d", "a b c", "a b c d e f g h i"), ("a", "a b c d e")
    assert by_hand(BrevityPenalty("none"), *pairs) == pytest.approx(math.exp(1 - 8 / 5), rel=1e-14)
    assert by_hand(LengthRatio("none"), *pairs) == 5 / 8
    assert by_hand(BrevityPenalty("none"), pairs[0]) == 1
    assert by_hand(LengthRatio("none"), pairs[0]) == 4 / 3


def test_chrf_by_hand():
    """All of 2 characters are in the reference of 3, and the pair is one of its 2; recall weighs 4 times precision."""
    precision, recall = 1, (2 / 3 + 1 / 2) / 2
    expected = 100 * 5 * precision * recall / (4 * precision + recall)
    assert by_hand(CHRF(char_order=2), ("ab", "abx")) == pytest.approx(expected, rel=1e-14)
    assert by_hand(CHRF(char_order=2), ("ab", "rst", "abx")) == pytest.approx(expected, rel=1e-14)  # the better one


def test_chrf_with_words_by_hand():
    """3 of 4 characters and 1 of 2 words are right, on both sides."""
    assert by_hand(CHRF(char_order=1, word_order=1), ("ab cd", "ab ce")) == pytest.approx(62.5, rel=1e-14)


def test_ter_by_hand():
    """One shift is one edit; of two references that with one edit counts, and their mean length of 4."""
    assert by_hand(TER(), ("b c a", "a b c")) == pytest.approx(100 / 3, rel=1e-14)
    assert by_hand(TER(), ("b c a", "a b c", "b c a d e")) == 25
    assert by_hand(TER(), ("b c a", "a b c"), ("x", "y z")) == pytest.approx(100 * 3 / 5, rel=1e-14)


def test_sequence_accuracy_by_hand():
    """Equal to the second reference, to the only one, to none but for case, to none but for a space, to nothing."""
    pairs = ("a b", "a", "a b"), ("c", "c"), ("d", "D"), ("e ", "e"), ("", "f")
    metric = SequenceAccuracy()
    assert by_hand(metric, *pairs) == 40
    assert "per:sentence" in metric.signature()
    assert by_hand(SequenceAccuracy(), ("", "")) == 100


def test_what_text_metrics_say_of_themselves():
    metrics = [BLEU(), CHRF(), TER(), BrevityPenalty(), LengthRatio(), SequenceAccuracy()]
    assert [metric.higher_is_better for metric in metrics] == [True, True, False, True, None, True]
    assert {metric.needs for metric in metrics} == {"text"}


def test_nothing_is_added_for_no_sentences(make):
    """As on a device whose last batch is empty."""
    metric = BLEU()
    metric.update(*make(1))
    before = float(metric.compute())
    metric.update([], [])
    assert float(metric.compute()) == before


def raises(call) -> str:
    with pytest.raises(UserError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("metric", [BLEU, BrevityPenalty, LengthRatio])
def test_unknown_tokenizer(metric):
    expected = f"{metric.__name__}: no tokenizer 'klingon' (there are: 13a, char, "
    assert raises(lambda: metric(tokenize="klingon")).startswith(expected)


def test_unknown_smoothing():
    expected = "BLEU: no smoothing 'sandpaper' (there are: add-k, exp, floor, none)"
    assert raises(lambda: BLEU(smooth_method="sandpaper")) == expected


@pytest.mark.parametrize("tokenize, module, package", [("ja-mecab", "ja", "ja"), ("ko-mecab", "ko", "ko")])
def test_tokenizer_whose_package_is_missing(tokenize, module, package, monkeypatch):
    monkeypatch.setattr(f"sacrebleu.tokenizers.tokenizer_{module}_mecab.MeCab", None)
    message = raises(lambda: BLEU(tokenize=tokenize))
    assert message.startswith(f"BLEU: sacreBLEU's tokenizer {tokenize!r} does not work here: ")
    assert f"pip install sacrebleu[{package}]" in message


def test_tokenizer_whose_model_cannot_be_had(monkeypatch, tmp_path):
    """Without a network."""

    def fail(*_):
        raise OSError("no route to host")

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.download_file", fail)
    message = raises(lambda: BLEU(tokenize="flores200"))
    assert message == "BLEU: sacreBLEU's tokenizer 'flores200' does not work here: no route to host"


@pytest.mark.parametrize("name, value", [("char_order", 0), ("word_order", -1), ("beta", 0)])
def test_chrf_out_of_range(name, value):
    assert raises(lambda: CHRF(**{name: value})) == f"CHRF: {name} must be at least {value + 1}, not {value}"


@pytest.mark.parametrize("metric", [BLEU, SequenceAccuracy])
def test_references_of_another_number(metric):
    message = raises(lambda: metric().update(["a", "b"], ["a"]))
    assert message == f"{metric.__name__}: 2 hypotheses, but references of 1"


@pytest.mark.parametrize("metric", [BLEU, CHRF, TER])
def test_hypothesis_without_reference(metric):
    message = raises(lambda: metric().update(["a", "b"], [["a"], []]))
    assert message == f"{metric.__name__}: the hypothesis 'b' has no reference"
