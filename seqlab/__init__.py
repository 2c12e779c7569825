"""seqlab: the bench for recurrent sequence models.

The public names are resolved when they are first used, so that ``import seqlab`` loads no torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqlab.cell_names import register_cell
    from seqlab.cells.base import RecurrentCell
    from seqlab.errors import UserError
    from seqlab.metrics.base import Metric
    from seqlab.recurrence.unroll import unroll
    from seqlab.runs.loading import load
    from seqlab.tasks.base import Task

_PUBLIC = {
    "Metric": "seqlab.metrics.base",
    "RecurrentCell": "seqlab.cells.base",
    "Task": "seqlab.tasks.base",
    "UserError": "seqlab.errors",
    "load": "seqlab.runs.loading",
    "register_cell": "seqlab.cell_names",
    "unroll": "seqlab.recurrence.unroll",
}

__all__ = ["Metric", "RecurrentCell", "Task", "UserError", "__version__", "load", "register_cell", "unroll"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("seqlab")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'seqlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
