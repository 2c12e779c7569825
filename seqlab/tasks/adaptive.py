"""Scores of a language model that adapts to the text it reads: beside the plain score, never in its place.

Shape suffixes: T = time steps, B = rows, E = width of the features, V = size of the vocabulary, K = keys of the cache.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.data.streams import StreamBatch
from seqlab.data.tokenizers import PAD
from seqlab.errors import UserError
from seqlab.recurrence.stack import detach_state
from seqlab.tasks.base import Outputs

if TYPE_CHECKING:
    from seqlab.tasks.language_model import LanguageModel


@dataclass
class NeuralCache:
    """Mixes in the words that followed like states of late (E. Grave, A. Joulin and N. Usunier, "Improving neural
    language models with a continuous cache", ICLR 2017).

    ::

        p_cache(w) ~ sum over the last n steps i of  [w_i = w] exp(theta h_t . h_i)
        p(w)       = (1 - weight) p_model(w) + weight p_cache(w)

    h_t is the output of the last layer that foresees token t, h_i that which foresaw w_i. At the first token of a row,
    where there is nothing in the cache, it is the model alone.

    Args:
        size: n, the steps of each row that are kept.
        theta: How sharply like states are preferred.
        weight: Share of the cache.

    Raises:
        UserError: A setting is out of its range.
    """

    size: int
    theta: float = 0.3
    weight: float = 0.1
    _keys_KBE: Tensor | None = field(default=None, init=False)
    _words_KB: Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.size < 1 or self.theta < 0 or not 0 < self.weight < 1:
            raise UserError(
                f"neural cache: size must be at least 1, theta not negative and weight between 0 and 1, "
                f"not {self.size}, {self.theta} and {self.weight}"
            )

    def signature(self) -> str:
        """How a score with it is computed."""
        return f"cache:{self.size}|theta:{self.theta:g}|weight:{self.weight:g}"

    def score(self, task: "LanguageModel", batches: Iterable[StreamBatch]) -> Iterator[tuple[StreamBatch, Outputs]]:
        """Adds batches, scored with the cache, to the task's metrics, yielding each with its outputs."""
        task.eval()
        state = None
        with torch.no_grad():
            for batch in batches:
                batch = _stream(task.transfer_batch_to_device(batch, task.device, 0))
                if batch.first:
                    state = self._keys_KBE = self._words_KB = None
                features_TBE, raw_TBE, state = task.network(batch.inputs_TB, state, resets=batch.resets_TB)
                log_probs_TBV = task.network.output.log_probs(features_TBE.flatten(0, 1)).unflatten(
                    0, features_TBE.shape[:2]
                )
                yield batch, _add(task, batch, self.mix(log_probs_TBV, raw_TBE, batch.targets_TB))

    def mix(self, log_probs_TBV: Tensor, h_TBE: Tensor, targets_TB: Tensor) -> Tensor:
        """Log-probabilities ``[T, B, V]`` of the mixture, step by step; afterwards the cache holds the targets too."""
        keys_KBE = h_TBE if self._keys_KBE is None else torch.cat([self._keys_KBE, h_TBE])
        words_KB = targets_TB if self._words_KB is None else torch.cat([self._words_KB, targets_TB])
        before = len(keys_KBE) - len(h_TBE)
        position_K = torch.arange(len(keys_KBE), device=h_TBE.device)
        age_TK = position_K[before:, None] - position_K
        usable_BTK = ((age_TK > 0) & (age_TK <= self.size)) & (words_KB.t()[:, None] != PAD)
        scores_BTK = self.theta * torch.einsum("tbf,kbf->btk", h_TBE.float(), keys_KBE.float())
        # A row of nothing but -inf, at the first token, becomes NaN and then the model alone.
        weights_BTK = scores_BTK.masked_fill(~usable_BTK, -torch.inf).softmax(-1).nan_to_num(0.0)
        words_BTK = words_KB.t()[:, None].expand_as(weights_BTK)
        cache_BTV = torch.zeros_like(log_probs_TBV.transpose(0, 1)).scatter_add_(
            -1, words_BTK, weights_BTK.to(log_probs_TBV.dtype)
        )
        mixed_BTV = (1 - self.weight) * log_probs_TBV.transpose(0, 1).exp() + self.weight * cache_BTV
        alone_BT1 = ~usable_BTK.any(-1, keepdim=True)
        mixed_BTV = torch.where(alone_BT1, log_probs_TBV.transpose(0, 1), mixed_BTV.log())
        self._keys_KBE, self._words_KB = keys_KBE[-self.size :], words_KB[-self.size :]
        return mixed_BTV.transpose(0, 1)


@dataclass
class DynamicEvaluation:
    """Goes on learning from the text it has scored (T. Mikolov et al. 2010; B. Krause et al., "Dynamic evaluation of
    neural sequence models", ICML 2018, with plain gradients).

    After each window: ``w = w - rate * dL/dw + decay * (w_0 - w)``, where L is the mean loss of the window just scored
    and w_0 are the trained weights, which are put back at the end.

    Args:
        rate: Learning rate.
        decay: How fast weights return to the trained ones.

    Raises:
        UserError: A setting is out of its range.
    """

    rate: float
    decay: float = 0.0

    def __post_init__(self) -> None:
        if self.rate <= 0 or not 0 <= self.decay < 1:
            raise UserError(
                "dynamic evaluation: rate must be above 0 and decay at least 0 and below 1, "
                f"not {self.rate} and {self.decay}"
            )

    def signature(self) -> str:
        """How a score with it is computed."""
        return f"dynamic:sgd|rate:{self.rate:g}|decay:{self.decay:g}"

    def score(self, task: "LanguageModel", batches: Iterable[StreamBatch]) -> Iterator[tuple[StreamBatch, Outputs]]:
        """Adds batches, each scored before it is learned from, to the task's metrics; yields each with its outputs."""
        task.eval()
        parameters = [parameter for parameter in task.network.parameters() if parameter.requires_grad]
        trained = [parameter.detach().clone() for parameter in parameters]
        state: Any = None
        try:
            for batch in batches:
                batch = _stream(task.transfer_batch_to_device(batch, task.device, 0))
                before = None if batch.first or state is None else detach_state(state)
                with torch.enable_grad():
                    features_TBE, _, state = task.network(batch.inputs_TB, before, resets=batch.resets_TB)
                    log_probs_NV = task.network.output.log_probs(features_TBE.flatten(0, 1))
                    loss = functional.nll_loss(log_probs_NV, batch.targets_TB.flatten(), ignore_index=PAD)
                    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
                outputs = _add(task, batch, log_probs_NV.detach().unflatten(0, batch.targets_TB.shape))
                with torch.no_grad():
                    for parameter, grad, origin in zip(parameters, grads, trained, strict=True):
                        parameter.lerp_(origin, self.decay)
                        if grad is not None:
                            parameter.add_(grad, alpha=-self.rate)
                yield batch, outputs
        finally:
            with torch.no_grad():
                for parameter, origin in zip(parameters, trained, strict=True):
                    parameter.copy_(origin)


def _stream(batch: StreamBatch) -> StreamBatch:
    """A batch of a stream; documents on their own are nothing to adapt to."""
    if batch.lengths_B is not None:
        raise UserError("neural cache and dynamic evaluation read one stream: set --data.stateful true")
    return batch


def _add(task: "LanguageModel", batch: StreamBatch, log_probs_TBV: Tensor) -> Outputs:
    """Gives the scores of the real tokens of a batch to the metrics; returns the outputs they were given."""
    real_TB = batch.targets_TB != PAD
    log_probs_NV, targets_N = log_probs_TBV[real_TB], batch.targets_TB[real_TB]
    nll_N = -log_probs_NV.gather(-1, targets_N[:, None])[:, 0]
    hits_N = log_probs_NV.argmax(-1) == targets_N
    outputs: Outputs = {
        "tokens": {"nll": nll_N, "hits": hits_N},
        "sized_tokens": {"nll": nll_N, "sizes": batch.sizes},
    }
    task.add_outputs(outputs)
    return outputs
