"""The page: well-formed, safe whatever stands in its text, and whole in itself."""

import re
from pathlib import Path

import pytest

from seqlab.reporting.page import Code, Missing, Notes, Page, Pictures, Samples, Section, Table, Text
from seqlab.reporting.pictures import Picture
from seqlab.reporting.report import write_report

from .made import CELLS, ODD, SCRIPT, SOURCES, make_comparison, make_run
from .parsed import Parsed


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page of a comparison and that of a run."""
    folder = tmp_path_factory.mktemp("made <script>alert('path')</script>".replace("/", "_"))
    made = {"comparison": make_comparison(folder / "a comparison"), "run": make_run(folder / "a <b>'run'")}
    return {name: write_report(path).read_text(encoding="utf-8") for name, path in made.items()}


@pytest.mark.parametrize("name", ["comparison", "run"])
def test_well_formed_and_semantic(pages: dict[str, str], name: str) -> None:
    page = Parsed(pages[name])
    assert pages[name].startswith("<!DOCTYPE html>\n") and not page.wrong
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == len(page.all("title")) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and len(page.all("section")) == len(page.all("h2")) > 5
    assert [link["href"] for link in page.all("a")] == [f"#{section['id']}" for section in page.all("section")]
    tables = len(page.all("table"))
    assert tables == len(page.all("caption")) > 3
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    pictures = page.all("img")
    assert pictures and all(len(picture["alt"] or "") > 40 for picture in pictures)
    assert all(int(picture["width"] or 0) > 100 < int(picture["height"] or 0) for picture in pictures)


@pytest.mark.parametrize("name", ["comparison", "run"])
def test_it_loads_nothing_and_runs_nothing(pages: dict[str, str], name: str) -> None:
    page = Parsed(pages[name])
    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.elements:
        assert not [attribute for attribute in attributes if attribute.startswith("on")]
        for attribute in ("src", "href"):
            if attribute in attributes:
                assert re.match("#" if tag == "a" else "data:", attributes[attribute] or "")
    (style,) = page.texts["style"]
    assert "url(" not in style and "@import" not in style and "@media print" in style
    policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_text_is_shown_as_it_is(pages: dict[str, str]) -> None:
    """But for a character that would steer a terminal."""
    page = Parsed(pages["comparison"])
    (samples,) = (rows for caption, rows in page.tables.items() if caption.startswith("6 of 6 sentences"))
    shown = SCRIPT.replace("\x1b", "\ufffd")
    labels = ["source", "reference", *CELLS]
    assert [row[0] for row in samples] == 6 * labels
    texts = [line.replace(SCRIPT, shown) for line in SOURCES]
    assert [row[1] for row in samples] == [
        text for line in texts for text in (line, f"{line}!", *(f"{cell}: {line}" for cell in CELLS))
    ]
    assert ODD in page.texts["h1"][0] and [row[0] for row in page.tables["Every run"]][3] == f"{ODD}, seed 1"
    assert "\x1b" not in pages["comparison"] and "\x1b" not in pages["run"]
    assert page.texts["h1"] == page.texts["title"]


def test_every_kind_of_block_is_escaped() -> None:
    evil = '"><script>alert(1)</script>\ud800\x00'
    picture = Picture("data:image/png;base64,", evil, evil, 1, 1)
    blocks = [
        Table(evil, [evil, evil], [[evil, evil]], strong=frozenset({(0, 1)})),
        Table(evil, [evil, evil], [[evil, evil]], text=True),
        Samples(evil, [[(evil, evil)]]),
        Pictures([picture]),
        Text(evil),
        Notes([evil]),
        Code(evil, evil),
        Missing(evil, ("seqlab", evil)),
    ]
    html = Page(evil, evil, [(evil, evil)], [Section(evil, blocks)]).html()
    page = Parsed(html)
    assert not page.wrong and "script" not in {tag for tag, _ in page.elements} and "<script" not in html
    shown = evil.replace("\ud800", "\ufffd").replace("\x00", "\ufffd")
    assert page.all("img")[0]["alt"] == page.texts["h2"][0] == page.texts["pre"][0] == shown
    assert page.texts["strong"] == [shown] and page.texts["code"][-1] == f"seqlab '{shown}'"
    html.encode()


def test_the_same_page_each_time(tmp_path: Path) -> None:
    out = make_comparison(tmp_path / "made")
    pages = {write_report(out).read_bytes() for _ in range(2)}
    assert len(pages) == 1 and list(tmp_path.glob("**/*.writing")) == []
