"""``seqlab evaluate``: scores a run and writes what it made of the data."""

import hashlib
import json
import sys
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.files import write_text
from seqlab.runs import Run, default_device

SEARCH = ("beam", "length_penalty")
"""Settings of a task that searches; scores are stored with them."""


ADAPTIVE = {"cache_theta": 0.3, "cache_weight": 0.1, "dynamic_decay": 0.0, "dynamic_window": 20}
"""Settings of neural cache and dynamic evaluation, where these are asked for."""


def main(argv: list[str]) -> None:
    """Scores a split with the run's best checkpoint."""
    parser = Arguments(
        prog="seqlab evaluate",
        usage="seqlab evaluate RUN [--split test|val] [--beam N] [--length_penalty X] [--data.test NAME] "
        "[--GROUP.KEY VALUE ...]",
        description="Scores a run's best checkpoint, prints the scores, and writes scores.json and what the model made "
        "of the data, such as translations.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of the run")
    parser.add_argument(
        "--split", choices=("test", "val"), help="what to score (default: test, or val if there is no test)"
    )
    parser.add_search()
    adaptive = parser.add_argument_group(
        "language models that adapt to the text they read; their scores stand beside the plain ones"
    )
    adaptive.add_argument("--cache", type=int, metavar="STEPS", help="neural cache of the last STEPS steps")
    adaptive.add_argument("--cache_theta", type=float, help="how sharply like states count (0.3)")
    adaptive.add_argument("--cache_weight", type=float, help="share of the cache (0.1)")
    adaptive.add_argument("--dynamic", type=float, metavar="RATE", help="dynamic evaluation with this learning rate")
    adaptive.add_argument("--dynamic_decay", type=float, help="pull to the trained weights (0)")
    adaptive.add_argument("--dynamic_window", type=int, help="tokens between two updates (20)")
    options, rest = parser.parse_known_args(argv)
    for name, default in ADAPTIVE.items():
        kind = name.partition("_")[0]
        if getattr(options, name) is None:
            setattr(options, name, default)
        elif getattr(options, kind) is None:
            raise UserError(f"--{name} has no effect without --{kind}")
    run: Run = options.run
    run.checkpoint()
    evaluate(run, rest, options.split, {name: getattr(options, name) for name in SEARCH}, options)


def evaluate(run: Run, argv: list[str], split: str | None, search: dict[str, Any], adaptive: Any = None) -> None:
    """Scores a split, prints a table and writes ``scores.json`` and the outputs that are text beside it.

    Args:
        run: The run.
        argv: Flags that change its settings.
        split: The split; ``test``, or ``val`` if there is no test, if None.
        search: Settings of the search by name; None leaves the run's own.
        adaptive: What else to score, by the flags of neural cache and dynamic evaluation.

    Raises:
        UserError: A setting of the search is given for a task that has none of that name, or a flag for language models
            to another.
    """
    from tqdm import tqdm

    from seqlab.runs import restore
    from seqlab.suppliers import find_suppliers

    settings = run.settings(argv, prog=f"seqlab evaluate {run}")
    task: Any  # its class is the recipe's
    task, data, checkpoint = restore(run, settings)
    path = run.checkpoint()
    task = task.to(default_device())
    split = split or ("test" if data.has("test") else "val")
    for name, value in search.items():
        if value is not None:
            if not hasattr(task, name):
                raise UserError(f"--{name}: {type(task).__name__}, the task of {run}, does not search")
            setattr(task, name, value)
    batches = data.evaluation_batches(split)
    texts: dict[str, dict[int, dict[str, str | list[str]]]] = {}
    for batch, outputs in tqdm(
        task.score(batches), total=len(batches), desc=f"scoring {split}", leave=False, disable=not sys.stderr.isatty()
    ):
        for name, arguments in outputs.items():
            if all(isinstance(value, list) for value in arguments.values()):
                lines = (dict(zip(arguments, row, strict=True)) for row in zip(*arguments.values(), strict=True))
                texts.setdefault(name, {}).update(zip(batch.index_B.tolist(), lines, strict=True))
    scores = {name: float(value) for name, value in task.compute_metrics().items()}
    signatures = task.signatures()
    for label, adapted in _adaptive(task, adaptive).items():
        window = {"window": adaptive.dynamic_window} if label == "dynamic" else {}
        for _ in adapted.score(task, data.evaluation_batches(split, **window)):
            pass
        signature = "".join(f"|{part}:{value}" for part, value in window.items())
        for name, value in task.compute_metrics().items():
            scores[f"{name}+{label}"] = float(value)
            signatures[f"{name}+{label}"] = f"{signatures[name]}|{adapted.signature()}{signature}"
    files = [file for name, lines in texts.items() for file in _write_text(run, name, split, lines)]
    decoding = {name: getattr(task, name) for name in SEARCH if hasattr(task, name)} if "text" in texts else {}
    report = {
        "split": split,
        "data": data.describe(split),
        "scores": {name: {"value": value, "signature": signatures[name]} for name, value in scores.items()},
        "decoding": decoding,
        "checkpoint": {
            "file": path.name,
            "step": checkpoint["global_step"],
            "weights": "averaged" if "averaged" in checkpoint else "raw",
            "sha256": _sha256(path),
        },
        "versions": {
            **{name: version(name) for name in ("seqlab", "torch", *(["sacrebleu"] if "text" in texts else []))},
            **{name: supplied for name, supplied in find_suppliers(task, settings.dump()).values() if name},
        },
    }
    write_text(run.scores, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    rows = {f"{split}/{name}": f"{value:<10.4f} {signatures[name]}" for name, value in scores.items()}
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows.items()))
    settings_of_search = "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in decoding.items())
    print(f"\n{path}, step {checkpoint['global_step']}{settings_of_search}")
    print(f"written: {', '.join(map(str, [run.scores, *files]))}")


def _adaptive(task: Any, options: Any) -> dict[str, Any]:
    """What else to score a language model with, by the label of its scores."""
    from seqlab.tasks.adaptive import DynamicEvaluation, NeuralCache
    from seqlab.tasks.language_model import LanguageModel

    chosen: dict[str, Any] = {}
    if options is not None and options.cache is not None:
        chosen["cache"] = NeuralCache(options.cache, options.cache_theta, options.cache_weight)
    if options is not None and options.dynamic is not None:
        chosen["dynamic"] = DynamicEvaluation(options.dynamic, options.dynamic_decay)
    if chosen and not isinstance(task, LanguageModel):
        raise UserError(f"--{next(iter(chosen))} is for language models, not for {type(task).__name__}")
    return chosen


def _write_text(run: Run, output: str, split: str, texts: dict[int, dict[str, str | list[str]]]) -> list[Path]:
    """Writes an output that is text, such as hypotheses and references: a file for each argument, an example a line.

    Of lists, such as of several references, the second texts go to a file of their own, and so on.
    """
    folder = run.translations if output == "text" else run.path / output
    folder.mkdir(exist_ok=True)
    rows, files = [texts[number] for number in sorted(texts)], []
    for argument in rows[0]:
        values = [row[argument] for row in rows]
        columns = zip_longest(*([value] if isinstance(value, str) else value for value in values), fillvalue="")
        for number, column in enumerate(columns, 1):
            files.append(folder / f"{split}.{argument}{f'.{number}' if number > 1 else ''}")
            files[-1].write_text("".join(f"{line}\n" for line in column), encoding="utf-8")
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
