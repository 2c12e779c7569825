"""What runs made of sentences that they were not trained on: as evaluate wrote it, or by the model itself."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch

from seqlab.errors import UserError
from seqlab.reporting.files import read_texts
from seqlab.reporting.page import Block, Code, Missing, Pictures, Samples
from seqlab.reporting.pictures import of_figure
from seqlab.runs import Run, default_device, restore
from seqlab.tasks.translation import Translation
from seqlab.tasks.translator import Translator

SHOWN, LINES, MAPS = 6, 9, 3
"""Sentences beside their translations, lines that a task shows of itself, and sentences whose attention is drawn."""
LONGEST = 80
"""Characters of a sentence whose attention is drawn, where there are enough; longer ones are hard to read."""
LABELS = {"sources": "source", "references": "reference"}


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers below a count, spread evenly."""
    shown = min(count, most)
    return [number * count // shown for number in range(shown)]


def cells_samples(runs: Mapping[str, Run], label: str, unit: str = Translation.unit) -> list[Block]:
    """The same sentences as the run of each cell has translated them.

    Args:
        runs: A run of each cell.
        label: The label of the text.
        unit: What the task counts; of others than a translation's no text is expected, so none is missed.
    """
    texts = {cell: read_texts(run, label) for cell, run in runs.items()}
    texts = {cell: found for cell, found in texts.items() if "hypotheses" in found}
    if not texts:
        if unit != Translation.unit:
            return []
        return [Missing(f"No run has left text of {label}: evaluate writes some where the output of a task is text")]
    first = next(iter(texts.values()))
    same = {cell: found for cell, found in texts.items() if _given(found) == _given(first)}
    blocks: list[Block] = [_samples(first, {cell: found["hypotheses"] for cell, found in same.items()}, label)]
    blocks += [Missing(f"{cell} has translated other sentences") for cell in texts if cell not in same]
    return blocks


def run_samples(run: Run, labels: Sequence[str]) -> list[Block]:
    """What a run has translated under the first label that has text; nothing where none has."""
    for label in labels:
        texts = read_texts(run, label)
        if "hypotheses" in texts:
            return [_samples(texts, {"translation": texts["hypotheses"]}, label)]
    return []


def _given(texts: Mapping[str, Sequence[str]]) -> list[Sequence[str] | None]:
    return [texts.get(name) for name in LABELS]


def _samples(texts: Mapping[str, Sequence[str]], outputs: Mapping[str, Sequence[str]], label: str) -> Samples:
    columns = {told: texts[name] for name, told in LABELS.items() if name in texts} | dict(outputs)
    count = len(texts["hypotheses"])
    groups = [[(name, lines[row]) for name, lines in columns.items()] for row in spread(count, SHOWN)]
    return Samples(f"{len(groups)} of {count:,} sentences of {label}, spread evenly", groups)


def from_model(run: Run, labels: Sequence[str], *, examples: bool) -> tuple[list[Block], list[Block]]:
    """What a run's own model shows: examples of its task, and where its translations look.

    Args:
        run: The run.
        labels: Labels of its scores, whose sources are looked at.
        examples: Whether examples are asked for.

    Returns:
        Blocks of examples, and blocks of attention; the latter none where the task does not translate.
    """
    try:
        task, data, _ = restore(run)
        task = task.to(default_device())
        shown: list[Block] = []
        with torch.random.fork_rng():
            torch.manual_seed(1)
            if examples:
                lines = "\n".join(islice(task.examples(data), LINES)).strip()
                shown.append(
                    Code("Examples of the task, by the best checkpoint", lines)
                    if lines
                    else Missing(f"{type(task).__name__} shows no examples of what it does")
                )
            return shown, _attention(task, data, run, labels) if isinstance(task, Translation) else []
    except (UserError, OSError, RuntimeError) as error:
        missing = Missing(f"Left out, since the model cannot be used: {' '.join(str(error).split())}")
        return [missing] if examples else [], [] if examples else [missing]


def _attention(task: Any, data: Any, run: Run, labels: Sequence[str]) -> list[Block]:
    """Heatmaps of a few sentences."""
    try:
        translator = Translator([task], names=[str(run)])
        translator.check_attention()
    except UserError as error:
        return [Missing(str(error))]
    sources = next((found for label in labels if (found := read_texts(run, label).get("sources"))), None)
    if sources is None:
        corpus = data.text("test" if data.has("test") else "val")
        sources = [corpus[row]["source"] for row in spread(len(corpus), 100)]
    short = [line for line in sources if line.strip() and len(line) <= LONGEST] or sources
    chosen = [short[row] for row in spread(len(short), MAPS)]
    pictures = [
        of_figure(
            found.figure(""),
            f"Heatmap of attention: a row for each piece of the translation “{found.text}”, a column for each piece of "
            f"the source “{found.source_text}”, darker where the weight is larger.",
            f"{found.source_text} → {found.text}",
        )
        for found in translator.attention(chosen)
        if found is not None
    ]
    return [Pictures(pictures)] if pictures else [Missing("There is no sentence whose attention could be drawn")]
