"""``seqlab compare``: trains cells on the same data, plan and budget, and tells how they differ."""

import argparse
import logging
import shlex
from pathlib import Path

from seqlab import registry
from seqlab.commands import Arguments, split_flags
from seqlab.comparing.plan import (
    FILE,
    MOST_PARAMETERS,
    RESULTS,
    Asked,
    Plan,
    check_flags,
    check_same,
    read_cells,
    read_number,
    read_plan,
    read_seeds,
)
from seqlab.errors import UserError
from seqlab.runs import Run

log = logging.getLogger("seqlab")

BUDGETS = {"steps": 10**9, "tokens": 10**13, "minutes": 10**6}
"""The most of each."""
MOST_WORKERS = 1000
STOPPED = 128
"""Exit codes from here on are of signals."""
EPILOG = """\
Every other flag, such as --data.train NAME or --model.dropout X, goes to every fit as it is.
The same command again, or --out DIR alone, goes on: finished runs are kept, an interrupted one is taken up exactly.

  seqlab compare --recipe translation --cells gru,lstm,rrnn --parameters 1M
  seqlab compare --out comparisons/translation
"""


def main(argv: list[str]) -> int:
    """Plans a comparison or goes on with one.

    Returns:
        0, 1 if a run did not finish, or for a signal 128 and its number.
    """
    own, flags = split_flags(argv)
    given = _parser().parse_args(own)
    workers = int(read_number("workers", given.workers, MOST_WORKERS))
    asked = _asked(given, flags)
    recipe = registry.recipe_path(asked.recipe) if asked else None
    if given.out is None and recipe is None:
        raise UserError("which comparison? --recipe NAME --cells NAME,NAME,... begins one, --out DIR goes on with one")
    out = given.out or Path("comparisons", recipe.stem if recipe else "")
    begun = (out / FILE).is_file()
    if not begun:
        _check_free(out)
    if given.resume or asked is None:
        read_plan(out)  # which says if there is none

    from seqlab.comparing.comparison import compare

    plan = _plan(out, begun, asked, recipe)
    with Run(out).lock():
        if not begun:
            plan.write(out)
        told: list[str] = []
        code = compare(plan, out, tell=told.extend, workers=workers, jobs=given.jobs, retry=given.retry)
        if code < STOPPED and (out / RESULTS).is_file():
            told += _report(out)
    if told:  # last of all, since whoever reads it may have gone
        print("\n".join(told))
    return code


def _report(out: Path) -> list[str]:
    """Writes the report beside the results, which are written whatever becomes of it; returns what is to be told."""
    try:
        from seqlab.reporting.report import write_report

        path = write_report(out)
    except Exception as error:
        again = shlex.join(["seqlab", "report", str(out)])
        log.warning("the report was not written (%s); once that is mended: %s", error, again)
        return []
    why = shlex.join(["seqlab", "diagnose", str(out)])
    return [f"{'':<9}{path}", f"{'why:':<9}{why}"]  # the first further down in the list of what was written


def _plan(out: Path, begun: bool, asked: Asked | None, recipe: Path | None) -> Plan:
    """The plan of the comparison in a directory, or a new one."""
    from seqlab.comparing.planning import both_sides, checksum, make_plan

    if not begun:
        assert asked is not None and recipe is not None
        return make_plan(both_sides(asked, recipe), recipe)
    before = read_plan(out)
    recipe = recipe or registry.recipe_path(before.asked.recipe)
    check_same(out, before, both_sides(asked, recipe) if asked else before.asked, checksum(recipe))
    for cell in before.asked.cells:
        registry.find(registry.CELLS, cell.partition(":")[0].strip())
    return before


def _asked(given: argparse.Namespace, flags: list[str]) -> Asked | None:
    """What is asked for; None where it is to be read from the comparison.

    Raises:
        UserError: It is not said, or contradicts itself.
    """
    budget = {
        name: read_number(name, text, most, whole=name != "minutes")
        for name, most in BUDGETS.items()
        if (text := getattr(given, name)) is not None
    }
    if given.recipe is None and given.cells is None:
        more = [f"--{name}" for name in ("seeds", "parameters") if getattr(given, name) is not None]
        if more := [*more, *(f"--{name}" for name in budget), *flags[:1]]:
            raise UserError(f"{more[0]} is for a comparison that begins: give --recipe and --cells too")
        return None
    if given.recipe is None or given.cells is None:
        raise UserError("which cells? --cells NAME,NAME,..." if given.recipe else "which recipe? --recipe NAME|FILE")
    if len(budget) > 1:
        raise UserError(f"two budgets, {' and '.join(f'--{name}' for name in budget)}: give one of them")
    check_flags(flags, budget)
    return Asked(
        given.recipe,
        read_cells(given.cells),
        read_seeds("3" if given.seeds is None else given.seeds),
        budget,
        None if given.parameters is None else int(read_number("parameters", given.parameters, MOST_PARAMETERS)),
        tuple(flags),
    )


def _check_free(out: Path) -> None:
    """Makes sure that a comparison may begin in a directory.

    Raises:
        UserError: There is something else.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: a comparison is a folder of its own; take another --out DIR")
    others = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    others = [name for name in others if name != ".lock" and not name.startswith(f".{FILE}.")]
    if others:
        raise UserError(f"{out} holds something else than a comparison, such as {others[0]}; take another --out DIR")


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab compare",
        usage="seqlab compare --recipe NAME|FILE --cells NAME,NAME,... [--seeds N] [--parameters N] "
        "[--steps N | --tokens N | --minutes X] [--out DIR] [--workers N] [--jobs slurm|commands] "
        "[--GROUP.KEY VALUE ...]\n       seqlab compare --out DIR [--retry]",
        description="Trains every cell from every seed on the same data with the same budget, scores the runs, and "
        "tests each cell against the first.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recipe", metavar="NAME|FILE", help="an installed recipe (see: seqlab recipes), or a YAML file"
    )
    parser.add_argument(
        "--cells",
        metavar="CELL,...",
        help="NAME or NAME:OPTION=VALUE,... each; the others are tested against the first",
    )
    parser.add_argument("--seeds", metavar="N|A,B,...", help="how many seeds, from 1 on, or which (default: 3)")
    parser.add_argument(
        "--parameters",
        metavar="N",
        help="parameters of each model, such as 5M: hidden sizes are chosen so, within 1 %%",
    )
    budget = parser.add_argument_group("budget of every run (default: the recipe's own)")
    budget.add_argument("--steps", metavar="N", help="optimizer steps")
    budget.add_argument("--tokens", metavar="N", help="target tokens that are trained on, such as 2M")
    budget.add_argument("--minutes", metavar="X", help="minutes, validations included")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the comparison (default: comparisons/<recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on with the comparison; refused where there is none")
    parser.add_argument("--retry", action="store_true", help="try runs again that failed or diverged")
    parser.add_argument("--workers", metavar="N", default="1", help="runs side by side, which share the cores (1)")
    parser.add_argument(
        "--jobs",
        choices=("slurm", "commands"),
        help="train nothing here: write a job array for SLURM, or a list of commands, and collect what they left",
    )
    return parser
