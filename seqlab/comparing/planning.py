"""From what is asked for to a plan: settings, sizes and the end of each run, before anything trains."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch

from seqlab.comparing.plan import SIDES, Asked, Plan
from seqlab.comparing.sizes import Counter, solve
from seqlab.config import Settings, parse
from seqlab.data.base import SPLITS
from seqlab.data.loader import TrainingBatches
from seqlab.errors import UserError
from seqlab.specs import flat, read_recipe
from seqlab.tasks.cells import cell_factory

log = logging.getLogger("seqlab")


def checksum(recipe: Path) -> str:
    """Of a recipe's file."""
    return hashlib.sha256(recipe.read_bytes()).hexdigest()


def both_sides(asked: Asked, recipe: Path) -> Asked:
    """With flags that let ``model.cell`` stand for both sides where the recipe has a cell for one of them."""
    values = flat(read_recipe(recipe))
    given = {flag.removeprefix("--").partition("=")[0] for flag in asked.flags}
    extra: list[str] = []
    for name in (f"model.{side}" for side in SIDES):
        if name not in given and any(key == name or key.startswith(f"{name}.") for key in values):
            extra += [f"--{name}", "null"]
    return Asked(**{**vars(asked), "flags": (*asked.flags, *extra)})


def make_plan(asked: Asked, recipe: Path) -> Plan:
    """Looks up all that is named, and finds out what the runs are given.

    Args:
        asked: What is asked for.
        recipe: The recipe's file.

    Raises:
        UserError: Something that is asked for is not there, or cannot be.
    """
    settings = parse(recipe, list(asked.flags), prog="seqlab compare")
    if not hasattr(settings.task_class, "sizes_of") or "cell" not in settings.config.model:
        raise UserError(f"the recipe {asked.recipe} has no model.cell: {settings.task_class.__name__} takes no cell")
    for cell in asked.cells:
        cell_factory(cell)
    checkpoint, data = settings.config.checkpoint, settings.make_data()
    data.look_up()
    for split in filter(data.has, SPLITS):
        data.text(split)  # which says what is wrong with it, once and not for every run
    return Plan(
        asked,
        checksum(recipe),
        checkpoint.monitor,
        checkpoint.mode,
        list(settings.config.model.metrics),
        settings.task_class.unit,  # type: ignore[attr-defined]
        "test" if data.has("test") else "val",
        ends=_ends(settings, asked),
        sizes=_sizes(settings, asked),
        budget=asked.budget or _own_budget(settings, asked.recipe),
    )


def _sizes(settings: Settings, asked: Asked) -> dict[str, dict[str, int]]:
    """For each cell the settings that give its model its size.

    Raises:
        UserError: There are none that give it as many parameters as asked for, or no such model.
    """
    counter = Counter(settings)
    base = counter.base
    if asked.parameters is None and counter.needs_no_data:
        for cell in asked.cells:
            try:
                counter(cell, base)
            except UserError as error:
                raise UserError(f"{cell}: {error}") from error
    sizes = {cell: dict(base) for cell in asked.cells}
    if asked.parameters is not None:
        if not base:
            raise UserError(
                f"--parameters: {settings.task_class.__name__}, the task of {asked.recipe}, does not say which of its "
                "arguments are sizes (its attribute sizes)"
            )
        for cell in asked.cells:
            try:
                found = solve(lambda tried, cell=cell: counter(cell, tried), base, asked.parameters)  # type: ignore[misc]
            except UserError as error:
                raise UserError(f"--parameters, {cell}: {error}") from error
            log.info("%s: %s parameters", cell, found)
            sizes[cell] = found.sizes
    return {cell: {f"model.{name}": size for name, size in sizes[cell].items()} for cell in asked.cells}


# ------------------------------------------------------------------------------------------------------------ the end


def _own_budget(settings: Settings, recipe: str) -> dict[str, float]:
    trainer = settings.config.trainer
    if trainer.max_steps > 0:
        return {"steps": trainer.max_steps}
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        return {"epochs": trainer.max_epochs}
    if trainer.max_time is not None:
        return {"minutes": _minutes(trainer.max_time)}
    raise UserError(f"the recipe {recipe} has no end of its own: give --steps N, --tokens N or --minutes X")


def _minutes(time: Any) -> float:
    if isinstance(time, str):
        days, hours, minutes, seconds = map(int, time.split(":"))
        return 1440 * days + 60 * hours + minutes + seconds / 60
    return sum(factor * time.get(name, 0) for name, factor in (("days", 1440), ("hours", 60), ("minutes", 1)))


def _ends(settings: Settings, asked: Asked) -> dict[int, list[str]]:
    """For each seed the flags that end its runs."""
    if not asked.budget:
        return {seed: [] for seed in asked.seeds}
    (kind, amount), trainer = next(iter(asked.budget.items())), settings.config.trainer
    open_end = ["--trainer.max_epochs", "-1"] if trainer.max_epochs not in (None, -1) else []
    if kind == "minutes":
        seconds = max(1, round(60 * amount))
        hours, rest = divmod(seconds, 3600)
        time = f"{hours // 24:02}:{hours % 24:02}:{rest // 60:02}:{rest % 60:02}"
        if needs_an_end(settings):
            if trainer.max_steps < 1:
                raise UserError("--minutes: the schedule needs an end in steps too: give --trainer.max_steps")
            log.warning(
                "--minutes: the learning rate follows a schedule of %s steps (trainer.max_steps), wherever time ends; "
                "runs that get there end sooner",
                f"{trainer.max_steps:,}",
            )
            steps = ["--trainer.max_steps", str(trainer.max_steps)]
        else:
            steps = ["--trainer.max_steps", "-1"]
        return {seed: [*steps, *open_end, "--trainer.max_time", time] for seed in asked.seeds}
    if trainer.max_time is not None:
        open_end += ["--trainer.max_time", "null"]
    found = dict.fromkeys(asked.seeds, int(amount))
    if kind == "tokens":
        found = steps_of_tokens(settings, int(amount), asked.seeds)
    return {
        seed: ["--trainer.max_steps", str(steps), *open_end, *_validated(settings, steps)]
        for seed, steps in found.items()
    }


def needs_an_end(settings: Settings) -> bool:
    """Whether the schedule of the learning rate needs to know the number of steps."""
    schedule = settings.built.model.get("schedule")
    if schedule is None:
        return False
    try:
        schedule.configure(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), -1)
    except UserError:
        return True
    return False


def _validated(settings: Settings, steps: int) -> list[str]:
    """The flag that lets a run shorter than the recipe's first validation have one at its end."""
    trainer = settings.config.trainer
    interval, batches = trainer.val_check_interval, steps * trainer.accumulate_grad_batches
    if trainer.check_val_every_n_epoch is None and isinstance(interval, int) and interval > batches:
        return ["--trainer.val_check_interval", str(batches)]
    return []


def steps_of_tokens(settings: Settings, tokens: int, seeds: tuple[int, ...]) -> dict[int, int]:
    """For each seed the optimizer steps after which a run has been trained on a number of target tokens, or a few more.

    They are counted in the plans of the batches themselves, which depend on the seed; so a schedule knows its end.

    Raises:
        UserError: The data module has batches of its own, of which nothing is known before.
    """
    trainer = settings.make_trainer(logger=False, enable_progress_bar=False, enable_checkpointing=False)
    found = {}
    for seed in seeds:
        data = settings.make_data()
        data.trainer, data.seed = trainer, seed
        loader = data.train_dataloader()
        if not isinstance(loader, TrainingBatches):
            raise UserError(
                f"--tokens: {type(data).__name__} has batches of its own, whose tokens are not known before they are "
                "made: give --steps N"
            )
        steps = seen = epoch = 0
        window = trainer.accumulate_grad_batches
        while seen < tokens:
            loader.set_epoch(epoch)
            for count in loader._batches().plan.step_tokens[::window]:
                seen, steps = seen + count, steps + 1
                if seen >= tokens:
                    break
            epoch += 1
        data.teardown("fit")
        found[seed] = steps
    return found
