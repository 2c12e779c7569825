"""The phrasebook: a parallel corpus of dates, times, numbers, amounts, countries and languages in four languages.

Sentence frames (`phrasebook_frames`) are filled with what Babel (CLDR) and num2words know, so the corpus needs no
network and no files. It is one multi-parallel corpus: sentence i of a split is the same sentence in every language,
whichever languages are asked for and however many sentences. A sentence in one language determines it in the others.

An item of a frame is a number below the product of its slots' sizes. Each frame has one fixed random order of its
items, of which `val` and `test` own the first stretches and `train` the rest: no item is in two splits.
"""

import itertools
import math
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit
from num2words import num2words

from seqlab.data import phrasebook_frames as table
from seqlab.data.phrasebook_frames import FRAMES, Frame
from seqlab.errors import UserError

LANGUAGES: tuple[str, ...] = ("en", "de", "fr", "es")
SPLITS: dict[str, int] = {"train": 20_000, "val": 500, "test": 500}

# The stretch of every frame's items that a split owns. Fixed, so that val and test never depend on the size of train.
_STRETCHES: dict[str, tuple[int, int | None]] = {"val": (0, 1000), "test": (1000, 2000), "train": (2000, None)}

_LOCALES = {language: Locale(language) for language in LANGUAGES}
_COUNTRIES, _SPOKEN = table.COUNTRIES.split(), table.SPOKEN.split()
_PAST, _PAST_DAYS = date(1930, 1, 1), 70 * 365
_COMING, _COMING_DAYS = date(2027, 1, 1), 10 * 365


class Slot(NamedTuple):
    """What can stand in a frame: for value `index` (below `size`) and a language, the texts by field name."""

    size: int
    texts: Callable[[int, str], dict[str, str]]


def phrasebook(languages: Sequence[str], split: str = "train", size: int | None = None) -> list[tuple[str, ...]]:
    """Aligned sentences in two or more languages.

    Args:
        languages: codes out of `LANGUAGES`, each once, in the order wanted.
        split: a key of `SPLITS`. No sentence of one split is in another, in any language.
        size: how many sentences; None for the split's size in `SPLITS`. A smaller size gives a prefix of a larger one.

    Returns:
        `size` rows, each with one sentence per language, in the order of `languages`.

    Raises:
        UserError: an unknown or repeated language, fewer than two of them, an unknown split, or an impossible size.
    """
    _check_languages(languages)
    if split not in SPLITS:
        raise UserError(f"phrasebook: no split {split!r}; there are {', '.join(SPLITS)}")
    size = SPLITS[split] if size is None else size
    start, stop = _STRETCHES[split]
    limit = sum(len(range(_count(frame))[start:stop]) for frame in FRAMES)
    if not 1 <= size <= limit:
        raise UserError(f"phrasebook: {split} can have 1 to {limit} sentences, not {size}")
    return [
        tuple(_sentence(frame, item, language) for language in languages)
        for frame, item in itertools.islice(_draw(split), size)
    ]


def _check_languages(languages: Sequence[str]) -> None:
    there_are = f"there are {', '.join(LANGUAGES)}"
    for language in languages:
        if language not in LANGUAGES:
            raise UserError(f"phrasebook: no language {language!r}; {there_are}")
    if len(set(languages)) < len(languages):
        raise UserError(f"phrasebook: a language is repeated in {', '.join(languages)}; name each once")
    if len(languages) < 2:
        raise UserError(f"phrasebook: needs two languages or more, not {len(languages)}; {there_are}")


def _draw(split: str) -> Iterator[tuple[Frame, int]]:
    """All items of a split, frame by frame in rounds, each round in a random order; a frame that runs dry drops out."""
    rng = random.Random(f"phrasebook rounds {split}")
    streams = [(frame, itertools.islice(_items(frame), *_STRETCHES[split])) for frame in FRAMES]
    while streams:
        drawn = [(frame, next(items, None), items) for frame, items in streams]
        live = [(frame, item, items) for frame, item, items in drawn if item is not None]
        yield from sorted(((frame, item) for frame, item, _ in live), key=lambda _: rng.random())
        streams = [(frame, items) for frame, _, items in live]


def _items(frame: Frame) -> Iterator[int]:
    """Every item of a frame once, in a fixed random order."""
    # Only `random()` is promised to give the same numbers in every Python, so nothing else is drawn from.
    rng = random.Random(f"phrasebook items {frame.en}")
    count = _count(frame)
    seen: set[int] = set()
    while len(seen) < count:
        item = int(rng.random() * count)
        if item not in seen:
            seen.add(item)
            yield item


def _count(frame: Frame) -> int:
    return math.prod(SLOTS[name].size for name in frame.slots)


def _sentence(frame: Frame, item: int, language: str) -> str:
    """Fills the frame. The item is a mixed-radix number with one digit per slot."""
    fields: dict[str, str] = {}
    for name in frame.slots:
        item, index = divmod(item, SLOTS[name].size)
        fields |= SLOTS[name].texts(index, language)
    return _plain(getattr(frame, language).format_map(fields))


def _plain(text: str) -> str:
    """NFC, with a plain apostrophe, and a plain space for each run of the many kinds that CLDR writes."""
    return unicodedata.normalize("NFC", " ".join(text.split())).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _single(field: str, size: int, text: Callable[[int, str], str]) -> Slot:
    """A slot that fills one field. Its texts are kept, since formatting is what costs time here."""
    cached = cache(text)
    return Slot(size, lambda index, language: {field: cached(index, language)})


def _pair(field: str, count: int, text: Callable[[int, str], str]) -> Slot:
    """A slot that fills `field` and `other_field` with two different values out of `count`."""

    def texts(index: int, language: str) -> dict[str, str]:
        first, second = divmod(index, count - 1)
        second += second >= first
        return {field: text(first, language), f"other_{field}": text(second, language)}

    return Slot(count * (count - 1), texts)


def _day(first: date, index: int, language: str, patterns: dict[str, str]) -> str:
    day = first + timedelta(days=index)
    pattern = patterns[language]
    if language == "fr" and day.day == 1:
        pattern = pattern.replace("d", "d'er'")  # "le 1er mars": the one ordinal that CLDR does not write
    return format_date(day, pattern, locale=_LOCALES[language])


def _time(index: int, language: str) -> str:
    """Every five minutes from 7:00 to 21:55. (At one in the morning Spanish would need "a la" for "a las".)"""
    minutes = 7 * 60 + 5 * index
    return format_time(time(minutes // 60, minutes % 60), table.TIME[language], locale=_LOCALES[language])


def _country(index: int, language: str) -> str:
    return _LOCALES[language].territories[_COUNTRIES[index]]


def _language(index: int, language: str) -> str:
    return _LOCALES[language].languages[_SPOKEN[index]]


def _number(index: int, language: str) -> str:
    """Spelled out, 2 to 199: few enough to see each a dozen times in the default train split."""
    return num2words(index + 2, lang=language)


def _unit(quantity: int | Decimal, unit: str, language: str) -> str:
    return format_unit(quantity, unit, "long", locale=_LOCALES[language])


def _wait(index: int, language: str) -> str:
    """2 to 59 minutes, then 2 to 9 hours."""
    if index < 58:
        return _unit(index + 2, "duration-minute", language)
    return _unit(index - 58 + 2, "duration-hour", language)


def _weight(index: int, language: str) -> str:
    """150 to 990 grams in tens, then 2 to 29.9 kilograms in tenths."""
    if index < 85:
        return _unit(150 + 10 * index, "mass-gram", language)
    return _unit(Decimal(20 + index - 85) / 10, "mass-kilogram", language)


def _percent(index: int, language: str) -> str:
    return format_percent(Decimal(index + 2) / 100, locale=_LOCALES[language])


def _temperature(index: int, language: str) -> str:
    """2 to 39.9 degrees in tenths."""
    return _unit(Decimal(20 + index) / 10, "temperature-celsius", language)


def _prices(field: str, first: int, step: int, steps: int) -> Slot:
    """Amounts from `first` cents on in steps of `step` cents, each in every currency that has a symbol."""

    def text(index: int, language: str) -> str:
        number, currency = divmod(index, len(table.SYMBOL_CURRENCIES))
        amount = Decimal(first + step * number) / 100
        return format_currency(amount, table.SYMBOL_CURRENCIES[currency], locale=_LOCALES[language])

    return _single(field, steps * len(table.SYMBOL_CURRENCIES), text)


@cache
def _named_amount(cents: int, currency: str, language: str) -> str:
    return format_currency(Decimal(cents) / 100, currency, locale=_LOCALES[language], format_type="name")


def _bill(index: int, language: str) -> dict[str, str]:
    """A price of 30.00 to 129.50 in steps of 0.50, and cash that is 0.50 to 20.00 short of it, in one currency."""
    rest, currency = divmod(index, len(table.NAMED_CURRENCIES))
    price, short = divmod(rest, 40)
    code, price_cents = table.NAMED_CURRENCIES[currency], 3000 + 50 * price
    cash_cents = price_cents - 50 * (short + 1)
    return {"price": _named_amount(price_cents, code, language), "cash": _named_amount(cash_cents, code, language)}


SLOTS: dict[str, Slot] = {
    "past_day": _single("day", _PAST_DAYS, lambda i, language: _day(_PAST, i, language, table.DAY)),
    "past_date": _single("date", _PAST_DAYS, lambda i, language: _day(_PAST, i, language, table.DATE)),
    "coming_day": _single("day", _COMING_DAYS, lambda i, language: _day(_COMING, i, language, table.DAY)),
    "coming_date": _single("date", _COMING_DAYS, lambda i, language: _day(_COMING, i, language, table.DATE)),
    "time": _single("time", 15 * 12, _time),
    "country": _single("country", len(_COUNTRIES), _country),
    "two_countries": _pair("country", len(_COUNTRIES), _country),
    "language": _single("language", len(_SPOKEN), _language),
    "two_languages": _pair("language", len(_SPOKEN), _language),
    "number": _single("number", 198, _number),
    "other_number": _single("other_number", 198, _number),
    "age": _single("age", 85, lambda i, language: str(i + 6)),
    "percent": _single("percent", 78, _percent),
    "inhabitants": _single("inhabitants", 9850, lambda i, language: format_decimal(i + 150, locale=_LOCALES[language])),
    "distance": _single("distance", 98, lambda i, language: _unit(i + 2, "length-kilometer", language)),
    "weight": _single("weight", 85 + 280, _weight),
    "wait": _single("wait", 58 + 8, _wait),
    "temperature": _single("temperature", 380, _temperature),
    "postage": _prices("postage", first=200, step=5, steps=400),
    "fee": _prices("fee", first=4000, step=250, steps=800),
    "bill": Slot(len(table.NAMED_CURRENCIES) * 200 * 40, _bill),
}
