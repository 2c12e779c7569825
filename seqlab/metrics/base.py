"""The contract of a metric.

A task emits named outputs for each batch; a metric names the one it needs and gets its values as arguments:

================  ============================================================================================
output            arguments of ``update``
================  ============================================================================================
``tokens``        ``nll`` [N] negative log-likelihood of each real token in nats, ``hits`` [N] whether it was the
                  likeliest
``sized_tokens``  ``nll``, and ``sizes`` of the raw text: words, bytes and unknown tokens
``value``         ``predicted`` and ``true`` numbers
``text``          ``hypotheses``, a list of strings, and ``references``, for each of them a list of one or more
================  ============================================================================================

Decoding runs only if a metric needs ``text``.
"""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
import torchmetrics
from torchmetrics.utilities.data import dim_zero_sum

from seqlab.errors import UserError


class Metric(torchmetrics.Metric):
    """A ``torchmetrics.Metric`` over one named output of a task.

    States are sums, kept in int64 or float64, so that ranks and batches of any size add up to the same score. Hence
    every metric can also be resampled: what it sums of a sentence is all that its intervals and paired tests need (see
    :mod:`seqlab.metrics.bootstrap` and :mod:`seqlab.metrics.significance`), and a subclass has nothing to write for it.
    """

    needs: ClassVar[str] = "tokens"
    """The named output that ``update`` takes."""
    higher_is_better: bool | None = True
    """None where neither is: a ratio that should be 1."""
    full_state_update = False
    of_the_test_set: ClassVar[tuple[str, ...]] = ()
    """States that every system must have the same of, sentence by sentence, for their scores to compare."""
    resampled_in: ClassVar[type] = np.float64
    """The type that resampled sums are added up in."""

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

    def sums(self) -> np.ndarray:
        """All states end to end ``[k]``, in float64.

        Raises:
            UserError: A state is no sum.
        """
        for name, reduce in self._reductions.items():
            if reduce is not dim_zero_sum:
                raise UserError(
                    f"{type(self).__name__} cannot be resampled: its state {name!r} is not a sum (add_state(..., "
                    'dist_reduce_fx="sum"))'
                )
        return np.concatenate([getattr(self, name).double().cpu().reshape(-1).numpy() for name in self._reductions])

    def scorer(self) -> Callable[[np.ndarray], float]:
        """A function from sums ``[k]`` to the score, which leaves this metric's own states and signature alone."""
        probe = copy.deepcopy(self)

        def score(sums: np.ndarray) -> float:
            probe._set_sums(sums)
            return float(type(probe).compute(probe))  # not torchmetrics' wrapper, which adds up the ranks

        return score

    def signature_of(self, sums: np.ndarray, **resampling: object) -> str:
        """The signature of the score of sums ``[k]``.

        Args:
            sums: The states end to end.
            **resampling: What is added to it, in sacreBLEU's words: ``bs`` samples or ``ar`` trials, and ``seed``.
        """
        probe = copy.deepcopy(self)
        probe._set_sums(sums)
        type(probe).compute(probe)  # signatures are those of the last score
        keys = [f"{name}:{value}" for name, value in resampling.items()]
        return "|".join([*keys, *filter(None, [probe.signature()])])

    def unit_scorer(self) -> Callable[[np.ndarray], float]:
        """As :meth:`scorer`, for the sums of a single sentence."""
        return self.scorer()

    def _set_sums(self, sums: np.ndarray) -> None:
        start = 0
        for name in self._reductions:
            state = getattr(self, name)
            values = torch.from_numpy(np.asarray(sums[start : start + state.numel()], dtype=np.float64))
            setattr(self, name, values.reshape(state.shape).to(state.dtype))
            start += state.numel()
