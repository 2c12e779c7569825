"""Reports in a real browser."""

from pathlib import Path

import pytest

from seqlab.reporting.report import write_report

from .browser import CHROMIUM, WIDTHS, Browser
from .made import make_comparison, make_run

MISSING = """[...document.images].filter(image => !image.complete || !image.naturalWidth).length"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_no_complaints_and_no_overflow(copied: Path, tmp_path: Path) -> None:
    """On a wide screen, on a phone, in the dark and in print; nothing but the file is asked for."""
    made = [make_comparison(tmp_path / "out"), make_run(tmp_path / "run"), copied]
    pages = [write_report(path, tmp_path / f"{number}.html") for number, path in enumerate(made)]
    with Browser(tmp_path / "browser") as browser:
        for page in pages:
            for width, dark in ((1280, False), (390, False), (320, True)):
                browser.open(page, width, dark=dark)
                needed, there = browser.evaluate(WIDTHS)
                assert needed <= there <= width, f"{page} is {needed} wide on a screen of {width}"
                assert browser.evaluate(MISSING) == 0 and browser.complaints() == []
                asked = [url for url in browser.requests() if not url.startswith("data:")]
                assert asked == [page.as_uri()]
            browser.print(tmp_path / "printed.pdf")
            assert (tmp_path / "printed.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_browser_sees_what_is_wrong(tmp_path: Path) -> None:
    """So that the test above can fail."""
    page = tmp_path / "wrong.html"
    wrong = "<div style='width: 900px'>x</div><img src='gone.png'><script>console.error('no')</script>"
    page.write_text(f"<!DOCTYPE html><meta name='viewport' content='width=device-width'>{wrong}")
    with Browser(tmp_path / "browser") as browser:
        browser.open(page, 390)
        needed, there = browser.evaluate(WIDTHS)
        assert needed > there and browser.evaluate(MISSING) == 1 and browser.complaints()
