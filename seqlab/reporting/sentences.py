"""What came out, in a sentence made of the numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.comparing.tables import shown_scores
from seqlab.evaluation.comparison import LEVEL
from seqlab.evaluation.tables import half_width
from seqlab.reporting.shapes import is_number
from seqlab.score_text import score_text

DRAWN = {"target tokens": "sentences", "tokens": "text", "answers": "sequences"}
"""What a test from one seed draws, by the unit of the task."""
LEAST = 0.0001
"""A p-value below this is told as such."""


def comparison_sentence(results: Mapping[str, Any]) -> str:
    """Which cell is best by the score that chooses, whether that is significant, and how many runs failed."""
    name = shown_scores(results)[0]
    statuses = Counter(run["status"] for cell in results["cells"] for run in cell["runs"])
    total = statuses.total()
    failures = [f"{count} {status}" for status, count in statuses.items() if status != "finished"]
    ranked = ranking(results, name)
    if not ranked:
        what = "No run has finished" if not statuses["finished"] else "No run has been scored"
        return f"{what}{': ' if failures else ''}{', '.join(failures)}."
    best = [cell for cell in ranked if cell["scores"][name]["mean"] == ranked[0]["scores"][name]["mean"]]
    who, metric, value = best[0]["cell"], name.partition("/")[2], _value(best[0], name)
    value += ", from one seed" if len(ranked) > 1 and len(results["seeds"]) == 1 else ""
    if len(ranked) == 1:
        found = f"{who} reaches {metric} {value} on {results['split']}"
    else:
        found = f"{who} has the best {metric} on {results['split']}, {value}"
        found += _beside(best, ranked[len(best) :], results)
    return f"{found}{'; of ' if failures else ''}{f'{total} runs ' if failures else ''}{', '.join(failures)}."


def ranking(results: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The cells that have a score, the best first."""
    scored = [cell for cell in results["cells"] if name in cell["scores"] and is_number(cell["scores"][name]["mean"])]
    return sorted(scored, key=lambda cell: cell["scores"][name]["mean"], reverse=results["mode"] == "max")


def _beside(best: Sequence[Mapping[str, Any]], rest: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> str:
    """How the best stand to the first cell, or the first to the next, which are the pairs that are tested."""
    name, first = shown_scores(results)[0], results["cells"][0]
    equal = [cell["cell"] for cell in best[1:]]
    told = f", as {'have' if len(equal) > 1 else 'has'} {_listed(equal)}" if equal else ""
    if not rest:
        return told
    other = first if first in rest else rest[0]
    told += f"; {other['cell']} has {_value(other, name)}"
    if first not in (*best, other):
        return told
    p_value = (other if first in best else best[0])["scores"][name]["p"]
    if not is_number(p_value):
        return f"{told}, which is not tested"
    spelled = f"p {f'= {p_value:.4f}' if p_value >= LEAST else f'< {LEAST}'}, {results['test']}"
    if len(results["seeds"]) == 1:  # so the test knows nothing of training again
        drawn = DRAWN.get(results["unit"], "data")
        if p_value < LEVEL:
            return f"{told}: other {drawn} would show the same order ({spelled}), another seed may not"
        return f"{told}: other {drawn} may show another order ({spelled}), and so may another seed"
    return f"{told}, and the difference is {'' if p_value < LEVEL else 'not '}significant ({spelled})"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _value(cell: Mapping[str, Any], name: str) -> str:
    score = cell["scores"][name]
    return score_text(score["mean"], score["half_width"])


def run_sentence(settings: Mapping[str, Any], records: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What a run reached by the score that chose its checkpoint.

    Args:
        settings: Its settings by dotted name.
        records: Its scores by label.
        summary: What its fit ended with.
    """
    monitor = str(settings.get("checkpoint.monitor", ""))
    metric = monitor.partition("/")[2]
    who = what_it_is(settings)
    for label in sorted(records, key=lambda label: label != "test"):
        scores = records[label]["scores"]
        if metric in scores:
            value = score_text(scores[metric]["value"], half_width(scores[metric]))
            return f"{who}: {metric} {value} on {label}."
    if monitor in summary.get("scores", {}):
        step = f" at step {summary['best_step']:,}" if summary.get("best_step") else ""
        value = score_text(summary["scores"][monitor])
        return f"{who}: {monitor} {value}, the best validation{step}; not evaluated yet."
    return f"{who}: not scored yet."


def what_it_is(settings: Mapping[str, Any]) -> str:
    """The task of a run and its cells."""
    task = str(settings.get("task", "Run")).rpartition(".")[2]
    cells = [settings.get(f"model.{name}") for name in ("encoder_cell", "decoder_cell")]
    both = settings.get("model.cell")
    if any(cells):
        told = ", ".join(f"{side} {cell or both}" for side, cell in zip(("encoder", "decoder"), cells, strict=True))
    else:
        told = str(both or "")
    return f"{task} with {told}" if told else task
