"""``seqlab evaluate``: scores runs, compares them, and writes what they made of the data."""

from argparse import SUPPRESS, Namespace
from pathlib import Path
from typing import Any

from seqlab.commands import SEARCH, Arguments, split_flags
from seqlab.errors import UserError
from seqlab.files import refusal
from seqlab.runs import Run

ADAPTIVE = {"cache_theta": 0.3, "cache_weight": 0.1, "dynamic_decay": 0.0, "dynamic_window": 20}
"""Settings of neural cache and dynamic evaluation, where these are asked for."""
RESAMPLES = 1000


def main(argv: list[str]) -> None:
    """Scores a split with the best checkpoints of runs."""
    flags, settings = split_flags(argv)
    parser = _parser()
    given, unknown = parser.parse_known_intermixed_args(flags)
    runs: list[Run] = given.runs
    if unknown:
        if parser.meant(unknown[0]):
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        runs[0].settings([*settings, *unknown], prog=f"seqlab evaluate {runs[0]}")  # which says what may be meant
        raise UserError(f"unrecognized arguments: {' '.join(unknown)} (see {parser.prog} -h)")
    _check(given)
    for run in runs:
        run.checkpoint()
    _check_places(given)

    from seqlab.evaluation.evaluating import evaluate
    from seqlab.evaluation.scoring import Options

    search = {name: getattr(given, name) for name in SEARCH if getattr(given, name) is not None}
    scoring = {name: value for name in ("tokenize", "lowercase") if (value := getattr(given, name))}
    options = Options(given.split, search, scoring, *_adaptive(given))
    evaluate(runs, settings, options, given.name, given.bootstrap, given.paired, given.out)


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab evaluate",
        usage="seqlab evaluate RUN [RUN ...] [--split test|val] [--beam N] [--data.test NAME] [--name LABEL] "
        "[--GROUP.KEY VALUE ...]",
        description="Scores a run's best checkpoint, prints the scores with their 95 % intervals, and writes "
        "scores.json and what the model made of the data, such as translations. Several runs are scored on the same "
        "data, and each but the first is tested against the first; runs that differ in their seed alone are summed up.",
    )
    parser.add_argument("runs", metavar="RUN", type=Run, nargs="+", help="directory of a run")
    parser.add_argument(
        "--split", choices=("test", "val"), help="what to score (default: test, or val if there is no test)"
    )
    parser.add_argument(
        "--name", metavar="LABEL", help="label of the record in scores.json and of files (default: the split)"
    )
    parser.add_argument("--tokenize", metavar="NAME", help="sacreBLEU's tokenizer: 13a, intl, char, zh, ... (13a)")
    parser.add_argument("--lowercase", action="store_true", help="compare text without case")
    parser.add_argument(
        "--bootstrap", type=int, default=RESAMPLES, metavar="N", help="resamples of an interval; 0: none (1000)"
    )
    parser.add_argument(
        "--paired",
        choices=("bs", "ar"),
        help="test against the first run: paired bootstrap or paired approximate randomisation (bs)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where to write the comparison of several runs")
    parser.add_search()
    parser.add_argument("--n_best", help=SUPPRESS)  # to say why not
    adaptive = parser.add_argument_group(
        "language models that adapt to the text they read; their scores stand beside the plain ones"
    )
    adaptive.add_argument("--cache", type=int, metavar="STEPS", help="neural cache of the last STEPS steps")
    adaptive.add_argument("--cache_theta", type=float, metavar="X", help="how sharply like states count (0.3)")
    adaptive.add_argument("--cache_weight", type=float, metavar="X", help="share of the cache (0.1)")
    adaptive.add_argument("--dynamic", type=float, metavar="RATE", help="dynamic evaluation with this learning rate")
    adaptive.add_argument("--dynamic_decay", type=float, metavar="X", help="pull to the trained weights (0)")
    adaptive.add_argument("--dynamic_window", type=int, metavar="N", help="tokens between two updates (20)")
    return parser


def _check(given: Namespace) -> None:
    """Refuses flags that contradict each other or have no effect.

    Raises:
        UserError: There are such flags.
    """
    from seqlab.evaluation.records import check_label

    for name, default in ADAPTIVE.items():
        kind = name.partition("_")[0]
        if getattr(given, name) is None:
            setattr(given, name, default)
        elif getattr(given, kind) is None:
            raise UserError(f"--{name} has no effect without --{kind}")
    if given.dynamic_window < 1:
        raise UserError(f"--dynamic_window must be at least 1, not {given.dynamic_window}")
    if given.n_best is not None:
        raise UserError("--n_best: the best output of each sentence is scored; seqlab translate gives several")
    if given.bootstrap < 0 or given.bootstrap == 1:
        raise UserError(f"--bootstrap {given.bootstrap}: an interval takes two or more resamples; 0 leaves it out")
    if given.name is not None:
        check_label(given.name)
    for name in ("paired", "out"):
        if getattr(given, name) is not None and len(given.runs) == 1:
            raise UserError(f"--{name} is for a comparison: give two or more runs")
    if given.out is not None and given.out.suffix != ".json":
        raise UserError(f"--out {given.out}: the comparison is written as JSON, to a file that ends in .json")
    if given.out is not None and not given.out.absolute().parent.is_dir():
        raise UserError(f"--out {given.out}: there is no folder {given.out.parent}")
    places: set[Path] = set()
    for run in given.runs:
        if run.path.resolve() in places:
            raise UserError(f"{run} is given twice: a run does not compare with itself")
        places.add(run.path.resolve())


def _check_places(given: Namespace) -> None:
    """Makes sure that what is found can be written, before anything is scored.

    Raises:
        UserError: It cannot.
    """
    folders = [folder for run in given.runs for folder in (run.path, run.translations)]
    for folder in [*folders, *([given.out.parent] if given.out is not None else [])]:
        if folder.exists() and (why := refusal(folder)):
            raise UserError(f"cannot write to {folder}: {why}")


def _adaptive(given: Namespace) -> tuple[dict[str, Any], dict[str, int]]:
    """What else to score a language model with, and the window that each has if not the usual one."""
    from seqlab.tasks.adaptive import DynamicEvaluation, NeuralCache

    chosen: dict[str, Any] = {}
    if given.cache is not None:
        chosen["cache"] = NeuralCache(given.cache, given.cache_theta, given.cache_weight)
    if given.dynamic is not None:
        chosen["dynamic"] = DynamicEvaluation(given.dynamic, given.dynamic_decay)
    return chosen, {"dynamic": given.dynamic_window} if "dynamic" in chosen else {}
