"""The README of an exported model: what it is, how to use it, how well it does."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.evaluation.tables import half_width
from seqlab.score_text import score_text
from seqlab.training.summary import describe_model

ABOUT = {
    "model.safetensors": "the weights",
    "config.yaml": "everything that was set, itself a recipe",
    "scores.json": "the scores above, with all there is to say of them",
}
USES = {
    "translate": ("seqlab translate {name} < in.txt > out.txt", 'task.translate(["A sentence."])'),
    "generate": ('seqlab generate {name} "..."', 'task.generate("...")'),
}
"""What a task may do: from the command line, and from Python."""


def model_card(
    name: str, task: Any, checkpoint: Mapping[str, Any], records: Mapping[str, Any], files: Sequence[str]
) -> str:
    """The card of a model as Markdown.

    Args:
        name: Name of the folder.
        task: The task.
        checkpoint: What its checkpoint holds.
        records: Its scores; see :func:`seqlab.evaluation.records.read_records`.
        files: The names of the other files.
    """
    record = checkpoint["seqlab"]
    suppliers = sorted({" ".join(pair) for pair in record.get("suppliers", {}).values() if pair[0]})
    averaged = "averaged weights" if "averaged" in checkpoint else "weights"
    able = [use for what, use in USES.items() if hasattr(task, what)]
    needs = [f"seqlab {record['version']}", *suppliers] if "version" in record else suppliers
    lines = [
        f"# {name}",
        "",
        f"{describe_model(task).removeprefix('model: ')}. The {averaged} of step {checkpoint['global_step']:,}.",
        "",
        f"Trained with {', '.join([*needs, 'torch ' + record['torch']] if 'torch' in record else needs)}.",
        "",
        "## Use",
        "",
        "```bash",
        f"pip install {' '.join(need.replace(' ', '==') for need in needs)}",
        *(command.format(name=shlex.quote(name)) for command, _ in able),
        "```",
        "",
        "```python",
        "import seqlab",
        "",
        f"task = seqlab.load({json.dumps(name, ensure_ascii=False)})",
        *(call for _, call in able),
        "```",
        "",
    ]
    if records:
        lines += ["## Scores", "", "| score | value | how | data |", "| --- | --- | --- | --- |"]
        lines += [_row(label, key, score, told) for label, told in records.items() for key, score in _scores(told)]
        lines += [""]
    about = [f"* `{file}`: {ABOUT.get(file, 'the tokenizer')}" for file in files]
    return "\n".join([*lines, "## Files", "", *about, ""])


def _scores(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return list(record["scores"].items())


def _row(label: str, key: str, score: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    data = record.get("data", {})
    told = " ".join(str(data[part]) for part in ("name", "split") if part in data)
    cells = [f"{label}/{key}", score_text(score["value"], half_width(score)), f"`{score['signature']}`", told]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
