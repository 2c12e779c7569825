"""The phrasebook: aligned, determined by any one language, disjoint across splits, the same every time."""

import hashlib
import itertools
import os
import re
import subprocess
import sys
import unicodedata
from datetime import datetime

import pytest

from seqlab.data.phrasebook import LANGUAGES, SLOTS, SPLITS, phrasebook
from seqlab.data.phrasebook_frames import COUNTRIES, FRAMES, SPOKEN
from seqlab.errors import UserError


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[tuple[str, ...]]]:
    """Every split at its own size, rows in the order of `LANGUAGES`."""
    return {split: phrasebook(LANGUAGES, split) for split in SPLITS}


@pytest.fixture(scope="module")
def all_rows(corpus) -> list[tuple[str, ...]]:
    return [row for rows in corpus.values() for row in rows]


def _shape(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(template)))


def test_sizes(corpus):
    assert {split: len(rows) for split, rows in corpus.items()} == {"train": 20_000, "val": 500, "test": 500}
    assert len(phrasebook(("en", "fr"), "val", 7)) == 7


@pytest.mark.parametrize("source, target", list(itertools.permutations(range(len(LANGUAGES)), 2)))
def test_source_determines_target(all_rows, source, target):
    targets: dict[str, set[str]] = {}
    for row in all_rows:
        targets.setdefault(row[source], set()).add(row[target])
    assert len(targets) > 20_000
    assert [sentence for sentence, found in targets.items() if len(found) > 1] == []


@pytest.mark.parametrize("name", SLOTS)
def test_no_two_values_of_a_slot_look_alike(name):
    """Over every value there is: a sample could miss two names or formats that coincide."""
    size, texts = SLOTS[name]
    for language in LANGUAGES:
        assert len({tuple(texts(index, language).items()) for index in range(size)}) == size


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_fits_one_frame_alone(all_rows, language):
    shapes = [_shape(getattr(frame, language)) for frame in FRAMES]
    column = LANGUAGES.index(language)
    for row in all_rows[:2000]:
        assert sum(shape.fullmatch(row[column]) is not None for shape in shapes) == 1, row[column]


def test_frames_name_the_same_fields_in_every_language():
    """And what could be taken for each other (two countries, price and cash) stands in the same order."""
    alike = {"language", "other_language", "country", "other_country", "number", "other_number", "price", "cash"}
    for frame in FRAMES:
        filled = {field for name in frame.slots for field in SLOTS[name].texts(0, "en")}
        for language in LANGUAGES:
            fields = re.findall(r"\{(\w+)\}", getattr(frame, language))
            assert sorted(fields) == sorted(filled)
            in_english = re.findall(r"\{(\w+)\}", frame.en)
            assert [field for field in fields if field in alike] == [field for field in in_english if field in alike]


def test_codes_are_listed_once():
    for codes in (COUNTRIES.split(), SPOKEN.split()):
        assert len(codes) == len(set(codes)) > 100


@pytest.mark.parametrize("column", range(len(LANGUAGES)))
def test_no_sentence_occurs_twice(all_rows, column):
    """Neither within a split nor across splits."""
    assert len({row[column] for row in all_rows}) == len(all_rows) == 21_000


def test_splits_stay_disjoint_when_used_up():
    sizes = {"val": 16_000, "test": 16_000, "train": 4_000}
    rows = [row for split, size in sizes.items() for row in phrasebook(("en", "es"), split, size)]
    for column in (0, 1):
        assert len({row[column] for row in rows}) == 36_000


def test_one_corpus_whatever_is_asked_for(corpus):
    en, de, fr, es = (LANGUAGES.index(language) for language in ("en", "de", "fr", "es"))
    assert phrasebook(("de", "en"), "val") == [(row[de], row[en]) for row in corpus["val"]]
    assert phrasebook(["es", "fr", "en"], "test", 40) == [(row[es], row[fr], row[en]) for row in corpus["test"][:40]]
    assert phrasebook(("fr", "de"), size=60) == [(row[fr], row[de]) for row in corpus["train"][:60]]


def test_same_in_another_process(corpus):
    program = (
        "import hashlib; from seqlab.data.phrasebook import *;"
        "print(hashlib.sha256(repr(phrasebook(LANGUAGES, 'val')).encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == hashlib.sha256(repr(corpus["val"]).encode()).hexdigest()


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_is_plain(all_rows, language):
    column = LANGUAGES.index(language)
    for row in all_rows:
        text = row[column]
        assert unicodedata.is_normalized("NFC", text)
        assert not [character for character in text if character.isspace() and character != " "], text
        assert "  " not in text and text == text.strip() and "\N{RIGHT SINGLE QUOTATION MARK}" not in text
        assert text[-1] in ".?" and "{" not in text


def test_every_frame_occurs_equally_often(corpus):
    shapes = [_shape(frame.en) for frame in FRAMES]
    counts = [sum(shape.fullmatch(row[0]) is not None for row in corpus["train"]) for shape in shapes]
    assert sum(counts) == 20_000
    assert max(counts) - min(counts) <= 1


MONTHS = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"


def test_clocks_agree(all_rows):
    """A 12-hour clock in English says what the 24-hour clocks of the others say."""
    checked = 0
    for en, de, fr, es in all_rows:
        if clock := re.search(r"\d+:\d\d [AP]M", en):
            moment = datetime.strptime(clock[0], "%I:%M %p")
            assert f"{moment:%H:%M} Uhr" in de
            assert f"à {moment.hour} h {moment:%M}" in fr.lower()
            assert f"las {moment.hour}:{moment:%M}" in es
            checked += 1
    assert checked > 4000


def test_dates_agree(all_rows):
    months = MONTHS.split()
    firsts = 0
    for en, de, fr, es in all_rows:
        if found := re.search(r"[A-Z][a-z]+ \d+, \d{4}", en):
            day = datetime.strptime(found[0], "%B %d, %Y")
            assert f"{day.day}. {months[day.month - 1]} {day.year}" in de
            assert f" {day.day} de " in es and f" de {day.year}" in es
            assert re.search(rf" {'1er' if day.day == 1 else day.day} \w+ {day.year}", fr)
            firsts += day.day == 1
    assert firsts > 20


def test_amounts_and_countries_are_written_as_in_each_language(all_rows):
    rows = [row for row in all_rows if re.fullmatch(r"He paid €\d+\.\d\d and .*: Germany\.", row[0])]
    assert rows
    for en, de, fr, es in rows:
        amount = en.split()[2].removeprefix("€").replace(".", ",") + " €"
        assert all(amount in text for text in (de, fr, es))
        assert (de.split(": ")[1], fr.split(" : ")[1], es.split(": ")[1]) == ("Deutschland.", "Allemagne.", "Alemania.")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((("en", "it"),), "no language 'it'; there are en, de, fr, es"),
        ((("en", "de", "en"),), "a language is repeated in en, de, en"),
        ((("de",),), "two languages or more, not 1"),
        ((("en", "de"), "dev"), "no split 'dev'; there are train, val, test"),
        ((("en", "de"), "train", 0), "not 0"),
        ((("en", "de"), "train", 10**12), "train can have 1 to [0-9]+ sentences, not 1000000000000"),
        ((("en", "de"), "val", 16_001), "val can have 1 to 16000 sentences, not 16001"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        phrasebook(*arguments)
    assert len(str(caught.value).splitlines()) == 1
