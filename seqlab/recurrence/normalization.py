"""Normalisation between two recurrent layers.

Shape suffixes: T = time steps, B = rows, N = real steps of all rows, H = width of a layer's output.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Batch normalisation over time and batch (C. Laurent et al., "Batch normalized recurrent neural networks", ICASSP
    2016, section 3, sequence-wise).

    ::

        y = gamma * (x - mean) / sqrt(variance + 1e-5) + beta

    In training, mean and variance are those of all real steps of the batch, so padding changes nothing; in evaluation
    they are running averages, buffers that are in every checkpoint. These belong to the weights as they were trained:
    where averages of weights stand in for them (:mod:`seqlab.training.averaging`), the buffers stay. ``norm`` is
    torch's own module, so that ``nn.SyncBatchNorm`` (``--trainer.sync_batchnorm true``) can take its place on several
    GPUs; without it each device has statistics of its own batch, and the first one's running averages are kept.

    Args:
        size: H.
    """

    def __init__(self, size: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, x_TBH: Tensor, padding_TB1: Tensor | None = None) -> Tensor:
        """Normalises a layer's outputs ``[T, B, H]``; what it gives past the lengths means nothing.

        Args:
            x_TBH: The outputs.
            padding_TB1: True past each row's length; None where all steps are real.
        """
        x_NH = x_TBH.flatten(0, 1)
        if padding_TB1 is None or not self.training:
            return self._normalise(x_NH).unflatten(0, x_TBH.shape[:2])
        # Not by a mask, whose gradient sorts all the indices.
        real_N = (~padding_TB1).flatten().nonzero()[:, 0]
        real_NH = self._normalise(x_NH.index_select(0, real_N))
        return real_NH.new_zeros(x_NH.shape).index_copy(0, real_N, real_NH).unflatten(0, x_TBH.shape[:2])

    def _normalise(self, x_NH: Tensor) -> Tensor:
        norm = self.norm
        # Statistics in half precision would be off in the third digit.
        x_NH = x_NH.to(torch.promote_types(x_NH.dtype, norm.weight.dtype))
        if len(x_NH) == 1 and self.training and type(norm) is nn.BatchNorm1d:
            # One step has no variance. (torch refuses it; with statistics of several devices there are more.)
            return nn.functional.batch_norm(x_NH, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return norm(x_NH)


NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "layer": nn.LayerNorm,
    "batch": BatchNorm,
}
"""What can be done to a layer's output before the next layer, by name."""
