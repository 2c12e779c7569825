"""The contract of a metric.

A task emits named outputs for each batch; a metric names the one it needs and gets its values as arguments:

================  ============================================================================================
output            arguments of ``update``
================  ============================================================================================
``tokens``        ``nll`` [N] negative log-likelihood of each real token in nats, ``hits`` [N] whether it was the
                  likeliest
``sized_tokens``  ``nll``, and ``sizes`` of the raw text: words, bytes and unknown tokens
``text``          ``hypotheses``, a list of strings, and ``references``, for each of them a list of one or more
================  ============================================================================================

Decoding runs only if a metric needs ``text``.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torchmetrics


class Metric(torchmetrics.Metric):
    """A ``torchmetrics.Metric`` over one named output of a task.

    States are sums, kept in int64 or float64, so that ranks and batches of any size add up to the same score.
    """

    needs: ClassVar[str] = "tokens"
    """The named output that :meth:`update` takes."""
    higher_is_better: bool = True
    full_state_update = False

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> "Metric":
        """Moves the states with the module, but keeps their types: a model in half precision still sums exactly."""
        types = {name: getattr(self, name).dtype for name in self._defaults}
        super()._apply(fn, *args, **kwargs)
        for name, dtype in types.items():
            setattr(self, name, getattr(self, name).to(dtype))
            self._defaults[name] = self._defaults[name].to(dtype)  # type: ignore[union-attr]
        return self

    def signature(self) -> str:
        """How the score was computed, to be stored beside it."""
        return ""
