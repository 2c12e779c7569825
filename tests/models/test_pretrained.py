"""Embeddings that start from files of word vectors.

Shape suffixes: V = size of the vocabulary, E = width of the embeddings.
"""

import json
import logging
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from seqlab.data.tokenizers import TokenizerSettings, make_tokenizer
from seqlab.errors import UserError
from seqlab.models.embedding import ScaledEmbedding, UniformEmbedding
from seqlab.models.pretrained import load_vectors

E = 3
PIECES = ["<pad>", "<unk>", "<s>", "</s>", "▁the", "the", "▁dog", "s", "▁", "▁cat"]
VECTORS = {"the": [1.0, 2.0, -3.0], "dog": [0.5, -0.25, 4.0], "▁dog": [-1.0, 0.0, 2.0], "horse": [9.0, 9.0, 9.0]}
LOADED = {4: "the", 5: "the", 6: "▁dog"}
"""The token of each row that has a vector: a piece's own comes before that of the word without its space."""


def text(vectors=VECTORS, *, header=False, end="\n"):
    lines = [f"{len(vectors)} {E}"] if header else []
    lines += [" ".join([token, *map(str, vector)]) for token, vector in vectors.items()]
    return "".join(f"{line}{end}" for line in lines).encode()


def safetensors(tensors, **metadata):
    """The bytes of a file, written by the format's own description."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, array) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 8)
    return struct.pack("<Q", len(described)) + described + data


def matrix(dtype="F32", name="embeddings", vectors=VECTORS, **metadata):
    array = np.array(list(vectors.values()), dtype={"F16": np.float16, "F64": np.float64}.get(dtype, np.float32))
    if dtype == "BF16":
        array = (array.view(np.uint32) >> 16).astype(np.uint16)
    return safetensors({"other": ("F32", np.zeros(5, np.float32)), name: (dtype, array)}, **metadata)


def load(path, embedding=None, pieces=PIECES):
    """Loads a file; returns the embedding and its weights before and after."""
    torch.manual_seed(1)
    embedding = embedding or ScaledEmbedding(len(pieces), E)
    before = embedding.weight.detach().clone()
    count = load_vectors(embedding, pieces, path, "model.embeddings")
    return embedding, before, embedding.weight.detach(), count


FILES = {
    "glove.txt": text(),
    "word2vec.txt": text(header=True, end=" \n"),
    "fasttext.vec": text(header=True),
    "tabs.txt": text().replace(b" ", b"\t"),
    "windows.txt": text(end="\r\n"),
    "blank.txt": text() + b"\n\n",
    "repeated.txt": text() + text({"the": [7.0, 7.0, 7.0], "dog": [7.0, 7.0, 7.0]}),
    "spaces.txt": text({"cow": [4.0] * E, "the end": [5.0] * E, ". . .": [6.0] * E, **VECTORS}),
    "latin.txt": b"\xe9t\xe9 1 2 3\n" + text(),
    "f32.safetensors": matrix("F32", tokens=json.dumps(list(VECTORS))),
    "f64.safetensors": matrix("F64", tokens=json.dumps(list(VECTORS))),
    "f16.safetensors": matrix("F16", name="weight", tokens=json.dumps(list(VECTORS))),
    "bf16.safetensors": matrix("BF16", tokens=json.dumps(list(VECTORS))),
}


@pytest.mark.parametrize("name", FILES)
def test_rows_of_known_tokens_are_the_files_the_others_stay(tmp_path: Path, name: str) -> None:
    """All divided by one number, so that directions and relative lengths are the file's."""
    (tmp_path / name).write_bytes(FILES[name])
    _, before_VE, after_VE, count = load(tmp_path / name)
    vectors = torch.tensor([VECTORS[token] for token in LOADED.values()])
    factor = E**-0.5 / math.sqrt(sum(number**2 for row in vectors.tolist() for number in row) / vectors.numel())
    torch.testing.assert_close(after_VE[list(LOADED)], vectors * factor)
    others = [token for token in range(len(PIECES)) if token not in LOADED]
    assert torch.equal(after_VE[others], before_VE[others])
    assert count == 3


def test_tokens_may_stand_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "vectors.safetensors").write_bytes(matrix())
    (tmp_path / "vectors.txt").write_text("".join(f"{token}\n" for token in VECTORS))
    (tmp_path / "glove.vec").write_bytes(text())
    beside, inline = (load(tmp_path / name)[2] for name in ("vectors.safetensors", "glove.vec"))
    torch.testing.assert_close(beside, inline)


@pytest.mark.parametrize(("kind", "std"), [(ScaledEmbedding, 1.0), (UniformEmbedding, 0.1 / 3**0.5)])
def test_vectors_enter_the_first_layer_as_widely_spread_as_drawn_ones(tmp_path: Path, kind: type, std: float) -> None:
    """Whatever their scale in the file."""
    pieces = [f"w{number}" for number in range(500)]
    vectors_VE = 37 * np.random.default_rng(1).standard_normal((400, 16))
    lines = [" ".join([piece, *map(str, row)]) for piece, row in zip(pieces, vectors_VE, strict=False)]
    (tmp_path / "wide.txt").write_text("\n".join(lines))
    embedding, _, _, count = load(tmp_path / "wide.txt", kind(500, 16), pieces)
    assert count == 400
    entered_VE = embedding(torch.arange(500))
    assert entered_VE[:400].square().mean().sqrt().item() == pytest.approx(std, rel=1e-5)
    assert entered_VE[400:].std().item() == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(("known", "level"), [(1, logging.WARNING), (2, logging.INFO)])
def test_a_low_share_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, known: int, level: int) -> None:
    pieces = [f"w{number}" for number in range(20)]
    (tmp_path / "few.txt").write_text("".join(f"w{number} 1 2 3\nx{number} 1 2 3\n" for number in range(known)))
    with caplog.at_level(logging.INFO, "seqlab"):
        load(tmp_path / "few.txt", pieces=pieces)
    (record,) = caplog.records
    assert record.levelno == level
    assert f"model.embeddings: {known} of 20 tokens ({5 * known}%) have a vector in" in record.getMessage()


def test_a_file_without_any_known_token_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("Pferd 1 2 3\n")
    _, before_VE, after_VE, count = load(tmp_path / "none.txt")
    assert torch.equal(before_VE, after_VE) and count == 0


TOKENS = json.dumps(list(VECTORS))
DAMAGED = [
    ("empty.txt", b"", "holds no vectors: it is empty"),
    ("header.txt", b"0 3\n", "holds no vectors$"),
    (
        "wide.txt",
        b"the 1 2 3 4\n",
        "has vectors 4 wide, but the model's embeddings are 3 wide: .*embedding_size to 4$",
    ),
    ("wide.vec", b"7 4\nthe 1 2 3 4\n", "has vectors 4 wide, but the model's embeddings are 3 wide"),
    ("prose.txt", b"The quick brown fox.\n", r"prose\.txt, line 1: not a token and its numbers"),
    ("one.txt", b"word\n", r"one\.txt, line 1: not a token and its numbers"),
    (
        "short.txt",
        text() + b"cat 1 2\n",
        r"short\.txt, line 5: a token and 2 numbers, but the vectors of this file are 3 wide: it is d",
    ),
    ("long.txt", text() + b"cat 1 2 3 4\n", r"long\.txt, line 5: a token and 4 numbers, but the vectors .* 3 wide"),
    ("cut.txt", b"2 3\nthe 1 2 3\ns 0.1", r"cut\.txt, line 3: a token and 1 numbers, but"),
    ("fewer.txt", b"9 3\n" + text(), "is not whole: it should have 9 vectors, but has 4"),
    ("letters.txt", text() + b"s 1 x 3\n", r"letters\.txt, line 5: what follows 's' is not 3 numbers"),
    ("nan.txt", text() + b"s 1 nan 3\n", r"nan\.txt, line 5: what follows 's' is not 3 numbers"),
    ("missing.txt", None, "cannot read embeddings from .*missing.txt: No such file"),
    ("empty.safetensors", b"", "empty.safetensors is empty"),
    ("text.safetensors", text(), "is no safetensors file"),
    ("other.safetensors", matrix(name="vectors"), r"no tensor named embeddings or weight \(it has: other, vectors\)"),
    ("nothing.safetensors", safetensors({}), r"no tensor named embeddings or weight \(it has: none\)"),
    ("flat.safetensors", safetensors({"weight": ("F32", np.zeros(3, np.float32))}), r"a row for each token, not shape"),
    ("int.safetensors", safetensors({"weight": ("I64", np.zeros((2, 3), int))}), "not of a dtype among F64, F32, F16"),
    ("cut.safetensors", matrix(tokens=TOKENS)[:-1], "is not whole"),
    ("wide.safetensors", safetensors({"weight": ("F32", np.zeros((2, 5), np.float32))}), "vectors 5 wide"),
    ("unnamed.safetensors", matrix(), r"does not name its tokens: put a JSON list .* of .*unnamed\.txt"),
    ("few.safetensors", matrix(tokens='["a"]'), "has 4 vectors, but 1 tokens"),
    ("no.safetensors", matrix(tokens="a b c d"), "tokens are no JSON list"),
    (
        "nan.safetensors",
        matrix(vectors={"the": [1, math.nan, 2]}, tokens='["the"]'),
        "vector of 'the' is not of finite",
    ),
]


@pytest.mark.parametrize(("name", "content", "problem"), DAMAGED, ids=[name for name, _, _ in DAMAGED])
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    embedding = ScaledEmbedding(len(PIECES), E)
    before_VE = embedding.weight.detach().clone()
    with pytest.raises(UserError, match=problem) as caught:
        load_vectors(embedding, PIECES, tmp_path / name, "model.embeddings")
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert torch.equal(embedding.weight, before_VE)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "word", "character", "byte"])
def test_pieces_are_the_texts_of_the_tokens(kind: str) -> None:
    lines = ["the dog sees the cat", "a cat sees a dog", "the cat sleeps"]
    tokenizer = make_tokenizer(lines, TokenizerSettings(kind=kind, vocab_size=20))  # type: ignore[arg-type]
    pieces = tokenizer.pieces()
    assert len(pieces) == len(tokenizer)
    cut = [pieces[token] for token in tokenizer.encode("the dog")]
    assert " ".join(cut) == "the dog" if kind == "word" else "".join(cut).strip("▁").replace("▁", " ") == "the dog"
