"""The report of a run."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from seqlab import tasks
from seqlab.comparing.tables import MEBIBYTE
from seqlab.decoding.search import Search
from seqlab.evaluation.tables import half_width, intervals_told
from seqlab.reporting.commands import evaluate_commands, of_other_data
from seqlab.reporting.curves import run_curves
from seqlab.reporting.diagnosis import run_diagnosis
from seqlab.reporting.files import has_model, read_scores, read_summary
from seqlab.reporting.origins import checkpoints_told, data_told, run_settings, settings_of, versions_told
from seqlab.reporting.page import Block, Code, Missing, Notes, Page, Section, Table, spelled
from seqlab.reporting.samples import from_model, run_samples
from seqlab.reporting.sentences import run_sentence, what_it_is
from seqlab.runs import Run
from seqlab.score_text import score_text

COSTS = {
    "parameters": ("parameters", "{:,}"),
    "steps": ("steps", "{:,}"),
    "best_step": ("best checkpoint at step", "{:,}"),
    "ended_by": ("ended by", "{}"),
    "wall_seconds": ("time, validations included", "{:,.0f} s"),
    "training_seconds": ("time of training", "{:,.0f} s"),
    "tokens_per_second": ("{unit} per second", "{:,.0f}"),
}
"""What a fit measured: its name for people, and how it is written."""


def run_page(run: Run, *, model: bool = True) -> Page:
    """The report of a run.

    Args:
        run: The run.
        model: Whether the model may be loaded, for examples and attention.

    Raises:
        UserError: Its scores or its summary are not what seqlab writes.
    """
    records, summary = read_scores(run), read_summary(run)
    settings = settings_of(run)
    labels = sorted(records, key=lambda label: label != "test") or ["test", "val"]
    samples = run_samples(run, labels)
    attention: list[Block] = []
    absent: list[Block] = [Missing("Left out, since the model was not to be loaded", ("seqlab", "report", run))]
    if not has_model(run):
        absent = [Missing("The run has no checkpoint, so its model shows nothing")]
    elif model:
        shown, attention = from_model(run, labels, examples=not samples)
        samples = samples or shown
    sections = [
        Section("Scores", _scores(run, records, summary)),
        Section("Training", _fit(summary, run, settings)),
        Section("Learning curves", run_curves(run)),
        Section("Gradients through time", run_diagnosis(run)),
        Section("Sample outputs", samples or absent),
        *([Section("Attention", attention)] if attention else []),
        Section("Configuration", run_settings(run)),
        Section("How to reproduce", _origin(run, records, settings, model=model)),
    ]
    facts = [
        ("task", what_it_is(settings)),
        ("data", str(settings.get("data.train") or "")),
        ("seed", str(settings.get("seed", ""))),
        ("chosen by", str(settings.get("checkpoint.monitor") or "")),
        ("parameters", f"{summary['parameters']:,}" if "parameters" in summary else ""),
    ]
    name = run.path.resolve().name
    return Page(name, run_sentence(settings, records, summary), [fact for fact in facts if fact[1]], sections)


def _scores(run: Run, records: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Block]:
    """All scores by their label, each with its interval and how it was computed."""
    blocks: list[Block] = []
    for label, record in records.items():
        rows = [
            [f"{label}/{name}", score_text(score["value"], half_width(score)), str(score.get("signature", ""))]
            for name, score in record["scores"].items()
        ]
        caption = f"Scores on {label}{_search_told(record.get('decoding', {}))}"
        blocks.append(Table(caption, ["score", "value", "signature"], rows, text=True))
        blocks += [Notes(told)] if (told := intervals_told(record["scores"])) else []
    if not records:
        blocks.append(Missing("No split has been scored with the best checkpoint", ("seqlab", "evaluate", run)))
    validated = summary.get("scores", {})
    if validated:
        signatures = summary.get("signatures", {})
        rows = [
            [name, score_text(value), str(signatures.get(name.partition("/")[2], ""))]
            for name, value in validated.items()
        ]
        blocks.append(Table("Best validation of the fit", ["score", "value", "signature"], rows, text=True))
    return blocks


def _search_told(decoding: Mapping[str, Any]) -> str:
    """The width of the beam, and the settings of the search that are not as by default."""
    default = asdict(Search())
    chosen = {name: value for name, value in decoding.items() if name == "beam" or value != default.get(name)}
    return "".join(f", {name.replace('_', ' ')} {value}" for name, value in chosen.items())


def _fit(summary: Mapping[str, Any], run: Run, settings: Mapping[str, Any]) -> list[Block]:
    """What the fit measured."""
    if not summary:
        return [Missing("The fit has not ended", ("seqlab", "fit", "--run", run, "--resume"))]
    unit = unit_of(summary, settings)
    rows = [
        [name.format(unit=unit), spelling.format(summary[key])]
        for key, (name, spelling) in COSTS.items()
        if summary.get(key) is not None
    ]
    if summary.get("peak_memory_bytes"):
        rows.append(["peak memory", f"{summary['peak_memory_bytes'] / MEBIBYTE:,.0f} MiB"])
    rows += [[f"engines of {name}", ", ".join(engines)] for name, engines in summary.get("engines", {}).items()]
    return [Table("What the fit measured", ["what", "value"], rows, text=True)]


def unit_of(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """What the speed of a fit counts: the task's unit, as the fit tells it on the terminal."""
    package, _, name = str(settings.get("task", "")).rpartition(".")
    own = getattr(getattr(tasks, name, None), "unit", None) if f"{package}.".startswith("seqlab.tasks.") else None
    return str(summary.get("unit") or own or "the task's units")


def _origin(run: Run, records: Mapping[str, Any], settings: Mapping[str, Any], *, model: bool) -> list[Block]:
    again = f"{run}-again"
    fit = spelled(["seqlab", "fit", "--recipe", run.config, "--run", again])
    commands = "\n".join([fit, *evaluate_commands(again, records, settings)])
    other = [
        Missing(f"The data of {label} are not those of {run.config.name}, and its record does not tell the flags")
        for label in of_other_data(run, records, settings, model=model)
    ]
    versions: dict[str, str] = {}
    for record in records.values():
        versions |= record.get("versions", {})
    told = (
        versions_told(versions) if versions else [Missing("Versions are told with scores", ("seqlab", "evaluate", run))]
    )
    return [
        Code(f"Commands, with the configuration above as {run.config.name}", commands),
        *other,
        *told,
        *data_told(records),
        *checkpoints_told(records),
    ]
