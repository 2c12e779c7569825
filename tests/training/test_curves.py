"""The picture that is drawn from the log of a run."""

import struct

import pytest

from seqlab.training.curves import draw_curves


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def png_size(path) -> tuple[int, int]:
    """Width and height, from the file's header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and content[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


@pytest.mark.parametrize("scores, columns, rows", [([], 1, 1), (["bleu"], 2, 1), (["bleu", "perplexity"], 2, 2)])
def test_curves(path, tmp_path, scores, columns, rows):
    """One picture with a field for the training loss and one for each score, two abreast."""
    log = [f"step,epoch,seconds,train/loss{''.join(f',val/{name}' for name in scores)}"]
    for step in range(1, 5):
        log.append(f"{step},0,{step}.5,{10 / step}{',' * len(scores)}")
        if step % 2 == 0 and scores:
            log.append(f"{step},0,{step}.6,{''.join(f',{1000.0 / step**4}' for _ in scores)}")
    path.write_text("".join(f"{line}\n" for line in log))
    picture = tmp_path / "curves.png"
    draw_curves(path, picture, "a run")
    width, height = png_size(picture)
    assert 500 * columns < width < 900 * columns
    assert 300 * rows < height < 600 * rows
    assert picture.stat().st_size > 5000


def test_curves_of_nothing(path, tmp_path):
    """A run that ended before its first row has no picture, and that is no error."""
    path.write_text("step,epoch,seconds\n")
    draw_curves(path, tmp_path / "curves.png", "a run")
    draw_curves(tmp_path / "missing.csv", tmp_path / "curves.png", "a run")
    assert not (tmp_path / "curves.png").exists()


def test_curves_of_values_that_are_no_numbers(path, tmp_path):
    path.write_text("step,epoch,seconds,train/loss\n1,0,1.5,nan\n2,0,2.5,inf\n")
    draw_curves(path, tmp_path / "curves.png", "a run")
    assert png_size(tmp_path / "curves.png")
