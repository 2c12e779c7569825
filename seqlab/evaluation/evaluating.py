"""Scores runs, leaves a record in each, and tells of them on the terminal."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from seqlab.evaluation.collecting import Score
from seqlab.evaluation.comparison import Compared, check_comparable, compare
from seqlab.evaluation.records import read_records, sha256, table, write_lines, write_record
from seqlab.evaluation.scoring import Evaluation, Options, Scores
from seqlab.evaluation.tables import intervals_told, scores_table, versions_told, written
from seqlab.metrics.bootstrap import interval, unit_scores
from seqlab.runs import Run
from seqlab.suppliers import find_suppliers


def evaluate(
    runs: Sequence[Run],
    flags: Sequence[str],
    options: Options,
    label: str | None = None,
    resamples: int = 1000,
    paired: Literal["bs", "ar"] | None = None,
    out: Path | None = None,
) -> None:
    """Scores a split with the checkpoints of runs, writes ``scores.json`` and text beside it, and prints a table.

    Args:
        runs: The runs. Of several, all but the first are tested against the first.
        flags: Flags that change settings of the runs, such as ``--data.test``.
        options: What else is asked for.
        label: Label of the records; the split if None.
        resamples: Resamples of the bootstrap intervals; 0 leaves them out.
        paired: The test: ``bs``, paired bootstrap, or ``ar``, paired approximate randomisation; ``bs`` if None.
        out: Where to write the comparison of several runs.

    Raises:
        UserError: Something is wrong with a run, a flag or the data, or the runs do not compare.
    """
    for run in runs:
        read_records(run)  # what is wrong with them is better known now than when all is scored
    evaluations = [Evaluation(run, flags, options) for run in runs]
    check_comparable(evaluations)
    label, compared = label or evaluations[0].split, []
    for evaluation in evaluations:
        scores = evaluation.score()
        record = record_of(evaluation, scores, resamples)
        files = write_files(evaluation, scores, label)
        write_record(evaluation.run, label, record)
        compared.append(Compared(evaluation, scores, record))
        if len(runs) == 1:
            print("\n".join(told(evaluation, record, label, files)))
    if len(runs) > 1:
        print("\n".join(compare(compared, label, paired or "bs", out)))


def record_of(evaluation: Evaluation, scores: Scores, resamples: int) -> dict[str, Any]:
    """All there is to say of scores: what they are of, how they were computed, and by what."""
    task, checkpoint, path = evaluation.task, evaluation.checkpoint, evaluation.run.checkpoint()
    versions = ["seqlab", "torch", *(["sacrebleu"] if "text" in scores.texts else [])]
    tokenizer = evaluation.tokenizer
    return {
        "split": evaluation.split,
        "data": evaluation.described,
        "scores": {name: _described(score, resamples) for name, score in scores.scores.items()},
        "decoding": evaluation.decoding,
        "tokenizer": {"tokens": len(tokenizer), "sha256": evaluation.vocabulary} if tokenizer is not None else None,
        "checkpoint": {
            "file": path.name,
            "step": checkpoint["global_step"],
            "weights": "averaged" if "averaged" in checkpoint else "raw",
            "sha256": sha256(path),
        },
        "versions": {
            **{name: version(name) for name in versions},
            **{name: supplied for name, supplied in find_suppliers(task, evaluation.settings.dump()).values() if name},
        },
    }


def _described(score: Score, resamples: int) -> dict[str, Any]:
    """A score as it is written: of one unit there is no interval."""
    record: dict[str, Any] = {"value": score.value, "signature": score.signature}
    if resamples and len(score.statistics) > 1:
        found = interval(score.metric, score.statistics, resamples)
        resampling = "".join(f"{name}:{value}|" for name, value in found.resampling.items())
        record["interval"] = {
            "mean": found.mean,
            "half_width": found.half_width,
            "share": 0.95,
            "signature": f"{resampling}unit:{score.unit}",
        }
    return record


def write_files(evaluation: Evaluation, scores: Scores, label: str) -> list[Path]:
    """Writes outputs that are text, such as hypotheses and references, and what is told of each sentence."""
    run, files = evaluation.run, []
    for output, parts in scores.texts.items():
        columns: dict[str, Sequence[Any]] = dict(parts)
        if output == "text":
            columns |= evaluation.sources()
            columns["sentences.tsv"] = table(sentences(scores))
        files += write_lines(run.translations if output == "text" else run.path / output, label, columns)
    return files


def sentences(scores: Scores) -> dict[str, Sequence[Any]]:
    """What is told of each sentence alone, by columns: scores of its text, and how probable its reference is."""
    columns: dict[str, Sequence[Any]] = {}
    for name, score in scores.scores.items():
        if score.metric.needs == "text":
            columns[name] = [f"{value:.4f}" for value in unit_scores(score.metric, score.statistics)]
    if scores.log_probabilities:
        columns["log_probability"] = [f"{value:.6f}" for value, _ in scores.log_probabilities]
        columns["tokens"] = [count for _, count in scores.log_probabilities]
        columns["log_probability_per_token"] = [f"{value / count:.6f}" for value, count in scores.log_probabilities]
    return {"line": range(1, 1 + len(next(iter(columns.values())))), **columns}


def told(evaluation: Evaluation, record: Mapping[str, Any], label: str, files: Sequence[Path]) -> list[str]:
    """What is printed of the scores of one run."""
    step = f"step {record['checkpoint']['step']}"
    return [
        *scores_table(label, record["scores"]),
        "",
        *intervals_told(record["scores"]),
        f"{evaluation.run.checkpoint()}, {step}{evaluation.search_told}",
        versions_told(record),
        *written([f"{evaluation.run.scores} ({label})", *files]),
    ]
