"""Pictures of attention: their labels, their sizes, and what stands beside them as JSON."""

import json
import logging
import math
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.image import imread

from seqlab.tasks import attention_maps
from seqlab.tasks.attention_maps import NO_GLYPH, AttentionMap, readable


def make(source, target):
    """An attention that walks along the diagonal."""
    weights = np.full((len(target), len(source)), 0.1 / len(source))
    weights[np.arange(len(target)), np.arange(len(target)) * len(source) // len(target)] += 0.9
    return AttentionMap(source, target, weights.tolist(), " ".join(source), " ".join(target), -0.5)


def drawn(attention):
    """The axes of a picture, laid out as they are when it is saved."""
    figure = attention.figure("sentence 1")
    figure.canvas.draw()
    return figure, figure.axes[0]


@pytest.mark.parametrize(("columns", "rows"), [(1, 2), (5, 4), (60, 57), (9, 60)])
def test_labels_do_not_overlap(columns, rows):
    """Those of rows by their boxes; those of columns, which are oblique, by the distance between their lines."""
    figure, axes = drawn(make([f"▁gjW{n}ß" for n in range(columns)], [f"▁Äg{n}" for n in range(rows)]))
    labels = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(labels) == rows
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(labels))
    labels = axes.get_xticklabels()
    assert len(labels) == columns
    distance = axes.get_window_extent().width / columns * math.sin(math.radians(labels[0].get_rotation()))
    assert labels[0].get_fontsize() * figure.dpi / 72 < distance


def test_the_picture_shows_the_weights_and_names_the_pieces():
    attention = make(["▁A", "▁dog", "<eos>"], ["▁Ein", "▁Hund", "$x^2$", "<eos>"])
    _, axes = drawn(attention)
    (mesh,) = axes.collections
    np.testing.assert_array_equal(mesh.get_array(), attention.weights)
    assert mesh.get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == attention.source
    assert [label.get_text() for label in axes.get_yticklabels()] == attention.target
    assert not any(label.get_parse_math() for label in axes.get_yticklabels())
    tops = [label.get_window_extent().y1 for label in axes.get_yticklabels()]
    assert tops == sorted(tops, reverse=True), "the first piece is on top"
    assert axes.get_title("left") == "sentence 1"


def test_files(tmp_path):
    """A number with six digits, so that files are sorted as sentences are; the longer the sentence, the larger the
    picture."""
    short, long = make(["a", "<eos>"], ["ü", "<eos>"]), make([f"a{n}" for n in range(60)], [f"b{n}" for n in range(7)])
    short.write(tmp_path, 7)
    long.write(tmp_path, 12)
    names = ["000007.json", "000007.png", "000012.json", "000012.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    found = json.loads((tmp_path / "000007.json").read_text(encoding="utf-8"))
    assert found == {
        "sentence": 7,
        "source": ["a", "<eos>"],
        "target": ["ü", "<eos>"],
        "weights": short.weights,
        "source_text": "a <eos>",
        "text": "ü <eos>",
        "score": -0.5,
    }
    small, large = (imread(tmp_path / f"{name}.png").shape for name in ("000007", "000012"))
    assert large[1] > 5 * small[1] and large[1] > large[0]
    make(["a"] * 900, ["b"] * 2).draw(tmp_path / "longest.png", "sentence 3")
    assert imread(tmp_path / "longest.png").shape[1] < 10_000


def test_what_no_font_has_is_a_box(tmp_path, caplog, monkeypatch):
    """Without a warning, which would be an error here; a line says so once."""
    monkeypatch.setattr(attention_maps, "_installed", list)
    attention_maps._fonts_for.cache_clear()
    attention_maps._tell_of_boxes.cache_clear()
    with caplog.at_level(logging.INFO, logger="seqlab"):
        labels, fonts = readable(["狗", "▁Ж", "a\tb", " ", "x" * 99, "狗 y", "\u200b"])
        make(["一只", "<eos>"], ["\U0001f436", "<eos>"]).draw(tmp_path / "1.png", "sentence 1")
    attention_maps._fonts_for.cache_clear()
    assert labels == [NO_GLYPH, "▁Ж", f"a{NO_GLYPH}b", "␣", "x" * 29 + "…", f"{NO_GLYPH}␣y", NO_GLYPH]
    assert fonts == ["DejaVu Sans"]
    assert caplog.messages == ["no installed font has some characters of the text: pictures show □ in their place"]
    assert (tmp_path / "1.png").stat().st_size > 1000


def test_another_font_is_taken_for_what_the_first_has_not(monkeypatch):
    glyphs = {"first": {97}, "second": {97, 98}, "third": {98, 99}, "fourth": {100}}
    monkeypatch.setattr(attention_maps, "_glyphs", lambda path: frozenset(glyphs.get(path, {97})))
    monkeypatch.setattr(attention_maps, "_installed", lambda: [(name.upper(), name) for name in glyphs])
    attention_maps._fonts_for.cache_clear()
    assert readable(["abc", "d"]) == (["abc", "d"], ["DejaVu Sans", "THIRD", "FOURTH"])
    attention_maps._fonts_for.cache_clear()
