"""What ``seqlab export`` makes of a run is a file of its tokenizers, as the run itself is."""

from pathlib import Path

import pytest

from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, make_tokenizer
from seqlab.training.exports import write_export

LINES = [f"the {animal} sees the {other}" for animal in ("dog", "cat", "bird") for other in ("fox", "horse", "man")] * 3


def exported(folder: Path, **tokenizers: Tokenizer) -> Path:
    """An export of these tokenizers, without a weight."""
    folder.mkdir()
    state = {name: tokenizer.model for name, tokenizer in tokenizers.items()}
    write_export(folder, {"seqlab": {}, "state_dict": {}, "global_step": 3, "Data": state}, "", "Data")
    return folder


def read(folder: Path, name: str = "data.tokenizer") -> Tokenizer:
    return make_tokenizer((), TokenizerSettings(file=str(folder)), name)


@pytest.mark.parametrize(
    "settings",
    [
        TokenizerSettings("bpe", 40),
        TokenizerSettings("bpe", 40, lowercase=True),
        TokenizerSettings("word", 7),
        TokenizerSettings("character", 12, lowercase=True),
    ],
    ids=["bpe", "lowercase bpe", "word", "lowercase character"],
)
def test_every_kind(tmp_path: Path, settings: TokenizerSettings) -> None:
    made = make_tokenizer(LINES, settings)
    found = read(exported(tmp_path / "export", tokenizer=made))
    assert found.model == made.model and found.encode("The dog") == made.encode("The dog")


def test_each_side_gets_its_own(tmp_path: Path) -> None:
    source, target = (make_tokenizer(LINES, TokenizerSettings(kind, 40)) for kind in ("bpe", "word"))
    both = exported(tmp_path / "both", tokenizer=source, target_tokenizer=target)
    assert read(both).model == source.model
    assert read(both, "data.target_tokenizer").model == target.model
    shared = exported(tmp_path / "shared", tokenizer=source)
    assert read(shared, "data.target_tokenizer").model == source.model
