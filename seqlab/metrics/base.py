"""The contract of a metric.

A task emits named outputs for each batch; a metric names the one it needs and gets its values as arguments:

==========  ==================================================================================================
output      arguments of ``update``
==========  ==================================================================================================
``tokens``  ``nll`` [N] negative log-likelihood of each real token in nats, ``hits`` [N] whether it was the likeliest
``text``    ``hypotheses`` and ``references``, lists of strings of one length
==========  ==================================================================================================

Decoding runs only if a metric needs ``text``.
"""

from typing import ClassVar

import torchmetrics


class Metric(torchmetrics.Metric):
    """A ``torchmetrics.Metric`` over one named output of a task.

    States are sums, kept in int64 or float64, so that ranks and batches of any size add up to the same score.
    """

    needs: ClassVar[str] = "tokens"
    """The named output that :meth:`update` takes."""
    higher_is_better: bool = True
    full_state_update = False

    def signature(self) -> str:
        """How the score was computed, to be stored beside it."""
        return ""
