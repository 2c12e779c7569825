"""How any task is trained: settings that need nothing of the task but its parameters."""

import math
from dataclasses import dataclass, field
from typing import Literal

from seqlab.errors import UserError


@dataclass
class TrainingSettings:
    """How the parameters are trained, whatever the task.

    Patterns are those of a shell (* is any text) over the names that parameters have in a checkpoint.

    Args:
        normalize_gradient: The norm that the gradient of every step is scaled to; null: as it is. Not together with
            trainer.gradient_clip_val, which only shortens it.
        l1_penalty: Weight, in the loss of every step, of the sum of absolute values of all weight matrices.
        l2_penalty: Weight of half the sum of squares of all weight matrices. Its gradient passes through clipping and
            the optimizer as the loss' does, which AdamW's own weight_decay does not.
        nonfinite: What to do about a step whose loss or gradient is infinite or no number: stop the run, or skip the
            step, on all devices, and count it as train/skipped. Schedule and data go on as if it had been taken.
        freeze: Patterns, as a list or with commas between, of parameters that are not trained.
        init_from: A run, or a checkpoint file, whose weights and tokenizers training starts from.
        init_only: Patterns of what is taken over from init_from; all of it if empty.

    Raises:
        UserError: A number is out of its range, or init_only is set without init_from.
    """

    normalize_gradient: float | None = None
    l1_penalty: float = 0.0
    l2_penalty: float = 0.0
    nonfinite: Literal["stop", "skip"] = "stop"
    freeze: list[str] | str = field(default_factory=list)
    init_from: str | None = None
    init_only: list[str] | str = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("l1_penalty", "l2_penalty"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise UserError(f"training.{name} must not be negative, not {value}")
        if self.nonfinite not in ("stop", "skip"):
            raise UserError(f"training.nonfinite must be stop or skip, not {self.nonfinite!r}")
        norm = self.normalize_gradient
        if norm is not None and not (norm > 0 and math.isfinite(norm)):
            raise UserError(f"training.normalize_gradient must be above 0, or null to leave it out, not {norm}")
        self.freeze, self.init_only = _listed(self.freeze), _listed(self.init_only)
        if self.init_only and self.init_from is None:
            raise UserError("training.init_only says what to take over, but training.init_from names no run")


def _listed(patterns: list[str] | str) -> list[str]:
    if isinstance(patterns, str):
        patterns = patterns.split(",")
    return [pattern.strip() for pattern in patterns if pattern.strip()]
