"""An optimizer that begins to average by itself."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from seqlab.errors import UserError
from seqlab.training.averaging import move_averages, start_averages


@runtime_checkable
class Validated(Protocol):
    """An optimizer that is told a validation score whenever there is a new one."""

    monitor: str
    """Name of the score, such as val/perplexity."""

    def validated(self, value: float) -> None:
        """Takes note of the score."""
        ...


class NTASGD(Optimizer):
    """Non-monotonically triggered averaged SGD (S. Merity, N. Keskar and R. Socher, "Regularizing and optimizing LSTM
    language models", ICLR 2018, algorithm 1).

    Plain SGD, until a validation is worse than the best of all but the ``interval`` validations before it. From the
    weights of that moment on it keeps their running mean, which stands in for them in validation and in use
    (:class:`~seqlab.training.averaging.AveragedWeights`). The steps themselves stay those of SGD.

    The condition is that of the ICLR version and of the authors' code; the first arXiv version misprints it.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        weight_decay: Weight of half the sum of squares of the parameters in the loss.
        interval: n, the last validations that are left out of the comparison.
        monitor: The validation score, of which less is better.

    Raises:
        UserError: A setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.0,
        interval: int = 5,
        monitor: str = "val/perplexity",
    ):
        if not (lr > 0 and math.isfinite(lr)):
            raise UserError(f"optimizer NTASGD: lr must be above 0, not {lr}")
        if not weight_decay >= 0:
            raise UserError(f"optimizer NTASGD: weight_decay must not be negative, not {weight_decay}")
        if interval < 1:
            raise UserError(f"optimizer NTASGD: interval must be at least 1, not {interval}")
        self.interval, self.monitor = interval, monitor
        self.validations: list[float] = []
        """The scores so far, up to the one at which averaging began."""
        self.averaged = 0
        """Number of weights in the mean; 0 before averaging begins."""
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def validated(self, value: float) -> None:
        """Takes note of a validation, and begins to average if it is time."""
        if self.averaged:
            return
        value = math.inf if math.isnan(value) else value
        if len(self.validations) > self.interval and value > min(self.validations[: -self.interval]):
            self.averaged = 1
            self._start([parameter for group in self.param_groups for parameter in group["params"]])
        self.validations.append(value)

    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each weight since averaging began, itself if it is not optimized; an empty list before that."""
        return [self.state.get(weight, {}).get("average", weight) for weight in weights] if self.averaged else []

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of SGD, and the new weights into the mean.

        Args:
            closure: Computes the loss and its gradients anew.

        Returns:
            The closure's loss; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
            torch._foreach_add_(weights, gradients, alpha=-group["lr"])
        if self.averaged:
            self.averaged += 1
            weights = [parameter for group in self.param_groups for parameter in group["params"]]
            averages = [self.state[weight]["average"] for weight in weights]
            move_averages(averages, weights, 1 / self.averaged)
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters; once averaging has begun, they count as having been what they are since then."""
        super().add_param_group(param_group)
        if self.averaged:
            self._start(self.param_groups[-1]["params"])

    def state_dict(self) -> dict[str, Any]:
        """Adds the validations and the length of the mean."""
        return {**super().state_dict(), "validations": list(self.validations), "averaged": self.averaged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state."""
        super().load_state_dict(state_dict)
        self.validations, self.averaged = list(state_dict["validations"]), state_dict["averaged"]
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for weight, index in zip(group["params"], saved["params"], strict=True):
                if self.averaged:  # torch has cast it to the weight's own type, which may be of less precision
                    self.state[weight]["average"] = state_dict["state"][index]["average"].to(weight.device, copy=True)

    def __getstate__(self) -> dict[str, Any]:
        names = ("interval", "monitor", "validations", "averaged")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def _start(self, weights: list[Tensor]) -> None:
        for weight, average in zip(weights, start_averages(weights), strict=True):
            self.state[weight]["average"] = average
