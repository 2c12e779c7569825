"""A report from a directory to a file."""

from pathlib import Path

from seqlab.comparing.plan import is_comparison
from seqlab.files import write_text
from seqlab.reporting.comparison import comparison_page
from seqlab.reporting.run import run_page
from seqlab.runs import Run

NAME = "report.html"


def write_report(path: Path, out: Path | None = None, *, model: bool = True) -> Path:
    """Writes the report of a run or a comparison, whole or not at all.

    Args:
        path: Directory of the run or the comparison.
        out: The file; ``report.html`` in there if None.
        model: Whether the model of a run may be loaded, for examples and attention.

    Returns:
        The file.

    Raises:
        UserError: What is in the directory cannot be read.
    """
    page = comparison_page(path) if is_comparison(path) else run_page(Run(path), model=model)
    out = out or path / NAME
    write_text(out, page.html())
    return out
