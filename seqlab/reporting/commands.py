"""The commands that give the scores of a run again, by what its records tell."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.reporting.page import spelled
from seqlab.runs import Run

RESAMPLES = "1000"
"""Of an interval, unless a flag asks for others."""
ADAPTIVE = {
    r"cache:(\w+)\|theta:([^|]+)\|weight:([^|]+)": ("cache", "cache_theta", "cache_weight"),
    r"dynamic:sgd\|rate:([^|]+)\|decay:([^|]+)\|window:(\w+)": ("dynamic", "dynamic_decay", "dynamic_window"),
}
"""How signatures tell of models that adapt, and the flags of what they tell."""


def evaluate_commands(run: str, records: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """A command for each record, with the flags that the record shows to have been given.

    Args:
        run: The run that is to be scored.
        records: Its records by label; see :func:`seqlab.evaluation.records.read_records`.
        settings: What it was set to, by dotted name.
    """
    flags = [flags_of(label, record, settings) for label, record in records.items()] or [[]]
    return [spelled(["seqlab", "evaluate", run, *each]) for each in flags]


def flags_of(label: str, record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The flags of one record: where it differs from the settings of its run."""
    split = str(record.get("split", label))
    data = _mapping(record.get("data"))
    flags: dict[str, Any] = {}
    if split != "test":
        flags["split"] = split
    if "name" in data and data["name"] != (settings.get(f"data.{split}") or settings.get("data.train")):
        flags[f"data.{split}"] = data["name"]
    if data.get("streams") is not None and data["streams"] != settings.get("data.test_streams", data["streams"]):
        flags["data.test_streams"] = data["streams"]
    decoding = _mapping(record.get("decoding"))
    for name, default in asdict(Search()).items():
        value = decoding.get(name)
        if value is not None and value != settings.get(f"model.search.{name}", default):
            flags[name] = value
    flags |= _of_signatures(_mapping(record.get("scores")), settings)
    if label != split:
        flags["name"] = label
    return [
        word
        for name, value in flags.items()
        for word in ([f"--{name}"] if value is True else [f"--{name}", _told(value)])
    ]


def _of_signatures(scores: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that signatures tell of: how text is compared, models that adapt, and resamples of intervals."""
    flags: dict[str, Any] = {}
    parts = dict(part.partition(":")[::2] for part in _mapping(scores.get("bleu")).get("signature", "").split("|"))
    own = "model.metrics.bleu.init_args"
    tokenize = re.sub(r"(?<=-mecab)-.*", "", parts.get("tok", ""))  # what follows is the version of its dictionary
    if tokenize and tokenize != settings.get(f"{own}.tokenize", "13a"):
        flags["tokenize"] = tokenize
    if parts.get("case") == "lc" and not settings.get(f"{own}.lowercase"):
        flags["lowercase"] = True
    for score in scores.values():
        for pattern, names in ADAPTIVE.items():
            if found := re.search(pattern, score.get("signature", "")):
                flags |= dict(zip(names, found.groups(), strict=True))
        resamples = re.match(r"bs:(\d+)", _mapping(score.get("interval")).get("signature", ""))
        if resamples and resamples[1] != RESAMPLES:
            flags["bootstrap"] = resamples[1]
    return flags


def of_other_data(run: Run, records: Mapping[str, Any], settings: Mapping[str, Any], *, model: bool) -> Sequence[str]:
    """The labels of records whose data are not those of the configuration, and have no name to ask for them by.

    Args:
        run: The run.
        records: Its records by label.
        settings: What it was set to, by dotted name.
        model: Whether the data may be made, to compare their checksums; else only their number is compared.
    """
    found, known = [], dict[str, Any]()
    for label, record in records.items():
        split, data = str(record.get("split", label)), _mapping(record.get("data"))
        beside = _mapping(_mapping(records.get(split)).get("data"))
        if "name" in data:  # two of one name are of different keys, say
            if beside.get("name") == data["name"] and beside.get("sha256") != data.get("sha256"):
                found.append(label)
            continue
        if "sha256" not in data:
            continue
        if model and split not in known:
            known[split] = _checksum(run, split)
        expected = known.get(split)
        sizes = data.get("examples"), settings.get(f"data.{split}_size", data.get("examples"))
        if (expected is not None and expected != data["sha256"]) or sizes[0] != sizes[1]:
            found.append(label)
    return found


def _checksum(run: Run, split: str) -> str | None:
    """That of the data of the configuration; None where they cannot be had."""
    try:
        return str(run.settings().make_data().describe(split)["sha256"])
    except (UserError, OSError, RuntimeError, LookupError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
