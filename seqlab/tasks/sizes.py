"""Sizes of a model that nobody can mean."""

from collections.abc import Mapping
from typing import Any

from seqlab.specs import check_range

WIDEST, DEEPEST = 100_000, 1000
"""What no machine has the memory for is refused before torch tries to have it."""


def check_sizes(network: Mapping[str, Any]) -> None:
    """Makes sure of every size and number of layers among the arguments of a network.

    Raises:
        UserError: One is below 1, or beyond reason.
    """
    for name, value in network.items():
        if name.endswith("_size"):
            check_range(f"model.{name}", value, 1, WIDEST)
        elif name.endswith("layers"):
            check_range(f"model.{name}", value, 1, DEEPEST)
