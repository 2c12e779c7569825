"""``seqlab diagnose``: gradients through time, Jacobians, gates and states, of runs, of a comparison or of cells."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab import registry
from seqlab.commands import Arguments, split_flags
from seqlab.commands.diagnose_checks import CELLS, OUT, check, check_free, check_places
from seqlab.comparing.plan import is_comparison
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.specs import parse_cell, split_cells


def main(argv: list[str]) -> None:
    """Measures runs, a comparison or cells, draws pictures and prints a table."""
    of_cells = any(flag.partition("=")[0] in CELLS for flag in argv)
    flags, settings = (argv, []) if of_cells else split_flags(argv)
    if of_cells and (dotted := [flag for flag in argv if flag.startswith("--") and "." in flag.partition("=")[0]]):
        raise UserError(f"{dotted[0].partition('=')[0]} is a setting of a run; leave it out")
    parser = _parser()
    given, unknown = parser.parse_known_intermixed_args(flags)
    if unknown:
        own = parser.meant(unknown[0])
        if given.runs and not of_cells and not own and not is_comparison(given.runs[0].path):
            run = given.runs[0]
            run.settings([*settings, *unknown], prog=f"seqlab diagnose {run}")  # which says what may be meant
        raise UserError(f"unrecognized arguments: {' '.join(unknown)}{own} (see {parser.prog} -h)")
    check(given)
    if of_cells:
        _diagnose_cells(given)
    else:
        _diagnose_runs(given, settings)


def _diagnose_cells(given: argparse.Namespace) -> None:
    for spec in given.cell:
        registry.find(registry.CELLS, parse_cell(spec)[0])
    check_free(given.out)

    from seqlab.diagnosis.reports import REPORT, write
    from seqlab.diagnosis.subjects import diagnose_cells
    from seqlab.training.allocator import keep_freed_memory

    keep_freed_memory()
    size = {name: getattr(given, name) for name in ("hidden_size", "steps", "rows", "seed")}
    report = diagnose_cells(given.cell, **size)
    heading = f"{given.rows} rows x {given.hidden_size} hidden x {given.steps} steps"
    _print([heading], report, write(report, given.out / REPORT, given.out, f"untrained cells, {heading}"))


def _diagnose_runs(given: argparse.Namespace, settings: list[str]) -> None:
    """Of each run a report in its directory; of several, one more of all of them."""
    runs, out = given.runs, given.out or OUT
    chosen: dict[str, Run] = {}
    left_out: list[str] = []
    if of_comparison := is_comparison(runs[0].path):
        whole = runs[0].path
        chosen, left_out = _runs_of(whole)
        runs, out = list(chosen.values()), given.out or whole / OUT
    if given.out is not None and len(runs) == 1:
        only = f", and {runs[0]} is the only one that can be measured" if of_comparison else ""
        raise UserError(f"--out is for cells (--cell) and for several runs{only}; leave it out")
    for run in runs:
        run.checkpoint()
        check_places(run)
    if len(runs) > 1:
        check_free(out)

    from seqlab.diagnosis.reports import FOLDER, REPORT, write
    from seqlab.diagnosis.several import combine, diagnose_subjects, read_subjects, short_names
    from seqlab.diagnosis.table import measured_with
    from seqlab.training.allocator import keep_freed_memory

    keep_freed_memory()
    subjects = read_subjects(runs, settings, given.split)
    diagnoses, paths = [], []
    for run, found in zip(runs, diagnose_subjects(subjects, given.split, given.rows), strict=True):
        diagnoses.append(found)
        paths.append(write(found.report, run.path / REPORT, run.path / FOLDER, run.path.name))
    if len(runs) == 1:
        report = diagnoses[0].report
        _print([f"{runs[0]}, {measured_with(report)}"], report, paths[0], left_out)
        return
    combined = combine(diagnoses, list(chosen))
    heads = [f"{run['name']}: {run['run']}, {measured_with(run)}" for run in combined["runs"]]
    rows = " or ".join(map(str, sorted({run["rows"] for run in combined["runs"]})))
    what = f"{short_names([whole])[0]}, trained" if of_comparison else f"{len(runs)} trained runs"
    together = write(combined, out / REPORT, out, f"{what}, {rows} rows of {given.split}")
    alone = [f"{report}, {FOLDER}/*.png" for report, *_ in paths]
    _print(heads, combined, [*together, *alone], left_out)


def _runs_of(comparison: Path) -> tuple[dict[str, Run], list[str]]:
    """The best finished run of each cell of a comparison that has a model, and what is to be said of the others.

    Raises:
        UserError: There is none at all, or the comparison cannot be read.
    """
    from seqlab.reporting.comparison import best_first, read_comparison

    results = read_comparison(comparison)
    chosen, told = {}, []
    for cell in results["cells"]:
        ended = [Run(comparison / run["path"]) for run in best_first(results, cell) if run["status"] == "finished"]
        if run := next((run for run in ended if run.saved()), None):
            chosen[cell["cell"]] = run
            if run is not ended[0]:
                told.append(f"{cell['cell']} is shown by {run.path.name}: its best, {ended[0].path.name}, has no model")
        else:
            told.append(f"{cell['cell']} is left out: {'its runs have no model' if ended else 'no run has finished'}")
    if not chosen:
        raise UserError(f"{comparison} has no finished run with a model: {'; '.join(told)}")
    return chosen, told


def _print(heads: list[str], report: dict[str, Any], paths: Sequence[object], more: Sequence[str] = ()) -> None:
    from seqlab.diagnosis.table import FIGURES, LEGEND, notes_of, rows_of
    from seqlab.evaluation.tables import blocks, written
    from seqlab.terminal import columns, folded, table

    room = columns(sys.stdout)

    def told(lines: Sequence[str]) -> list[str]:
        return [part for line in lines for part in folded(line, room, clauses=True)]

    rows = rows_of(report)
    lines = table(rows, None)
    if room is not None and max(map(len, lines)) > room:
        found = [(name, cells) for name, *cells in zip(*rows, strict=True)]
        names = len(found) - len(FIGURES)
        gradient, jacobian, gate = found[names : names + 4], found[names + 4 : -1], found[-1:]
        lines = blocks([found[:names], gradient, [*jacobian, *gate]], room)
    notes = told([*more, *notes_of(report)])
    print("\n".join([*told([*heads, *LEGEND.splitlines()]), "", *lines, "", *notes, *([""] if notes else [])]))
    print("\n".join(written(paths)))


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab diagnose",
        usage="seqlab diagnose RUN [RUN ...] [--split val] [--rows 32] [--out DIR] [--GROUP.KEY VALUE ...]\n"
        "       seqlab diagnose COMPARISON [--split val] [--rows 32] [--out DIR] [--GROUP.KEY VALUE ...]\n"
        "       seqlab diagnose --cell NAME[,NAME...] [--hidden_size 64] [--steps 100] [--out DIR]",
        description="Measures how far gradients reach back in time, the singular values of a step's Jacobian, how far "
        "gates are saturated, and the states over long inputs. Of a run, trained and untrained on the same real data, "
        "it writes diagnosis.json and pictures into the run; of several runs, or of the best run of each cell of a "
        "comparison, the trained ones also into one picture; of cells, as they are made on random data, into a folder.",
    )
    parser.add_argument(
        "runs", metavar="RUN|COMPARISON", type=Run, nargs="*", help="directories of runs, or of one comparison"
    )
    parser.add_argument("--split", choices=("val", "test", "train"), help="what a run is measured on (val)")
    parser.add_argument("--rows", type=int, metavar="N", help="sequences (32; of cells 16)")
    parser.add_argument(*CELLS, dest="cell", type=_list, metavar="NAMES", help="cells, with commas between them")
    parser.add_argument("--hidden_size", type=int, metavar="N", help="hidden size of the cells (64)")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of their inputs (100)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of their weights and inputs (1)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write what was found of cells, or of several runs together (diagnosis, in a comparison)",
    )
    return parser


def _list(text: str) -> list[str]:
    """Cells with commas between them."""
    specs = split_cells(text)
    if not specs:
        raise argparse.ArgumentTypeError(f"{text!r} names no cell")
    return specs
