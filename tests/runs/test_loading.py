"""What ``seqlab.load`` takes."""

from pathlib import Path
from typing import Any

import pytest

import seqlab
from seqlab.errors import UserError


@pytest.mark.parametrize("run", [3, None, b"runs/x", ["runs/x"]], ids=str)
def test_what_is_no_path(run: Any) -> None:
    with pytest.raises(UserError) as refused:
        seqlab.load(run)
    assert str(refused.value) == f"seqlab.load takes the directory of a run, as in seqlab.load('runs/x'), not {run!r}"


@pytest.mark.parametrize("form", [str, Path])
def test_a_path_of_either_kind(form: type, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x is not a run \(no config.yaml\)$"):
        seqlab.load(form(tmp_path / "x"))
