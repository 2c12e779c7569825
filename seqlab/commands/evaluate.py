"""``seqlab evaluate``: scores a run and writes what it translated."""

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqlab.commands import Arguments
from seqlab.runs import Run, default_device, write_text


def main(argv: list[str]) -> None:
    """Scores a split with the run's best checkpoint."""
    parser = Arguments(
        prog="seqlab evaluate",
        usage="seqlab evaluate RUN [--split test|val] [--beam N] [--length_penalty X] [--data.test PREFIX] "
        "[--GROUP.KEY VALUE ...]",
        description="Scores a run's best checkpoint, prints the scores, and writes scores.json and the translations.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of the run")
    parser.add_argument(
        "--split", choices=("test", "val"), help="what to score (default: test, or val if there is no test)"
    )
    parser.add_search()
    options, rest = parser.parse_known_args(argv)
    run: Run = options.run
    run.checkpoint()
    evaluate(run, rest, options.split, options.beam, options.length_penalty)


def evaluate(run: Run, argv: list[str], split: str | None, beam: int | None, length_penalty: float | None) -> None:
    """Scores a split, prints a table and writes ``scores.json`` and the translations beside it."""
    from tqdm import tqdm

    from seqlab.runs import restore

    settings = run.settings(argv, prog=f"seqlab evaluate {run}")
    task: Any  # its class is the recipe's
    task, data, checkpoint = restore(run, settings)
    path = run.checkpoint()
    task = task.to(default_device())
    split = split or ("test" if data.has("test") else "val")
    if beam is not None:
        task.beam = beam
    if length_penalty is not None:
        task.length_penalty = length_penalty
    batches = data.evaluation_batches(split)
    text: dict[int, tuple[str, str]] = {}
    for batch, outputs in tqdm(
        task.score(batches), total=len(batches), desc=f"scoring {split}", leave=False, disable=not sys.stderr.isatty()
    ):
        if "text" in outputs:
            pairs = zip(outputs["text"]["hypotheses"], outputs["text"]["references"], strict=True)
            text.update(zip(batch.index_B.tolist(), pairs, strict=True))
    scores = {name: float(value) for name, value in task.compute_metrics().items()}
    signatures = task.signatures()
    files = _write_text(run, split, [text[number] for number in sorted(text)])
    report = {
        "split": split,
        "data": data.describe(split),
        "scores": {name: {"value": value, "signature": signatures[name]} for name, value in scores.items()},
        "decoding": {"beam": task.beam, "length_penalty": task.length_penalty} if text else {},
        "checkpoint": {
            "file": path.name,
            "step": checkpoint["global_step"],
            "sha256": _sha256(path),
        },
        "versions": {name: version(name) for name in ("seqlab", "torch", "sacrebleu")},
    }
    write_text(run.scores, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    rows = {f"{split}/{name}": f"{value:<10.4f} {signatures[name]}" for name, value in scores.items()}
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows.items()))
    decoding = f", beam {task.beam}, length penalty {task.length_penalty:g}" if text else ""
    print(f"\n{path}, step {checkpoint['global_step']}{decoding}")
    print(f"written: {', '.join(map(str, [run.scores, *files]))}")


def _write_text(run: Run, split: str, pairs: list[tuple[str, str]]) -> list[Path]:
    """Writes hypotheses and references, a sentence a line, for the ``sacrebleu`` command and for reading."""
    if not pairs:
        return []
    run.translations.mkdir(exist_ok=True)
    files = [run.translations / f"{split}.{side}" for side in ("hypotheses", "references")]
    for file, lines in zip(files, zip(*pairs, strict=True), strict=True):
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
