"""BPE-dropout: SentencePiece's BPE without it, the paper's algorithm with it, reproducible in any order."""

import io
import itertools
from collections import Counter

import numpy as np
import pytest
import sentencepiece

from seqlab.data.bpe_dropout import kept_merges
from seqlab.data.encoding import DroppingLineEncoder
from seqlab.data.pydocs import pydocs
from seqlab.data.tokenizers import EOS, UNK, Tokenizer, TokenizerSettings, load_tokenizer, make_tokenizer
from seqlab.errors import UserError

LINES = [line for topic in pydocs("val") for line in topic.split("\n") if line.strip()][:1500]
ODD = [
    *(
        "",
        " ",
        "  a   b ",
        "2024 is 1.999,50 €!",
        "日本語 x 日",
        "X日本Y語",
        "ﬁ e\u0301 ½ 🙂🙂a",
        "▁▁a ▁b",
        "<unk> <s> </s>",
    ),
    "return" * 300,
    "🙂" * 20,
]


def never(count: int = 1 << 62):
    return itertools.repeat(count)


def bpe(vocab_size: int = 400, **options) -> Tokenizer:
    return make_tokenizer(LINES, TokenizerSettings("bpe", vocab_size, **options))


def foreign(**options) -> Tokenizer:
    """A model with the defaults of SentencePiece itself."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type="bpe", minloglevel=3, num_threads=1, **options
    )
    return load_tokenizer(model.getvalue())


@pytest.mark.parametrize(
    "make",
    [
        bpe,
        lambda: bpe(split_digits=False),
        lambda: bpe(600, lossless=True),
        lambda: bpe(lowercase=True, normalization="nfkc"),
        lambda: foreign(vocab_size=400),
        lambda: foreign(vocab_size=400, character_coverage=0.98),
        lambda: foreign(vocab_size=400, user_defined_symbols=["self", "se", "::"]),
        lambda: foreign(vocab_size=400, split_by_whitespace=False),
        lambda: foreign(vocab_size=400, treat_whitespace_as_suffix=True),
        lambda: foreign(vocab_size=700, byte_fallback=True),
    ],
)
def test_without_dropout_it_is_sentencepiece(make):
    tokenizer = make()
    encode = tokenizer.dropping()
    for line in (*LINES[:400], *ODD):
        assert encode(line, kept_merges(0.0, np.random.default_rng(0))) == tokenizer.encode(line), line


def test_it_knows_the_unknown():
    tokenizer = bpe()
    assert tokenizer.dropping()("a 日本 b", never()).count(UNK) == 1
    assert UNK not in bpe(600, lossless=True).dropping()("a 日本 b", never())


def naive(ranks: dict[str, float], symbols: tuple[str, ...], dropout: float) -> Counter:
    """Probability of each segmentation, by algorithm 1 of the paper: every set of merges that may survive a step."""
    merges = [place for place in range(len(symbols) - 1) if symbols[place] + symbols[place + 1] in ranks]
    found: Counter = Counter()
    for survives in itertools.product((False, True), repeat=len(merges)):
        kept = [place for place, kept in zip(merges, survives, strict=True) if kept]
        chance = np.prod([1 - dropout if kept else dropout for kept in survives])
        if not kept:
            found[symbols] += chance
            continue
        place = min(kept, key=lambda place: (ranks[symbols[place] + symbols[place + 1]], place))
        merged = (*symbols[:place], symbols[place] + symbols[place + 1], *symbols[place + 2 :])
        for segmentation, rest in naive(ranks, merged, dropout).items():
            found[segmentation] += chance * rest
    return found


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_segmentations_are_as_likely_as_in_the_paper(dropout):
    """Of two words in a line, each as if on its own."""
    tokenizer = bpe()
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    ranks = {processor.id_to_piece(token): -processor.get_score(token) for token in range(4, len(tokenizer))}
    encode, pieces, times = tokenizer.dropping(), tokenizer.pieces(), 6000
    found = [Counter(), Counter()]
    for number in range(times):
        line = [pieces[token] for token in encode("return class", kept_merges(dropout, np.random.default_rng(number)))]
        second = [piece.startswith("▁c") or piece == "▁" for piece in line].index(True, 1)
        found[0][tuple(line[:second])] += 1
        found[1][tuple(line[second:])] += 1
    for word, counts in zip(("▁return", "▁class"), found, strict=True):
        expected = naive(ranks, tuple(word), dropout)
        assert abs(sum(expected.values()) - 1) < 1e-9 and len(expected) > 3
        assert counts.keys() <= expected.keys()
        for segmentation, chance in expected.items():
            spread = (times * chance * (1 - chance)) ** 0.5
            assert abs(counts[segmentation] - times * chance) < 4 * spread + 1, (segmentation, chance)


def test_all_dropped_leaves_characters():
    tokenizer = bpe()
    line = "return the class"
    tokens = tokenizer.dropping()(line, kept_merges(1.0, np.random.default_rng(0)))
    assert [tokenizer.pieces()[token] for token in tokens] == list("▁return▁the▁class")
    assert tokenizer.decode(tokens) == line


def test_kept_merges_are_runs_of_independent_draws():
    """Of mean (1 - p) / p; never any where all are dropped."""
    runs = list(itertools.islice(kept_merges(0.2, np.random.default_rng(0)), 20_000))
    assert min(runs) == 0 and abs(np.mean(runs) - 4) < 0.15
    assert list(itertools.islice(kept_merges(1.0, np.random.default_rng(0)), 3)) == [0, 0, 0]


def test_what_is_dropped_depends_on_seed_epoch_number_and_side_alone():
    tokenizer = bpe()

    def drawn(seed=1, epoch=2, side=0, first=0, lines=LINES[:40]):
        return list(DroppingLineEncoder(tokenizer, 0.3, seed, epoch, side)(first, lines))

    reference = drawn()
    assert drawn() == reference
    assert drawn(first=30, lines=LINES[30:40]) == reference[30:]
    for other in (drawn(seed=2), drawn(epoch=3), drawn(side=1), drawn(first=1)):
        assert other != reference
    assert all(
        line[-1] == EOS and tokenizer.decode(line) == tokenizer.decode(tokenizer.encode(text))
        for line, text in zip(reference, LINES, strict=False)
    )
    assert sum(map(len, reference)) > 1.2 * sum(len(tokenizer.encode(line)) + 1 for line in LINES[:40])


def test_lower_case_comes_first():
    tokenizer = bpe(lowercase=True)
    assert tokenizer.decode(tokenizer.dropping()("RETURN It", never(0))) == "return it"


@pytest.mark.parametrize("kind", ["unigram", "word", "character", "byte"])
def test_other_kinds_have_no_merges(kind):
    with pytest.raises(
        UserError, match=rf"^data\.tokenizer\.dropout \(0\.1\) leaves out merges of kind bpe; {kind} has"
    ):
        make_tokenizer(LINES, TokenizerSettings(kind, 400, dropout=0.1))
    with pytest.raises(UserError, match=rf"this tokenizer is of kind {kind}$"):
        make_tokenizer(LINES, TokenizerSettings(kind, 400)).dropping()
    with pytest.raises(UserError, match=r"data\.x\.dropout \(1\.5\) is a probability"):
        make_tokenizer(LINES, TokenizerSettings("bpe", 400, dropout=1.5), "data.x")
