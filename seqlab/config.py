"""From a recipe and flags to a task, its data and a trainer.

A recipe is a YAML file that names a task class and a data class and sets their arguments. The parser is built for
exactly these two classes, with the recipe's values as defaults, so that help, types and errors are theirs.
"""

import argparse
import inspect
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ActionConfigFile, Namespace, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from seqlab import specs
from seqlab.data.base import DataModule
from seqlab.errors import UserError
from seqlab.flag_help import tidy
from seqlab.flags import Parser, allowed_packages, check_names, is_of
from seqlab.tasks.base import Task
from seqlab.training.rehearsal import stand_ins
from seqlab.training.saving import check_intervals
from seqlab.training.settings import TrainingSettings
from seqlab.training.trainer_settings import BRIEF, OWN, check_trainer


@dataclass
class CheckpointSettings:
    """Which checkpoints are kept, and when to stop early.

    Args:
        monitor: The validation score that decides which checkpoint is the best.
        mode: max if more of it is better, else min.
        patience: Validations without a better score after which training stops; null: never.
        every_n_steps: Optimizer steps between two writings of the last checkpoint.
        every_n_minutes: Minutes after which the last checkpoint is written as well, at the end of a step; null: never.
    """

    monitor: str = "val/perplexity"
    mode: Literal["max", "min"] = "min"
    patience: int | None = None
    every_n_steps: int = 500
    every_n_minutes: float | None = None

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise UserError(f"checkpoint.patience must be at least 0, or null for no early stop, not {self.patience}")
        check_intervals(self.every_n_steps, self.every_n_minutes)


@dataclass
class Settings:
    """A parsed configuration."""

    parser: Parser
    config: Namespace
    task_class: type
    data_class: type

    @cached_property
    def built(self) -> Namespace:
        """The configuration with every nested class made."""
        with readable("the settings"):
            return self.parser.instantiate(self.config)

    def make_data(self) -> Any:
        """The data module."""
        with readable("data"):
            return self.data_class(**self.built.data)

    def make_task(self, data: Any) -> Any:
        """The task, with the arguments that come from the data."""
        return self._make_task({name: getattr(data, name) for name in self._filled})

    def rehearse_task(self) -> Any:
        """The task as it will be, without data: with tokenizers that only have a size; None where that cannot be."""
        tokenizers = stand_ins(self._filled, self.config.data)
        return None if tokenizers is None else self._make_task(tokenizers)

    @property
    def _filled(self) -> list[str]:
        return filled_from_data(self.task_class, self.data_class)

    def _make_task(self, filled: Mapping[str, Any]) -> Any:
        with readable("model"):
            task = self.task_class(**self.built.model, **filled)
            task.train_by(self.built.training)
            return task

    def make_trainer(self, **own: Any) -> Trainer:
        """The trainer; lists given here are added to the configured ones."""
        _quieten_lightning()
        check_trainer(self.config.trainer)
        values = dict(self.built.trainer)
        for name, value in own.items():
            values[name] = [*(values.get(name) or []), *value] if isinstance(value, list) else value
        with readable("trainer"):
            return Trainer(**values)

    def dump(self) -> str:
        """The whole configuration as YAML text, itself a recipe, with the lines of :func:`~seqlab.specs.whole`."""
        return specs.whole(self.parser.dump(self.config, skip_unset=False))


@contextmanager
def readable(group: str) -> Iterator[None]:
    """Turns what a class says of its arguments into one line; a UserError anywhere behind it is passed on as it is.

    Raises:
        UserError: A class refuses an argument.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, ImportError, MisconfigurationException) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__ or cause.__context__
        raise cause or UserError(f"{group}: {' '.join(str(error).split())}") from error


def filled_from_data(task_class: type, data_class: type) -> list[str]:
    """The required arguments of a task that its data module has as properties, such as tokenizers."""
    return [
        name
        for name, parameter in inspect.signature(task_class).parameters.items()
        if parameter.default is parameter.empty
        and isinstance(inspect.getattr_static(data_class, name, None), property | cached_property)
    ]


def parse(recipe: Path, argv: list[str], *, prog: str, brief: bool = False) -> Settings:
    """Parses flags on top of a recipe.

    Args:
        recipe: The recipe, or the ``config.yaml`` of a run.
        argv: Flags, among them ``--config FILE``.
        prog: How the command is called, for help.
        brief: Leave most of the trainer's flags out of the help.

    Raises:
        UserError: The recipe or a flag is wrong.
    """
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=allowed_packages())
    classes = specs.read_recipe(recipe)
    check_names(classes, recipe)
    bases = {"task": Task, "data_module": DataModule}
    task_class, data_class = (_import(recipe, key, classes[key], base) for key, base in bases.items())
    parser = Parser(
        prog=prog,
        usage=f"{prog} ... [--config FILE] [--seed N] [--GROUP.NAME VALUE] ...",
        description=f"The settings of {recipe.stem}, whose values are the defaults here. A --config file comes before "
        f"them, and a flag before both.{' The whole of trainer.* is in --help.' if brief else ''}",
        default_config_files=[recipe],
        allow_abbrev=False,
    )
    parser.add_argument("--config", action=ActionConfigFile, metavar="FILE", help="YAML file of settings.")
    parser.add_argument("--task", type=str, help="Class of the task, by the recipe.")
    parser.add_argument("--data_module", type=str, help="Class of the data module, by the recipe.")
    parser.add_argument("--seed", type=int, default=1, help="Seed of everything random.")
    parser.add_class_arguments(data_class, "data", instantiate=False)
    parser.add_class_arguments(
        task_class, "model", instantiate=False, skip=set(filled_from_data(task_class, data_class))
    )
    parser.add_class_arguments(TrainingSettings, "training")
    parser.add_class_arguments(CheckpointSettings, "checkpoint")
    parser.add_class_arguments(Trainer, "trainer", instantiate=False, skip=OWN)
    if any(action.dest == "data.seed" for action in parser._actions):  # also one that is passed on to a base class
        parser.link_arguments("seed", "data.seed")
    for action in parser._actions:
        group, _, name = action.dest.partition(".")
        if group == "trainer" and name:
            action.help = BRIEF.get(name, argparse.SUPPRESS if brief else action.help)
    tidy(parser)
    config = parser.parse_flags(_config_files_first(argv), specs.flat(specs.read_yaml(recipe)))
    for key in ("task", "data_module"):
        if config[key] != classes[key]:
            raise UserError(
                f"{key} is the recipe's choice ({classes[key]}); for another, copy the recipe and change it"
            )
    if not 0 <= config.seed < 2**32:
        raise UserError(f"seed must be between 0 and {2**32 - 1}, not {config.seed}")
    return Settings(parser, config, task_class, data_class)


def _config_files_first(argv: list[str]) -> list[str]:
    """Puts the settings of ``--config`` files before all flags, so that a flag wins wherever it stands.

    A file's metrics become flags of their own: as a whole they would replace the recipe's.
    """
    files, flags, position = [], [], 0
    while position < len(argv):
        name, equals, value = argv[position].partition("=")
        position += 1
        if name != "--config":
            flags.append(argv[position - 1])
            continue
        if not equals:
            if position == len(argv):
                raise UserError("--config needs a file")
            value = argv[position]
            position += 1
        values = specs.read_yaml(Path(value))
        check_names(values, Path(value))
        model = values.get("model")
        metrics = model.pop("metrics", None) if isinstance(model, dict) else None
        files.append(f"--config={json.dumps(values)}")
        for metric, spec in (metrics if isinstance(metrics, dict) else {}).items():
            files.append(f"--model.metrics.{metric}={spec if isinstance(spec, str) else json.dumps(spec)}")
    return files + flags


def _quieten_lightning() -> None:
    """Leaves out what Lightning says of devices, tips and defaults, and a deprecation inside it; warnings stay."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Where it says that a process of several has ended, before it ends the others.
    logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")


def _import(recipe: Path, key: str, path: str, base: type) -> type:
    """The class a recipe names, which must be of an allowed package and a subclass of the base."""
    module, _, name = path.rpartition(".")
    if not is_of(path, allowed_packages()):
        raise UserError(
            f"{recipe}: {key} {path!r} is of none of the allowed packages ({', '.join(allowed_packages())})"
        )
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{recipe}: {key} {path!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f"{recipe}: {key} {path!r} is no subclass of {base.__module__}.{base.__name__}")
    return found
