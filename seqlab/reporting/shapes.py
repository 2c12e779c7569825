"""What is read of files that seqlab has written, and that others may have changed."""

import math
from typing import Any

NUMBER = (int, float)
MAYBE = (int, float, type(None))
LARGEST = 1e300
"""No number of a result is beyond it, and floats are not far beyond."""
SUMMARY: dict[str, Any] = {
    **dict.fromkeys(("parameters?", "steps?", "best_step?", "wall_seconds?", "training_seconds?"), MAYBE),
    **dict.fromkeys(("tokens_per_second?", "peak_memory_bytes?"), MAYBE),
    **{"unit?": str, "scores?": {str: NUMBER}, "signatures?": {str: str}, "engines?": {str: [str, ...]}},
}
"""What a fit ends with."""
RECORDS: dict[Any, Any] = {
    str: {
        "scores": {str: {"value": NUMBER, "signature?": str, "interval?": {"half_width": NUMBER, "signature": str}}},
        **{"split?": str, "decoding?": dict, "versions?": {str: str}},
    }
}
"""What evaluations leave."""
RESULTS: dict[str, Any] = {
    **dict.fromkeys(("recipe", "monitor", "mode", "split", "unit", "test", "command"), str),
    **{"metrics": [str], "seeds": [int], "budget": {str: NUMBER}, "parameters": MAYBE, "versions": {str: str}},
    "cells": [
        {
            **{"cell": str, "parameters": MAYBE, "settings": dict},
            "runs": [
                {
                    **{"seed": int, "path": str, "status": str, "reason": str, "scores": {str: NUMBER}},
                    **dict.fromkeys(("steps", "seconds", "tokens_per_second", "peak_memory_bytes"), MAYBE),
                }
            ],
            "scores": {str: {"mean": NUMBER, "half_width": MAYBE, "p": MAYBE}},
        }
    ],
}
"""What a comparison comes to."""


def misfit(value: Any, shape: Any, name: str = "") -> str:
    """Where a value is not of a shape, in words; empty if nowhere.

    Args:
        value: The value.
        shape: A type or some; a list of a shape, which is not empty unless ``...`` follows; a mapping of any names,
            ``{str: shape}``, or of certain ones, of which those with a question mark may be absent.
        name: What the value is called.
    """
    if isinstance(shape, type | tuple):
        large = type(value) is int and abs(value) > LARGEST  # what JSON may hold, and no float
        return "" if isinstance(value, shape) and not large else f"{name} is not as expected"
    if not isinstance(value, type(shape)):
        return f"{name or 'it'} is no {'list' if isinstance(shape, list) else 'mapping'}"
    if isinstance(shape, list):
        if not value and ... not in shape:
            return f"{name} is empty"
        checked = [(each, shape[0], f"{name}[{place}]") for place, each in enumerate(value)]
    elif str in shape:
        checked = [(each, shape[str], f"{name}.{key}".strip(".")) for key, each in value.items()]
    else:
        if absent := [key for key in shape if not key.endswith("?") and key not in value]:
            return f"{name or 'it'} has no {absent[0]}"
        found = {key.removesuffix("?"): each for key, each in shape.items()}
        checked = [(value[key], each, f"{name}.{key}".strip(".")) for key, each in found.items() if key in value]
    return next((wrong for each, kind, told in checked if (wrong := misfit(each, kind, told))), "")


def is_number(value: float | None) -> bool:
    """Whether it is one that others can be compared with."""
    return value is not None and not math.isnan(value)
