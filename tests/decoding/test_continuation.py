"""Continuations of text: a tiny model against a plain loop, prompts, and text that grows piece by piece."""

import itertools
import random

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.data.encoded_text import decode_text, encode_text
from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, TokenizerSettings, make_tokenizer
from seqlab.decoding import continuation
from seqlab.decoding.continuation import (
    GrowingText,
    LogitStepper,
    continuations,
    encode_prompt,
    first_words,
    warn_of_unknown,
)
from seqlab.decoding.sampling import Sampling
from seqlab.errors import UserError
from seqlab.models.language_model import RecurrentLanguageModel

TEXT = [
    "The café serves 35 naïve guests — and a dog.",
    "  An Übung: ½ of the façade, the cat's and the dog's.",
    "",
    "Der Hund sieht die Katze;  die Katze sieht 東京.",
    "the dog sees the cat and the cat sees the dog",
]
TOKENIZERS = {
    "word": TokenizerSettings("word", 100),
    "character": TokenizerSettings("character", 100),
    "byte": TokenizerSettings("byte"),
    "bpe": TokenizerSettings("bpe", 80),
    "unigram": TokenizerSettings("unigram", 52),
    "bpe lossless": TokenizerSettings("bpe", 340, lossless=True),
    "unigram lossless": TokenizerSettings("unigram", 300, lossless=True),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return make_tokenizer(TEXT, TOKENIZERS[request.param])


@pytest.fixture(scope="module")
def words():
    return make_tokenizer(TEXT, TOKENIZERS["word"])


@pytest.fixture(scope="module", params=["softmax", "adaptive"])
def network(request, words):
    """A small model in float64 with large random weights, so that its texts differ."""
    options = {"cutoffs": [9]} if request.param == "adaptive" else {}
    cell = GRU if options else LSTM
    model = RecurrentLanguageModel(
        len(words), cell, embedding_size=7, hidden_size=5, tying=not options, dropout=0.9, **options
    )
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.2, generator=generator)
    return model.double().eval()


def texts(network, tokenizer, prompt="", sampling=Sampling(), length=30, **options):  # noqa: B008  (never changed)
    """Each sample's text."""
    found: dict[int, str] = {}
    for number, piece in continuations(network, tokenizer, prompt, sampling, length, **options):
        assert number in found or number == len(found), "one sample after the other"
        assert number == max(found, default=number) or number not in found
        found[number] = found.get(number, "") + piece
    return list(found.values())


@torch.no_grad()
def likeliest(network, tokens, length, never):
    """A loop that reads everything again at each step."""
    tokens = [EOS, *tokens]
    for _ in range(length):
        features_TBE, _, _ = network(torch.tensor(tokens)[:, None])
        log_probs_V = network.output.log_probs(features_TBE[-1])[0]
        log_probs_V[never] = -1e9
        tokens.append(int(log_probs_V.argmax()))
    return tokens[1:]


@pytest.mark.parametrize("prompt", ["", "the dog sees", "die Katze\nthe", "the dog sees the cat\n", "the unheard cat"])
@pytest.mark.parametrize("unk", [False, True])
def test_temperature_0_is_the_likeliest_token_of_a_plain_loop(network, words, prompt, unk):
    never = [PAD, BOS] if unk else [PAD, BOS, UNK]
    expected = likeliest(network, encode_prompt(prompt, words), 30, never)
    heard = prompt.replace("unheard", "<unk>")
    found = texts(network, words, prompt, Sampling(0.0), unk=unk, samples=2, seed=9, warn=False)
    assert [heard + text for text in found] == 2 * [decode_text(expected, words)]


def test_unk_is_drawn_only_if_it_may_be(network, words):
    assert any("<unk>" in text for text in texts(network, words, samples=20, unk=True))
    assert not any("<unk>" in text for text in texts(network, words, samples=20))


def test_a_long_prompt_is_read_in_windows(network, words, monkeypatch):
    tokens = torch.randint(UNK, len(words), (17,), generator=torch.Generator().manual_seed(0)).tolist()
    model = LogitStepper(network)
    whole = model.read(tokens)
    monkeypatch.setattr(continuation, "PROMPT_WINDOW", 5)
    torch.testing.assert_close(model.read(tokens), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.read([]), network.start(1))


@torch.no_grad()
def test_logits_are_those_of_the_models_probabilities(network):
    model, tokens_R = LogitStepper(network), torch.tensor([5, 4, 7])
    logits_RV, state = model.step(tokens_R, network.start(3))
    log_probs_RV, expected = network.step(tokens_R, network.start(3))
    torch.testing.assert_close(logits_RV.log_softmax(-1), log_probs_RV)
    torch.testing.assert_close(state, expected)
    is_normalised = torch.allclose(logits_RV.exp().sum(-1), torch.ones(3).double())
    assert is_normalised == hasattr(network.output, "layer"), "an adaptive softmax has no logits"


def test_samples_do_not_depend_on_how_many_there_are(network, words, monkeypatch):
    many = texts(network, words, "the", samples=7, seed=3)
    assert len(set(many)) == 7
    assert texts(network, words, "the", samples=2, seed=3) == many[:2]
    monkeypatch.setattr(continuation, "TOGETHER", 3)
    assert texts(network, words, "the", samples=7, seed=3) == many
    assert texts(network, words, "the", samples=7, seed=4) != many


def test_the_first_sample_comes_as_it_is_drawn(network, words, monkeypatch):
    steps = []
    step = LogitStepper.step
    monkeypatch.setattr(LogitStepper, "step", lambda self, *args: steps.append(0) or step(self, *args))
    pieces = [
        (number, piece, len(steps)) for number, piece in continuations(network, words, "", Sampling(), 12, samples=3)
    ]
    assert [(number, step) for number, _, step in pieces[:12]] == [(0, step) for step in range(1, 13)]
    assert [number for number, _, _ in pieces[12:]] == [0, 1, 2]


def test_a_character_that_was_cut_off_is_shown_as_one_that_is_none():
    tokenizer = make_tokenizer([], TOKENIZERS["byte"])
    first, _ = tokenizer.encode("é")
    network = RecurrentLanguageModel(len(tokenizer), GRU, embedding_size=3, hidden_size=3, layers=1, tying=False).eval()
    with torch.no_grad():
        network.output.bias[first] = 1000
    pieces = list(continuations(network, tokenizer, "the", Sampling(), 1))
    assert pieces == [(0, "\ufffd")]


def test_lines_end_a_sample(network, words):
    many = texts(network, words, "the\ncat", length=100, samples=10)
    for lines in (1, 3):
        for text, whole in zip(
            texts(network, words, "the\ncat", length=100, samples=10, lines=lines), many, strict=True
        ):
            assert text == "\n".join(whole.split("\n")[:lines])


def test_a_penalty_counts_the_prompt_and_what_was_drawn(network, words):
    strong = Sampling(0.0, repetition_penalty=1e9)
    prompt = "the dog sees the cat"
    (text,) = texts(network, words, prompt, strong, length=8)
    drawn = text.split()
    assert len(drawn) == len(set(drawn)) and set(drawn).isdisjoint(prompt.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"samples": 0}, "samples must be at least 1, not 0"),
        ({"lines": -2}, "lines must be at least 1, not -2"),
        ({"seed": -1}, "seed must not be negative"),
        ({"prompt": "the\udce9"}, "the prompt is not UTF-8"),
        ({"prompt": 3}, "the prompt is a text, not 3"),
        ({"prompt": None}, "the prompt is a text, not None"),
        ({"prompt": ["the"]}, r"the prompt is a text, not \['the'\]"),
    ],
)
def test_bad_input_is_refused(network, words, options, message):
    with pytest.raises(UserError, match=message):
        texts(network, words, **options)


# --------------------------------------------------------------------------------------------------------------- prompt


def test_the_last_line_of_a_prompt_is_open(words):
    the, dog = words.encode("the dog")
    assert encode_prompt("", words) == []
    assert encode_prompt("the dog", words) == [the, dog]
    assert encode_prompt("the\ndog", words) == [the, EOS, dog]
    assert encode_prompt("the\n\n", words) == [the, EOS, EOS]


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(continuation.log, "warning", lambda message, *values: found.append(message % values))
    return found


@pytest.mark.parametrize(
    ("kind", "prompt", "count", "symbols"),
    [
        ("word", "the bad dog\nbad worse  <unk>", "3 of 6 words", "'bad', 'worse'"),
        ("word", " ".join("abcdefghijkl"), "11 of 12 words", f"{', '.join(map(repr, 'bcdefghijk'))} and 1 more"),
        ("character", "Ж the 京Ж", "2 of 8 characters", "'Ж'"),
        ("bpe", "ЖЖ the", "2 of 6 characters", "'Ж'"),
    ],
)
def test_what_is_unknown_is_said(kind, prompt, count, symbols, warnings):
    warn_of_unknown(prompt, make_tokenizer(TEXT, TOKENIZERS[kind]))
    assert warnings == [f"prompt: {count} unknown to the tokenizer, read as <unk>: {symbols}"]


@pytest.mark.parametrize(("kind", "prompt"), [("word", "the dog"), ("bpe lossless", "ЖЖ the"), ("byte", "ЖЖ the")])
def test_nothing_is_said_where_all_is_known(kind, prompt, warnings):
    warn_of_unknown(prompt, make_tokenizer(TEXT, TOKENIZERS[kind]))
    assert not warnings


def test_first_words():
    documents = ["", "  one two", "\tone  two\nthree four five"]
    assert first_words(documents, 3) == "one  two\nthree"
    assert first_words(documents, 5) == "one  two\nthree four five"
    assert first_words(documents, 6) == "one two"
    assert first_words(["", "\n"], 2) == ""


# ----------------------------------------------------------------------------------------------------------------- text


def grown(tokenizer, prompt, tokens):
    """The pieces of tokens, and what is left at the end."""
    text = GrowingText(tokenizer, prompt)
    return [text.add(token) for token in tokens], text.end()


def test_pieces_of_a_text_are_never_broken(tokenizer):
    """Wherever the prompt ends, though a character may be several tokens."""
    text = "\n".join(TEXT)
    tokens = encode_text(text, tokenizer)[:-1]
    for start in range(len(tokens)):
        prompt = decode_text(tokens[:start], tokenizer)
        if encode_prompt(prompt, tokenizer) != tokens[:start]:
            continue  # in the middle of a character
        pieces, rest = grown(tokenizer, prompt, tokens[start:])
        assert prompt + "".join(pieces) == decode_text(tokens, tokenizer) and rest == ""
        assert "\ufffd" not in "".join(pieces)


def test_any_tokens_become_their_text(tokenizer):
    """Also bytes that are no characters."""
    generator = random.Random(2)
    for _, count in itertools.product(range(60), (3, 40)):
        tokens = [generator.randrange(UNK, len(tokenizer)) for _ in range(count)]
        pieces, rest = grown(tokenizer, "", tokens)
        assert "".join(pieces) + rest == decode_text(tokens, tokenizer)
        assert rest.strip("\ufffd") == "" and len(rest) <= 3


def test_a_character_of_several_bytes_comes_as_one():
    tokenizer = make_tokenizer([], TOKENIZERS["byte"])
    assert grown(tokenizer, "the", tokenizer.encode("é€𝄞.")) == (["", "é", "", "", "€", "", "", "", "𝄞", "."], "")
    assert grown(tokenizer, "", tokenizer.encode("é€")[:-1]) == (["", "é", "", ""], "\ufffd")
    assert grown(tokenizer, "", [*tokenizer.encode("€")[:-1], EOS]) == (["", "", "\ufffd\n"], "")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", ["dog", " sees", "\n", "the"]),
        ("the", [" dog", " sees", "\n", "the"]),
        ("the ", ["dog", " sees", "\n", "the"]),
        ("cat\n", ["dog", " sees", "\n", "the"]),
        ("cat\nunheard\t", ["dog", " sees", "\n", "the"]),
        ("  ", ["dog", " sees", "\n", "the"]),
    ],
)
def test_words_stand_one_space_apart(words, prompt, expected):
    tokens = [*words.encode("dog sees"), EOS, *words.encode("the")]
    assert grown(words, prompt, tokens) == (expected, "")
