"""How a report's numbers came about: settings, versions, data, and commands."""

from collections.abc import Mapping
from typing import Any

import yaml

from seqlab.errors import UserError
from seqlab.reporting.page import Block, Code, Missing, Table, Text
from seqlab.runs import Run
from seqlab.specs import flat, read_yaml

OWN = ("seed",)
"""Settings by which the runs of one cell differ."""


def settings_of(run: Run) -> dict[str, Any]:
    """The settings of a run by dotted name, as flags name them; none where they cannot be read."""
    try:
        return flat(read_yaml(run.config))
    except UserError:
        return {}


def cells_settings(runs: Mapping[str, Run]) -> list[Block]:
    """What the runs of all cells were set to, and what of it differs between cells."""
    found = {cell: settings for cell, run in runs.items() if (settings := settings_of(run))}
    if not found:
        return [Missing("No run has a configuration yet")]
    names = list(dict.fromkeys(name for settings in found.values() for name in settings if name not in OWN))
    differing = [name for name in names if len({_told(each, name) for each in found.values()}) > 1]
    common = next(iter(found.values()))
    blocks: list[Block] = []
    if differing:
        rows = [[name, *(_told(settings, name) for settings in found.values())] for name in differing]
        blocks.append(Table("Settings that differ between cells", ["setting", *found], rows, text=True))
    same = "\n".join(f"{name}: {_told(common, name)}" for name in names if name not in differing)
    label = "Settings of every run" if len(found) > 1 else "Settings"
    return [*blocks, Code(f"{label}; each is a flag, such as --trainer.max_steps 100", same)]


def run_settings(run: Run) -> list[Block]:
    """The configuration of a run, as it stands in its file."""
    text = run.config.read_text(encoding="utf-8", errors="replace")
    return [Code(f"{run.config.name}, in full; itself a recipe", text)]


def data_told(records: Mapping[str, Any]) -> list[Block]:
    """What data the scores are of, by their checksums.

    Args:
        records: The records of a run by label; see :func:`seqlab.evaluation.records.read_records`.
    """
    rows = []
    for label, record in records.items():
        for what, told in (("data", record.get("data")), ("tokenizer", record.get("tokenizer"))):
            if isinstance(told, Mapping) and "sha256" in told:
                details = [f"{value:,} {name}" for name, value in told.items() if isinstance(value, int)]
                name = " ".join(str(told[part]) for part in ("name", "split") if part in told)
                rows.append([f"{label}: {what}", f"{name} {', '.join(details)}".strip(), str(told["sha256"])])
    if not rows:
        return []
    return [Table("Data and tokenizers by checksum", ["of", "what", "SHA-256"], rows, text=True)]


def versions_told(versions: Mapping[str, str]) -> list[Block]:
    """Of what the scores depend on."""
    return [Text("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")]


def checkpoints_told(records: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Which checkpoint each run was scored with.

    Args:
        records: A record of each run by the run's name.
    """
    rows = [
        [
            name,
            f"{told.get('file', '')}, step {told.get('step', '?')}, {told.get('weights', '')} weights",
            str(told["sha256"]),
        ]
        for name, record in records.items()
        if isinstance(told := record.get("checkpoint"), Mapping) and "sha256" in told
    ]
    return [Table("Checkpoints that were scored", ["of", "what", "SHA-256"], rows, text=True)] if rows else []


def _told(settings: Mapping[str, Any], name: str) -> str:
    """A setting as YAML has it; a dash where there is none."""
    if name not in settings:
        return "–"
    return yaml.safe_dump(settings[name], default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
