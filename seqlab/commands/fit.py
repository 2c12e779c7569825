"""``seqlab fit``: trains a recipe into a run."""

import argparse
import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab import registry
from seqlab.commands import Arguments, is_setting
from seqlab.commands.fit_trainer import make_trainer
from seqlab.errors import Stopped, UserError
from seqlab.files import refusal, write_text
from seqlab.runs import Run, is_first_process
from seqlab.specs import flat, parse_cell, read_yaml
from seqlab.training.allocator import remember_few_shapes

if TYPE_CHECKING:
    from seqlab.config import Settings

log = logging.getLogger("seqlab")

SETTINGS = """settings of every recipe:
  --data.*              what is read, and how it is cut into tokens and batches
  --model.*             cells, sizes, optimizer, schedule, scores
  --training.*          penalties, frozen parameters, weights of another run
  --checkpoint.*        which checkpoint is the best, early stopping
  --trainer.*           length, devices, precision
  --seed N              of everything random
  --config FILE         YAML file of such settings
  --print_config        print all settings and end

  seqlab fit --recipe NAME -h       explains those that most runs need
  seqlab fit --recipe NAME --help   explains all
"""


def main(argv: list[str]) -> None:
    """Finds recipe and run, then trains."""
    parser = Arguments(
        prog="seqlab fit",
        usage="seqlab fit --recipe NAME|FILE [--run DIR] [--GROUP.NAME VALUE] ...\n"
        "       seqlab fit --run DIR --resume",
        description="Trains a recipe into a run.",
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "--recipe", metavar="NAME|FILE", help="an installed recipe (see: seqlab recipes), or a YAML file"
    )
    parser.add_argument("--run", metavar="DIR", type=Path, help="directory of the run (default: runs/<recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on with the run from its last checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is in the directory")
    parser.add_argument(
        "-h", "--help", action="store_true", help="this help; with --recipe, the settings of the recipe"
    )
    options, rest = parser.parse_known_args(argv)
    for flag in rest:
        if is_own(flag) and (close := parser.meant(flag)):
            raise UserError(f"unrecognized argument: {flag}{close} (see seqlab fit -h)")
    remember_few_shapes()
    if options.help and not options.recipe:
        parser.print_help()
        return
    if options.resume and options.overwrite:
        raise UserError("--resume and --overwrite contradict each other")
    if not options.recipe and not (options.resume and options.run):
        raise UserError(_which_recipe(rest))
    recipe = registry.recipe_path(options.recipe) if options.recipe else None
    run = Run(options.run or Path("runs", recipe.stem if recipe else ""))
    if options.resume and run.is_resumable():
        from seqlab.training.resuming import load_last

        run.check_suppliers(load_last(run.checkpoints, mmap=True).path)
    if recipe is not None:
        check_cells(recipe, rest)
    if options.help or any(flag.startswith("--print_config") for flag in rest):
        _parse(run.config if options.resume else recipe, [*rest, *(["--help"] if options.help else [])], "-h" in argv)
        return
    if is_first_process():
        run.check_free(resume=options.resume, overwrite=options.overwrite)
        if why := refusal(run.path):
            raise UserError(f"cannot write to {run}: {why}")
    settings = _parse(run.config if options.resume else recipe, rest, False)
    installed = None if options.resume else registry.names(registry.RECIPES).get(options.recipe)
    train(run, settings, resume=options.resume, overwrite=options.overwrite, recipe=installed)


def is_own(flag: str) -> bool:
    """Whether a flag would be one of the command: it is no setting of a run."""
    return flag.startswith("--") and not is_setting(flag) and flag.partition("=")[0] != "--print_config"


def _which_recipe(rest: list[str]) -> str:
    """That no recipe was given, or not as one is."""
    known = registry.names(registry.RECIPES)
    given = next((argument for argument in rest if argument in known or argument.endswith((".yaml", ".yml"))), None)
    if given is not None:
        return f"which recipe? If it is {given}: --recipe {given}"
    return "which recipe? --recipe NAME|FILE (see: seqlab recipes), or --run DIR --resume to go on with a run"


def check_cells(recipe: Path, argv: list[str]) -> None:
    """Looks up the cells that a recipe and flags name, before torch is imported.

    Raises:
        UserError: A cell is not installed.
    """
    model = read_yaml(recipe).get("model")
    named = dict(model) if isinstance(model, dict) else {}
    for flag, following in itertools.zip_longest(argv, argv[1:]):
        key, equals, value = flag.partition("=")
        if key.startswith("--model."):
            named[key.removeprefix("--model.")] = value if equals else following
    for key, value in named.items():
        if _names_cell(key, value) and isinstance(value, str) and not value.startswith(("{", "null")):
            registry.find(registry.CELLS, parse_cell(value)[0])


def _names_cell(key: str, value: Any) -> bool:
    """Whether an argument of a task is a cell: by its name, as the task is not known to be one of seqlab's."""
    return (key == "cell" or key.endswith("_cell")) and isinstance(value, str | dict)


def _parse(recipe: Path | None, argv: list[str], brief: bool) -> "Settings":
    from seqlab.config import parse

    assert recipe is not None
    return parse(recipe, argv, prog="seqlab fit", brief=brief)


def train(
    run: Run, settings: "Settings", *, resume: bool, overwrite: bool, recipe: registry.Offer | None = None
) -> None:
    """Trains into a run and ends with a few examples, a summary and the learning curves.

    Trainer, model and data are made first, so that what is wrong with them leaves nothing behind, and an old run that
    is to be replaced as it was.

    Args:
        run: The run.
        settings: Its configuration.
        resume: Go on from its last checkpoint.
        overwrite: Replace what is there.
        recipe: The installed recipe that it came from, for the checkpoints to say so.
    """
    from contextlib import ExitStack

    import yaml
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch import seed_everything

    from seqlab.commands.fit_checks import (
        check_gradient,
        check_task,
        check_unchanged,
        check_unfinished,
        find_source,
        first_step,
        rehearse,
    )
    from seqlab.runs import rebuild, restore
    from seqlab.suppliers import find_suppliers
    from seqlab.tasks.cells import cell_factory
    from seqlab.training.allocator import keep_freed_memory
    from seqlab.training.checkpoints import Record, load_checkpoint
    from seqlab.training.devices import as_one, check_devices, check_strategy
    from seqlab.training.resuming import load_last, take_up
    from seqlab.training.summary import describe_model, write_summary

    keep_freed_memory()
    seed_everything(settings.config.seed, workers=True, verbose=False)
    check_gradient(settings)
    check_strategy(settings.config.trainer.strategy)
    for key, cell in vars(settings.config.model).items():
        if _names_cell(key, cell):
            cell_factory(cell)  # raises what is wrong with its options
    try:
        trainer, throughput = make_trainer(run, settings)
        resumed = load_last(run.checkpoints) if resume else None
        for line in resumed.notes() if resumed else ():
            log.warning("%s", line)
        checkpoint = resumed.checkpoint if resumed else None
        source = find_source(settings, run) if checkpoint is None else None
        if resumed is not None:
            check_unchanged(settings, resumed.checkpoint)
            check_unfinished(run, resumed.checkpoint, trainer)
            check_devices(resumed.checkpoint, trainer)
            task, data = rebuild(settings, resumed.checkpoint, resumed.path)
        else:
            data = settings.make_data()
            if source is not None:
                source.give_tokenizers(data)
            else:
                rehearse(settings, trainer.max_steps)
            data.look_up()  # of which the task may have a tokenizer trained, for long
            task = settings.make_task(data)
            if source is not None:
                log.info("%s", source.give_weights(task, task.training_settings.init_only))
        check_task(settings, task, trainer.max_steps)
        if checkpoint is None and not (source and source.has_started(flat(yaml.safe_load(settings.dump())))):
            task.initialise()
            if source is not None:
                source.check_kept(task)
        data.prepare()
        suppliers = find_suppliers(task, settings.dump(), recipe)
        if checkpoint is not None:  # a resume need not name the recipe that its run began with
            before = checkpoint["seqlab"].get("suppliers", {})
            suppliers |= {what: before[what] for what in before if what.startswith("recipe ")}
        trainer.callbacks.insert(0, Record(settings.dump(), suppliers))
        with ExitStack() as stack:
            if is_first_process():
                stack.enter_context(run.lock())
                if overwrite:
                    run.clear()
                if resumed is not None:
                    take_up(resumed, run.checkpoints, run.logs)
                write_text(run.config, settings.dump())
            log.info("%s", describe_model(task))
            log.info("run: %s%s", run, f", resumed at step {checkpoint['global_step']:,}" if checkpoint else "")
            try:
                with first_step(run, trainer), as_one(trainer, run.path):
                    trainer.fit(task, data, ckpt_path=run.last if resume else None, weights_only=True)
            except Stopped as stop:
                log.info("go on from step %s with: seqlab fit --run %s --resume", f"{stop.step:,}", run.typed)
                raise
            except SystemExit as exit:  # Lightning's answer to a second Ctrl-C
                if run.last.is_file():
                    step = load_checkpoint(run.last)["global_step"]
                    log.info("go on from step %s with: seqlab fit --run %s --resume", f"{step:,}", run.typed)
                else:
                    log.info("no checkpoint was written yet: to start anew, add --overwrite")
                raise KeyboardInterrupt from exit
            if trainer.is_global_zero:
                best, _, _ = restore(run, settings)
                write_summary(run, best, data, trainer, throughput, settings.config.checkpoint)
    except MisconfigurationException as error:
        raise UserError(str(error)) from error
