"""Tables of scores for a terminal."""

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.score_text import score_text
from seqlab.terminal import columns, table

WIDTH = 100
"""Columns of a line, where a terminal has not fewer."""
Column = tuple[str, Sequence[str]]
"""The name of a column and its cells."""


def half_width(score: Mapping[str, Any]) -> float | None:
    """Half the width of a score's interval; None if it has none."""
    return score["interval"]["half_width"] if "interval" in score else None


def scores_table(label: str, scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each score: its name, its value with an interval, and its signature.

    A signature that is too long for a line is told without the version of what computed it, or on lines of its own.
    """
    names = [f"{label}/{name}" for name in scores]
    values = [score_text(score["value"], half_width(score)) for score in scores.values()]
    heads = [f"{name:<{_widest(names)}}  {value:<{_widest(values)}}" for name, value in zip(names, values, strict=True)]
    return signatures_table({head: score["signature"] for head, score in zip(heads, scores.values(), strict=True)})


def signatures_table(signatures: Mapping[str, str]) -> list[str]:
    """Signatures beside what they are of; see :func:`scores_table`."""
    heads = [f"{head:<{_widest(list(signatures))}}" for head in signatures]
    told, room = list(signatures.values()), _width() - 2 - _widest(heads)
    if _widest(told) > room:
        told = [re.sub(r"\|version:[^|]*", "", signature) for signature in told]
    lines = []
    for head, signature in zip(heads, told, strict=True):
        lines += [f"{head}  {signature}".rstrip()] if len(signature) <= room else [head.rstrip(), *folded(signature)]
    return lines


def folded(signature: str, indent: str = "    ") -> list[str]:
    """A signature on lines of its own, which end in the bar before the next part."""
    parts = textwrap.wrap(
        signature.replace("|", "| "), _width() - len(indent), break_long_words=False, break_on_hyphens=False
    )
    return [indent + part.replace("| ", "|") for part in parts]


def intervals_told(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the intervals of scores are."""
    signatures = {score["interval"]["signature"] for score in scores.values() if "interval" in score}
    return [f"±: 95 % interval, {signature}" for signature in sorted(signatures)]


def versions_told(record: Mapping[str, Any]) -> str:
    """What computed the scores of a record."""
    return "versions: " + ", ".join(f"{name} {version}" for name, version in record["versions"].items())


def written(paths: Sequence[object]) -> list[str]:
    """What files were written."""
    return [f"{9 * ' ' if position else 'written: '}{path}" for position, path in enumerate(paths)]


def blocks(columns: Sequence[Sequence[Column]], width: int) -> list[str]:
    """Columns as lines; those that there is no room for go to a further table below, which the first ones begin again.

    Args:
        columns: The columns in groups that are not parted.
        width: Columns of the terminal.
    """
    first, *others = columns
    lines: list[str] = []
    block = [*first]
    for group in [*others, None]:
        wider = [*block, *(group or ())]
        if group is None or (len(block) > len(first) and max(map(len, _lines(wider))) > width):
            lines += [*([""] if lines else []), *_lines(block)]
            wider = [*first, *(group or ())]
        block = wider
    return lines


def _lines(columns: Sequence[Column]) -> list[str]:
    return table(list(zip(*([name, *cells] for name, cells in columns), strict=True)), None)


def _width() -> int:
    return min(WIDTH, columns(sys.stdout) or WIDTH)


def _widest(cells: Sequence[str]) -> int:
    return max(map(len, cells), default=0)
