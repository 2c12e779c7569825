"""The checks of the conformance kit; each returns a number that must not exceed its limit.

Unless it says otherwise, the number is the largest difference between two results, outputs, states and all gradients,
relative to the larger of 1 and the largest value, in float64.
"""

import io
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.choice import why_not
from seqlab.recurrence.engines import ENGINES
from seqlab.recurrence.unroll import detach, unroll
from seqlab.testing.subject import LENGTHS, B, Skipped, Subject, T, difference, plain, run


def engine(name: str, subject: Subject) -> float:
    """An engine against the specification."""
    if obstacle := why_not(name, subject.cell()):
        raise Skipped(obstacle)
    return difference(subject.results(lambda *given: run(*given, engine=name)), subject.results(plain))


def central_differences(subject: Subject) -> float:
    """Autograd's derivative along random directions in inputs, state and weights against central differences."""
    cell, step = subject.cell(), 1e-6
    names, parameters = zip(*cell.named_parameters(), strict=True)

    def total(inputs: list[Tensor]) -> Tensor:
        state, weights = tuple(inputs[1 : 1 + len(subject.state)]), inputs[1 + len(subject.state) :]
        named = {f"cell.{name}": weight for name, weight in zip(names, weights, strict=True)}
        output, last = torch.func.functional_call(_Steps(cell), named, (inputs[0], state))
        return torch.stack([part.sin().sum() for part in (output, *last)]).sum()

    inputs = [part.detach().clone().requires_grad_() for part in (subject.x_TBI, *subject.state, *parameters)]
    grads = torch.autograd.grad(total(inputs), inputs, materialize_grads=True)
    worst = 0.0
    with torch.no_grad():
        for _ in range(3):
            directions = [torch.randn_like(part) for part in inputs]
            moved = [[x + sign * step * d for x, d in zip(inputs, directions, strict=True)] for sign in (1, -1)]
            numeric = (total(moved[0]) - total(moved[1])) / (2 * step)
            exact = torch.stack([(grad * d).sum() for grad, d in zip(grads, directions, strict=True)]).sum()
            worst = max(worst, float((numeric - exact).abs() / exact.abs().clamp(min=1)))
    return worst


class _Steps(nn.Module):
    """The specification as a module, so that its weights can be replaced."""

    def __init__(self, cell: RecurrentCell):
        super().__init__()
        self.cell = cell

    def forward(self, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        return plain(self.cell, x_TBI, state)


def unused(subject: Subject) -> float:
    """The number of weights that no output depends on: several devices would wait for their gradients forever."""
    cell = subject.cell()
    output, _ = run(cell, subject.x_TBI, subject.state)
    grads = torch.autograd.grad(output.sin().sum(), list(cell.parameters()), allow_unused=True)
    return sum(grad is None for grad in grads)


def rows(reverse: bool, subject: Subject) -> float:
    """A padded batch against each row alone, without padding, its last state included."""

    def alone(cell: RecurrentCell, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, lasts = [], []
        for row, length in enumerate(LENGTHS):
            x_L1I, last = x_TBI[:length, row : row + 1], tuple(part[row : row + 1] for part in state)
            output = x_TBI.new_zeros(T, 1, cell.output_size)
            if length:
                steps, last = plain(cell, x_L1I.flip(0) if reverse else x_L1I, last)
                output = torch.cat([steps.flip(0) if reverse else steps, output[length:]])
            outputs.append(output)
            lasts.append(last)
        return torch.cat(outputs, 1), tuple(torch.cat(part) for part in zip(*lasts, strict=True))

    lengths = torch.tensor(LENGTHS)
    batch = subject.results(lambda *given: run(*given, lengths=lengths, reverse=reverse))
    return difference(batch, subject.results(alone))


def decoding(subject: Subject) -> float:
    """Steps one at a time, each from the state before, as in search, against the whole sequence."""

    def steps(cell: RecurrentCell, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for x_1BI in x_TBI.split(1):
            output_1BO, state = run(cell, x_1BI, state)
            outputs.append(output_1BO)
        return torch.cat(outputs), state

    return difference(subject.results(steps), subject.results(run))


def windows(subject: Subject) -> float:
    """Two calls with the state carried over against one."""

    def two(cell: RecurrentCell, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        first, state = run(cell, x_TBI[:3], state)
        second, state = run(cell, x_TBI[3:], state)
        return torch.cat([first, second]), state

    return difference(subject.results(two), subject.results(run))


def resets(subject: Subject) -> float:
    """A reset in mid-sequence against a sequence that starts there."""
    flags = torch.zeros(T, B, dtype=torch.bool)
    flags[3] = True

    def apart(cell: RecurrentCell, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        first, _ = plain(cell, x_TBI[:3], state)
        second, last = plain(cell, x_TBI[3:], cell.initial_state(B, x_TBI[0]))
        return torch.cat([first, second]), last

    return difference(subject.results(lambda *given: run(*given, resets=flags)), subject.results(apart))


def independence(subject: Subject) -> float:
    """The results of the other rows when one row's input and state change: an exact 0 but for rounding."""
    x_TBI, state = subject.x_TBI.clone(), tuple(part.clone() for part in subject.state)
    x_TBI[:, 1] = 5 * torch.randn_like(x_TBI[:, 1])
    for part in state:
        part[1] = torch.randn_like(part[1])
    others = [row for row in range(B) if row != 1]
    with torch.no_grad():
        before, after = (run(subject.cell(), *given) for given in ((subject.x_TBI, subject.state), (x_TBI, state)))
    kept = [[output[:, others], *(part[others] for part in last)] for output, last in (before, after)]
    return difference(*kept)


def selection(subject: Subject) -> float:
    """Going on with chosen rows of a state, one of them twice, against choosing among all; detached, no gradient."""
    cell, chosen = subject.cell(), [2, 0, 2]
    _, state = run(cell, subject.x_TBI[:3], subject.state)
    if any(part.requires_grad for part in detach(state)) or not any(part.requires_grad for part in state):
        raise ValueError("the states after a sequence do not depend on the weights, or do so when detached")
    some, last_some = run(cell, subject.x_TBI[3:, chosen], tuple(part[chosen] for part in state))
    every, last_every = run(cell, subject.x_TBI[3:], state)
    return difference([some, *last_some], [every[:, chosen], *(part[chosen] for part in last_every)])


def autocast(subject: Subject) -> float:
    """Outputs and weight gradients under bfloat16 autocast against float32, relative to their norm."""
    found = []
    for enabled in (True, False):
        cell = subject.cell().float()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output, _ = run(cell, subject.x_TBI.float(), tuple(part.float() for part in subject.state))
        parameters = list(cell.parameters())
        grads = torch.autograd.grad(output.float().sin().sum(), parameters, materialize_grads=True)
        if any(grad.dtype != torch.float32 for grad in grads):
            raise ValueError("the gradient of a float32 weight is not float32")
        found.append(torch.cat([part.detach().flatten().float() for part in (output, *grads)]))
    value = float((found[0] - found[1]).norm() / found[1].norm())
    return math.inf if math.isnan(value) else value


def saving(subject: Subject) -> float:
    """A new cell with the weights that another saved, and a state that was saved, against the old ones."""
    cell, file = subject.cell(), io.BytesIO()
    torch.save({"cell": cell.state_dict(), "state": subject.state}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = subject.make(subject.x_TBI.shape[-1], subject.cell().hidden_size).double()
    other.load_state_dict(saved["cell"])
    with torch.no_grad():
        results = [run(cell, subject.x_TBI, subject.state), run(other, subject.x_TBI, saved["state"])]
    return difference(*([output, *last] for output, last in results))


def learning(subject: Subject) -> float:
    """The loss of naming the symbol before the last, as a share of a guess's: 1 without memory, less with it."""
    symbols, size, steps = 4, 24, 150
    torch.manual_seed(3)
    cell = subject.make(symbols, size)
    output = nn.Linear(cell.output_size, symbols)
    optimizer = torch.optim.Adam([*cell.parameters(), *output.parameters()], lr=0.02)
    total = 0.0
    for step in range(steps):
        symbols_TB = torch.randint(symbols, (8, 16))
        x_TBI = nn.functional.one_hot(symbols_TB, symbols).float()
        logits = output(unroll(cell, x_TBI, last=False)[0])
        loss = nn.functional.cross_entropy(logits[1:].flatten(0, 1), symbols_TB[:-1].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(cell.parameters(), 1.0)
        optimizer.step()
        if step >= steps - 10:
            total += float(loss.detach()) / 10
    return math.inf if math.isnan(total) else total / math.log(symbols)


EXACT = 1e-9
CHECKS: dict[str, tuple[float, Callable[[Subject], float]]] = {
    **{f"engine {name} is the plain loop": (EXACT, partial(engine, name)) for name in ENGINES},
    "gradients are those of central differences": (1e-5, central_differences),
    "every weight takes part: number that do not": (0.0, unused),
    "lengths: a padded batch is its rows alone": (EXACT, partial(rows, False)),
    "reversal: so it is backwards": (EXACT, partial(rows, True)),
    "decoding: single steps are the sequence": (EXACT, decoding),
    "state: two windows are one": (EXACT, windows),
    "state: a reset is a new start": (EXACT, resets),
    "state: rows can be selected and detached": (EXACT, selection),
    "rows do not see each other": (EXACT, independence),
    "bfloat16 autocast is near float32": (0.1, autocast),
    "weights and state can be saved": (0.0, saving),
    "it learns: loss as a share of a guess's": (0.8, learning),
}
"""Limit and function of each check, by what it says."""
