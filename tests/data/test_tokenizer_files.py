"""Tokenizers of files, lower case and normal forms: what others made is taken over, and goes through a checkpoint."""

import io

import pytest
import sentencepiece
import torch

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer, TokenizerSettings, load_tokenizer, make_tokenizer
from seqlab.errors import UserError

LINES = [f"the {colour} house has {number} rooms" for number in range(40) for colour in ("red", "blue", "grey")]


def foreign(path, **options) -> sentencepiece.SentencePieceProcessor:
    """Writes a model with SentencePiece's own defaults: <unk> 0, <s> 1, </s> 2, no padding."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        **{"vocab_size": 45, "minloglevel": 3, "num_threads": 1, "hard_vocab_limit": False, **options},
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def of_file(path, **options) -> Tokenizer:
    return make_tokenizer((), TokenizerSettings(file=str(path), **options))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "ids",
    [
        {},
        {"pad_id": 3},
        {"unk_id": 3, "bos_id": -1, "eos_id": 0, "pad_id": 1},
        {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3},
    ],
)
def test_special_tokens_of_a_foreign_model_get_the_first_ids(tmp_path, kind, ids):
    """The other pieces follow in the model's order, and none is lost or made twice."""
    theirs = foreign(tmp_path / "a.model", model_type=kind, **ids)
    ours = of_file(tmp_path / "a.model")
    special = {theirs.pad_id(): PAD, theirs.unk_id(): UNK, theirs.bos_id(): BOS, theirs.eos_id(): EOS}
    ordinary = [piece for piece in range(len(theirs)) if piece not in special]
    expected = special | {piece: token for token, piece in enumerate(ordinary, 4)}
    assert len(ours) == len(ordinary) + 4 == len(ours.pieces())
    for line in (*LINES[:5], "the ß house 日", ""):
        tokens = ours.encode(line)
        assert tokens == [expected[piece] for piece in theirs.encode(line)]
        assert [ours.pieces()[token] for token in tokens if token != UNK] == [
            theirs.id_to_piece(piece) for piece in theirs.encode(line) if piece != theirs.unk_id()
        ]
        assert {PAD, BOS, EOS}.isdisjoint(tokens)
    line = LINES[7]
    assert ours.decode([BOS, *ours.encode(line), EOS, PAD]) == line
    assert ours.decode(ours.encode("a ß b")).count("<unk>") == ours.encode("a ß b").count(UNK) >= 1
    again = load_tokenizer(ours.model)
    assert again.encode(line) == ours.encode(line) and len(again) == len(ours)
    assert ours.kind_name == kind


@pytest.mark.parametrize("kind", ["bpe", "word", "byte"])
def test_a_checkpoint_is_a_file_of_its_tokenizer(tmp_path, kind):
    made = make_tokenizer(LINES, TokenizerSettings(kind, 60, lowercase=True))
    other = make_tokenizer(LINES, TokenizerSettings("character"))
    data = {"position": {"epoch": 1}, "tokenizer": made.model}
    torch.save({"global_step": 1, "ParallelText": data}, tmp_path / "one.ckpt")
    torch.save({"ParallelText": {**data, "target_tokenizer": other.model}}, tmp_path / "two.ckpt")
    for name, file, expected in (
        ("data.tokenizer", "one.ckpt", made),
        ("data.tokenizer", "two.ckpt", made),
        ("data.target_tokenizer", "one.ckpt", made),
        ("data.target_tokenizer", "two.ckpt", other),
    ):
        assert make_tokenizer((), TokenizerSettings(file=str(tmp_path / file)), name).model == expected.model


def test_a_run_is_a_file_of_its_tokenizer(tmp_path):
    """All of its checkpoints have the same."""
    made = make_tokenizer(LINES, TokenizerSettings("word", 60))
    (tmp_path / "checkpoints").mkdir()
    message = (
        rf"^data\.tokenizer\.file: {tmp_path} is a folder without checkpoints: give a run or a SentencePiece model$"
    )
    with pytest.raises(UserError, match=message):
        of_file(tmp_path)
    torch.save({"ParallelText": {"tokenizer": made.model}}, tmp_path / "checkpoints" / "last.ckpt")
    assert of_file(tmp_path).model == made.model


def test_bytes_of_a_tokenizer_are_a_file(tmp_path):
    made = make_tokenizer(LINES, TokenizerSettings("word", 60))
    (tmp_path / "words").write_bytes(made.model)
    assert of_file(tmp_path / "words").model == made.model
    assert of_file(tmp_path / "words", kind="bpe", min_count=0).model == made.model, "the rest has no effect"
    assert UNK not in of_file(tmp_path / "words", lowercase=True).encode("THE Red house")


@pytest.mark.parametrize(
    "content",
    [b"", b"some text\n", b'{"kind": "cheese"}', b'{"model": {}}', b"{", b"PK not a checkpoint", b"\x0a\x05x"],
)
def test_a_file_of_something_else(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(
        UserError, match=r"^data\.tokenizer\.file: .*file is (no tokenizer|no readable checkpoint|a checkpoint without)"
    ) as error:
        of_file(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^data\.t\.file: cannot read .*nowhere: No such file"):
        make_tokenizer((), TokenizerSettings(file=str(tmp_path / "nowhere")), "data.t")
    torch.save({"ParallelText": {"position": 3}}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"a\.ckpt is a checkpoint without a tokenizer"):
        of_file(tmp_path / "a.ckpt")


def test_dropout_needs_a_file_of_merges(tmp_path):
    foreign(tmp_path / "a.model", model_type="unigram")
    foreign(tmp_path / "b.model", model_type="bpe")
    with pytest.raises(UserError, match=r"this tokenizer is of kind unigram$"):
        of_file(tmp_path / "a.model", dropout=0.1)
    assert of_file(tmp_path / "b.model", dropout=0.1, kind="unigram").kind_name == "bpe"


# --------------------------------------------------------------------------------------------- lower case, normal forms


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "character", "byte"])
def test_lower_case(kind):
    size = 32 if kind == "unigram" else 70
    made = make_tokenizer([*LINES, "THE Ärger"], TokenizerSettings(kind, size, lowercase=True))
    assert made.encode("THE RED Ärger") == made.encode("the red ärger")
    assert UNK not in made.encode("THE RED Ärger")
    again = load_tokenizer(made.model)
    assert again.encode("THE RED") == made.encode("the red") and again.model == made.model
    assert made.decode(made.encode("The Red house")) == "the red house"
    assert len(made) == len(made.pieces()) == len(again)
    assert make_tokenizer(LINES, TokenizerSettings(kind, min(size, 60))).encode("THE") != made.encode("THE")


COMPOSED, APART, LIGATURE = "\u00e9t", "e\u0301t", "\ufb01n"


@pytest.mark.parametrize("kind, default", [("word", "none"), ("character", "none"), ("byte", "none"), ("bpe", "nfkc")])
@pytest.mark.parametrize("form", [None, "none", "nfc", "nfkc"])
def test_normal_forms(kind, default, form):
    """By default subwords are as SentencePiece normalises them, and others as they are."""
    lines = [*LINES, f"{COMPOSED} {APART} {LIGATURE} fin"] * 3
    made = load_tokenizer(make_tokenizer(lines, TokenizerSettings(kind, 80, normalization=form)).model)
    assert (made.encode(COMPOSED) == made.encode(APART)) == ((form or default) != "none")
    assert (made.encode(LIGATURE) == made.encode("fin")) == ((form or default) == "nfkc")
    assert UNK not in made.encode(f"{APART} {LIGATURE}")


def test_the_default_is_as_ever():
    """Neither wrapped nor trained otherwise."""
    lines = [f"{line} {LIGATURE}\t½" for line in LINES]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=70,
        hard_vocab_limit=True,
        character_coverage=1.0,
        split_digits=True,
        max_sentence_length=1 << 24,
        num_threads=1,
        **{"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "unk_surface": "<unk>", "minloglevel": 3},
    )
    assert make_tokenizer(lines, TokenizerSettings("bpe", 70)).model == model.getvalue()


@pytest.mark.parametrize("change", [{"lowercase": True}, {"normalization": "nfc"}, {"normalization": "nfkc"}])
def test_what_is_lossless_is_not_changed(change):
    with pytest.raises(UserError, match=r"^data\.tokenizer\.lossless keeps text as it is, \w+.* changes it"):
        make_tokenizer(LINES, TokenizerSettings("bpe", 320, lossless=True, **change))
    made = make_tokenizer(LINES, TokenizerSettings("bpe", 320, lossless=True, normalization="none"))
    assert made.decode(made.encode(f"  {LIGATURE}")) == f"  {LIGATURE}"


@pytest.mark.parametrize(
    "setting, value, possible",
    [("normalization", "nfd", "none, nfc, nfkc"), ("kind", "bep", "unigram, bpe, word, character, byte")],
)
def test_misspelt_settings(setting, value, possible):
    with pytest.raises(UserError, match=rf"^data\.tokenizer\.{setting}: '{value}' is none of {possible}$"):
        TokenizerSettings(**{setting: value}).check()


KEPT = ["the red house", "THE Red house", "\u00e9a \u00e9b \ufb01n \u00bd", "cafe\u0301 na\u00efve"]


@pytest.mark.parametrize(
    "settings, keeps",
    [
        ({"kind": "word"}, True),
        ({"kind": "character"}, True),
        ({"kind": "byte"}, True),
        ({"kind": "bpe", "vocab_size": 320, "lossless": True}, True),
        ({"kind": "bpe", "normalization": "none"}, True),
        ({"kind": "bpe"}, False),
        ({"kind": "unigram", "vocab_size": 29}, False),
        ({"kind": "word", "lowercase": True}, False),
        ({"kind": "byte", "normalization": "nfc"}, False),
        ({"kind": "bpe", "normalization": "nfkc"}, False),
    ],
)
def test_what_keeps_text(settings, keeps):
    """What it decodes is the text, of which none is unknown; and what does not keep text has changed some."""
    made = load_tokenizer(make_tokenizer(KEPT * 3, TokenizerSettings(**{"vocab_size": 60, **settings})).model)
    assert made.keeps_text == keeps
    assert ([made.decode(made.encode(line)) for line in KEPT] == KEPT) == keeps


def test_files_of_others_keep_text_or_not(tmp_path):
    foreign(tmp_path / "a.model", model_type="bpe")
    foreign(tmp_path / "b.model", model_type="bpe", normalization_rule_name="identity")
    foreign(tmp_path / "c.model", model_type="bpe", normalization_rule_name="nfkc_cf")
    names = ("a.model", "b.model", "c.model")
    assert [of_file(tmp_path / name).keeps_text for name in names] == [False, True, False]
    assert not of_file(tmp_path / "b.model", lowercase=True).keeps_text
