"""Several runs on the same data: each tested against the first, and runs of several seeds summed up."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from seqlab.errors import UserError
from seqlab.evaluation.collecting import Score
from seqlab.evaluation.scoring import Evaluation, Scores
from seqlab.evaluation.tables import (
    half_width,
    intervals_told,
    signatures_table,
    versions_told,
    written,
)
from seqlab.files import write_text
from seqlab.metrics import significance
from seqlab.score_text import decimals, difference_text, score_text
from seqlab.terminal import table

TESTS = {"bs": "paired bootstrap", "ar": "paired approximate randomisation"}
LEVEL = 0.05
LONGEST_NAME = 40
NOT_THE_SAME = ("name", "tokens", "unknown", "changed")
"""What runs may say of the same data differently: where it lies, and how a tokenizer of their own cut it."""


@dataclass
class Compared:
    """A run that was scored.

    Args:
        evaluation: The run.
        scores: Its scores.
        record: What was written of it.
    """

    evaluation: Evaluation
    scores: Scores
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run, as it was given."""
        return str(self.evaluation.run)


def check_comparable(evaluations: Sequence[Evaluation]) -> None:
    """Refuses runs whose scores are not of the same thing.

    Raises:
        UserError: They are of different tasks, or scored on different data.
    """
    for first, other in pairwise(evaluations):
        tasks = [type(evaluation.task).__name__ for evaluation in (first, other)]
        if tasks[0] != tasks[1]:
            raise UserError(f"{first.run} is of the task {tasks[0]}, {other.run} of {tasks[1]}: they do not compare")
        data = [
            {key: value for key, value in evaluation.described.items() if key not in NOT_THE_SAME}
            for evaluation in (first, other)
        ]
        for key in sorted(data[0].keys() | data[1].keys()):
            one, two = (described.get(key) for described in data)
            if one != two:
                raise UserError(
                    f"{first.run} and {other.run} would be scored on different data ({key}: {_brief(one)} and "
                    f"{_brief(two)}): name the same with --split or --data.{first.split}"
                )


def compare(compared: Sequence[Compared], label: str, test: Literal["bs", "ar"], out: Path | None) -> list[str]:
    """Tests each run against the first, sums up runs of several seeds, and writes both as JSON.

    Args:
        compared: The runs, the first of which is the baseline.
        label: Label of the evaluation.
        test: ``bs``, paired bootstrap, or ``ar``, paired approximate randomisation.
        out: Where to write them; nowhere if None.

    Returns:
        What is printed.
    """
    first, *others = compared
    shared = [name for name in first.scores.scores if all(name in other.scores.scores for other in others)]
    tests = {name: _tests(name, compared, test) for name in shared}
    seeds = [_over_seeds(group, shared) for group in seed_groups(compared)]
    if out is not None:
        content = {
            "label": label,
            "test": TESTS[test],
            "baseline": first.name,
            "runs": {run.name: run.record for run in compared},
            "tests": tests,
            "seeds": seeds,
        }
        write_text(out, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return [*_table(compared, label, tests, seeds), "", *_notes(compared, test, tests, seeds, out)]


def _tests(name: str, compared: Sequence[Compared], test: Literal["bs", "ar"]) -> dict[str, Any]:
    """The p-value of every run's score against that of the first, or why there is none."""
    first, *others = compared
    base = first.scores.scores[name]
    found: dict[str, dict[str, float | str | None]] = {}
    signature = base.signature
    for other in others:
        score = other.scores.scores[name]
        reason = _untested(base, score, first.evaluation.vocabulary == other.evaluation.vocabulary)
        if reason is None:
            result = significance.compare(
                base.metric, {first.name: base.statistics, other.name: score.statistics}, test
            )
            found[other.name] = {"difference": score.value - base.value, "p_value": result.results[other.name].p_value}
            signature = result.signature
        else:
            comparable = base.signature == score.signature
            found[other.name] = {
                "difference": score.value - base.value if comparable else None,
                "p_value": None,
                "why": reason,
            }
    return {"signature": signature, "runs": found}


def _untested(base: Score, score: Score, same_tokens: bool) -> str | None:
    """Why two scores are not tested; None if they are."""
    if not same_tokens and base.metric.needs == "tokens":
        return "other tokens"
    if base.signature != score.signature:
        return "scored in another way"
    if len(base.statistics) != len(score.statistics) or (not same_tokens and base.metric.needs == "sized_tokens"):
        return "other units"
    if np.array_equal(base.statistics, score.statistics):
        return "the same"  # by a count of greater differences the least p-value of all
    return None if len(base.statistics) > 1 else "one unit"


def seed_groups(compared: Sequence[Compared]) -> list[list[Compared]]:
    """Runs, two or more each, whose configurations are the same but for the seed."""
    groups: dict[str, dict[int, Compared]] = {}
    for run in compared:
        settings = run.evaluation.settings
        config = {**yaml.safe_load(settings.dump()), "seed": None}
        groups.setdefault(json.dumps(config, sort_keys=True), {}).setdefault(settings.config.seed, run)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def _over_seeds(group: Sequence[Compared], shared: Sequence[str]) -> dict[str, Any]:
    """Mean and interval over seeds of every score."""
    means = {name: significance.over_seeds([run.scores.scores[name].value for run in group]) for name in shared}
    return {
        "runs": [run.name for run in group],
        "seeds": [run.evaluation.settings.config.seed for run in group],
        "scores": {name: {"mean": mean.mean, "half_width": mean.half_width} for name, mean in means.items()},
    }


def _table(
    compared: Sequence[Compared], label: str, tests: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]]
) -> list[str]:
    """A block for each score with a line for each run, and one for each group of seeds."""
    rows = [[label, "run", "score", "", ""]]
    for name, tested in tests.items():
        scores = [(score["value"], half_width(score)) for score in (run.record["scores"][name] for run in compared)]
        for position, (run, score) in enumerate(zip(compared, scores, strict=True)):
            told = _told(tested["runs"].get(run.name), max(decimals(*scores[0]), decimals(*score)))
            rows.append([name if not position else "", _short(run.name), score_text(*score), *told])
        for group, title in zip(seeds, _titles(seeds), strict=True):
            mean = group["scores"][name]
            rows.append(["", title, score_text(mean["mean"], mean["half_width"]), "", ""])
    return table(rows, None)


def _told(result: Mapping[str, Any] | None, places: int) -> tuple[str, str]:
    """Difference, with so many decimals, and p-value; nothing of the baseline."""
    if result is None:
        return "", ""
    difference = "" if result["difference"] is None else difference_text(result["difference"], places)
    if result["p_value"] is None:
        return difference, result["why"]
    return difference, f"p {result['p_value']:.4f}{' *' if result['p_value'] < LEVEL else ''}"


def _notes(
    compared: Sequence[Compared],
    test: str,
    tests: Mapping[str, Any],
    seeds: Sequence[Mapping[str, Any]],
    out: Path | None,
) -> list[str]:
    """How to read the table, and where all of it is."""
    lines = [f"p: {TESTS[test]} against {_short(compared[0].name)}; * is below {LEVEL}"]
    lines += intervals_told(compared[0].record["scores"])
    for group, title in zip(seeds, _titles(seeds), strict=True):
        lines += [f"{title}: 95 % interval of the mean, Student's t", *(f"    {run}" for run in group["runs"])]
    signatures = signatures_table({name: tested["signature"] for name, tested in tests.items()})
    paths = [*([out] if out else []), *(run.evaluation.run.scores for run in compared)]
    return [*lines, "", *signatures, "", versions_told(compared[0].record), *written(paths)]


def _titles(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What groups of seeds are called."""
    titles = [f"mean of {len(group['runs'])} seeds" for group in seeds]
    return [f"{title} ({n})" for n, title in enumerate(titles, 1)] if len(titles) > 1 else titles


def _short(name: str) -> str:
    """A name from its end, if it is long."""
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME + 1 :]}"


def _brief(value: object) -> str:
    """A value for a message: of a checksum its beginning."""
    return str(value)[:12]
