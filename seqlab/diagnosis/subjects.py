"""What is diagnosed: cells on their own, and a run with the weights that it began with beside those it found.

Shape suffixes: T = time steps, B = rows, H = hidden size, O = output size.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
import yaml
from lightning.pytorch import seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn
from tqdm import tqdm

from seqlab.cells.base import RecurrentCell
from seqlab.config import Settings
from seqlab.data.base import DataModule
from seqlab.diagnosis.batches import batch_of
from seqlab.diagnosis.measuring import STAGES, describe, measure
from seqlab.diagnosis.reports import report_of
from seqlab.diagnosis.tasks import measure_task, trace_task
from seqlab.diagnosis.tracing import Trace
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.runs import Run, default_device, read_source, restore
from seqlab.specs import flat
from seqlab.suppliers import find_suppliers
from seqlab.tasks.base import Task
from seqlab.tasks.cells import cell_factory

log = logging.getLogger("seqlab")


def diagnose_cells(specs: Sequence[str], *, hidden_size: int, steps: int, rows: int, seed: int) -> dict[str, Any]:
    """Measures cells as they are made, on normal inputs; what enters is a random gradient of norm 1, at the last step.

    Args:
        specs: The cells.
        hidden_size: Hidden size H, which the inputs have too.
        steps: Steps T.
        rows: Rows B.
        seed: Seed of weights, inputs and gradients: each cell has those that it would have alone.

    Returns:
        The report.

    Raises:
        UserError: A cell is not installed, or refuses its sizes or options.
    """
    makers = {spec: cell_factory(spec) for spec in specs}
    cells = []
    for spec, maker in _told(list(makers.items()), "measuring cells"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            x_TBH = torch.randn(steps, rows, hidden_size)
            directions_BO = torch.randn(rows, 2 * hidden_size)
            stack = RecurrentStack(partial(_sized, maker, hidden_size), hidden_size)
            further_BO = torch.randn(rows, max(0, stack.output_size - 2 * hidden_size))
        gradient_TBO = torch.zeros(steps, rows, stack.output_size)
        directions_BO = torch.cat([directions_BO, further_BO], -1)[:, : stack.output_size]
        gradient_TBO[-1] = nn.functional.normalize(directions_BO, dim=-1)
        state, lengths_B = stack.initial_state(rows, x_TBH), torch.full((rows,), steps)
        given = Trace(x_TBH, state, lengths_B, None, gradient_TBO, finals=None)
        (cell,) = describe(stack, given, untrained=measure(stack, given))["cells"]
        cells.append({**cell, "name": spec})
    setting = {"hidden_size": hidden_size, "steps": steps, "rows": rows, "seed": seed}
    return report_of({"cells": list(specs), **setting}, {"": {"note": "", "cells": cells}})


def _told(parts: Sequence[tuple[str, Any]], what: str) -> Iterable[tuple[str, Any]]:
    """The parts, with a bar on a terminal."""
    return tqdm(parts, desc=what, leave=False, disable=not sys.stderr.isatty())


def _sized(maker: Callable[[int, int], RecurrentCell], hidden_size: int, input_size: int) -> RecurrentCell:
    return maker(input_size, hidden_size)


def diagnose_run(
    run: Run,
    settings: Settings,
    split: str,
    rows: int | None = None,
    done: Callable[[str, float], Any] = lambda when, share: None,
) -> tuple[dict[str, Any], DataModule]:
    """Measures the layers of a run's best checkpoint, and those with the weights that its fit began with, on the same
    rows of a split.

    Args:
        run: The run.
        settings: Its settings, with what flags change of them.
        split: The split.
        rows: Rows of it; see :func:`~seqlab.diagnosis.batches.batch_of` for None.
        done: Called with ``trained`` or ``untrained`` and the share of the measurement of these that is done since the
            last call, to show progress.

    Returns:
        The report, and the data module with what the rows are of.

    Raises:
        UserError: The run has no checkpoint, the split has no corpus, or the task no layers.
    """
    trained, data, checkpoint = restore(run, settings)
    batch = batch_of(data, split, rows)
    trained = trained.to(default_device())
    untrained, how = untrained_task(settings, data)
    traces, measured = {}, {}
    for when, task in (("trained", trained), ("untrained", untrained.to(trained.device))):
        done(when, 0.0)
        traces = trace_task(task, batch)
        measured[when] = measure_task(task, traces, done=partial(done, when, 1 / (STAGES * len(traces))))
    stacks = trained.stacks()
    path = run.checkpoint()
    head = {
        "run": str(run),
        "task": type(trained).__name__,
        "split": split,
        "rows": max(each.x_TBI.shape[1] for each in traces.values()),
        "checkpoint": {
            "file": path.name,
            "step": checkpoint["global_step"],
            "weights": "averaged" if "averaged" in checkpoint else "raw",
        },
        "untrained": how,
    }
    found = {
        name: describe(stacks[name], each, **{when: cells[name] for when, cells in measured.items()})
        for name, each in traces.items()
    }
    report = report_of(head, found)
    report["versions"] |= {name: number for name, number in find_suppliers(trained, settings.dump()).values() if name}
    return report, data


def untrained_task(settings: Settings, data: Any) -> tuple[Task, str]:
    """The task with the weights that a fit with these settings begins with, and how these came about.

    Args:
        settings: The settings.
        data: Its data module, with the tokenizers of the run.
    """
    with isolate_rng():
        seed_everything(settings.config.seed, workers=True, verbose=False)
        task = settings.make_task(data)
    how, started, source = f"seed {settings.config.seed}", False, settings.config.training.init_from
    try:
        if source is not None:
            given = read_source(source)
            given.give_weights(task, task.training_settings.init_only)
            how, started = f"weights of {source}", given.has_started(flat(yaml.safe_load(settings.dump())))
        if not started:
            task.initialise()
    except (UserError, OSError) as error:
        log.warning("the untrained weights are those of the seed alone: %s", error)
        how = f"seed {settings.config.seed}, since what the fit began with is gone"
    return task.eval(), how
