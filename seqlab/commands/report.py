"""``seqlab report``: a run or a comparison as one HTML file."""

from pathlib import Path

from seqlab.commands import Arguments
from seqlab.comparing.plan import FILE, is_comparison
from seqlab.errors import UserError
from seqlab.evaluation.tables import written
from seqlab.files import refusal
from seqlab.registry import nearest

NAME = "report.html"
SUFFIXES = (".html", ".htm")


def main(argv: list[str]) -> None:
    """Writes a report and says where."""
    options = _parser().parse_args(argv)
    _check_path(options.path)
    if options.out is not None:
        _check_out(options.out)
    elif (options.path / NAME).is_dir():
        raise UserError(f"{options.path / NAME} is a folder: move it away, or take --out FILE.html")
    folder = options.path if options.out is None else options.out.parent
    if why := refusal(folder):
        raise UserError(f"cannot write to {folder}: {why}; take another --out FILE.html")

    from seqlab.reporting.report import write_report

    print("\n".join(written([write_report(options.path, options.out, model=not options.no_model)])))


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab report",
        usage="seqlab report RUN|COMPARISON [--out FILE.html] [--no_model]",
        description="Writes what is known of a run or a comparison into one HTML file that needs no network: scores, "
        "learning curves, gradients, samples, attention, configuration, and how to do it again.",
    )
    parser.add_argument("path", metavar="RUN|COMPARISON", type=Path, help="directory of a run or of a comparison")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where to (default: report.html in that directory)")
    parser.add_argument(
        "--no_model", action="store_true", help="do not load a run's model: no attention, and no examples beyond files"
    )
    return parser


def _check_path(path: Path) -> None:
    """Makes sure that there is something to report.

    Raises:
        UserError: There is not.
    """
    if not path.is_dir():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        known = f"is a file: give the directory of a run or a comparison, such as {path.parent}"
        close = nearest(path.name, beside) or ": give the directory of a run or a comparison"
        raise UserError(f"{path} {known if path.exists() else f'does not exist{close}'}")
    if not (path / "config.yaml").is_file() and not is_comparison(path):
        raise UserError(f"{path} is neither a run (no config.yaml) nor a comparison (no {FILE})")


def _check_out(out: Path) -> None:
    """Makes sure that a report can be written.

    Raises:
        UserError: It cannot.
    """
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: name a file, such as {out / 'report.html'}")
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out} is no name of a page: end it in .html")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
