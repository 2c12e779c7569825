"""The parser of recipes and flags: what is wrong is said in one line."""

import inspect
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader

from seqlab import registry
from seqlab.errors import UserError
from seqlab.flag_errors import action_of, explain, known_classes, no_argument
from seqlab.flag_help import Help
from seqlab.specs import flat
from seqlab.strict_yaml import check_bounds

OWN = ("cells", "data", "decoding", "diagnosis", "metrics", "models", "recurrence", "tasks", "training")
LIGHTNING = ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
PACKAGES = [
    *(f"seqlab.{name}" for name in OWN),
    *("torch.nn", "torch.optim", "torchmetrics"),
    *(f"lightning.{half}.{name}" for half in ("pytorch", "fabric") for name in LIGHTNING),
]
"""Where a recipe may name classes of. No more of torch and Lightning, which have functions that start processes, load
libraries and run code from the network; what is defined elsewhere is refused under any name that it is imported by."""
GROUPS = ("checkpoint", "data", "model", "trainer", "training")
OPTIMIZER, KEPT = "model.optimizer", ("lr",)
"""Where a class takes foreign defaults, and what of them is told to any class."""
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

log = logging.getLogger("seqlab")
_load = get_loader("yaml")


def _load_bounded(text: str) -> Any:
    """Loads a value or a file of settings as the parser does, which reads files that others name by itself."""
    check_bounds(text)
    return _load(text)


set_loader("yaml", _load_bounded, (yaml.YAMLError,))


class Parser(ArgumentParser):
    """Reports an error as one line, and explains itself in few."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **{"formatter_class": Help, **options})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(explain(message, self._actions, allowed_packages())) from ex

    def parse_flags(self, flags: list[str], given: dict[str, Any] | None = None) -> Namespace:
        """Parses flags; what is wrong with an argument of a class is told by the whole name of its setting.

        Args:
            flags: The flags.
            given: What is set below them, by dotted name.

        Raises:
            UserError: A flag is wrong, or the file below them, which is named then.
        """
        given, values = given or {}, _values(flags)
        try:
            config = self.parse_args(flags)
        except UserError as error:
            text = self._told_in_full(str(error), {**given, **values})
            raise UserError(f"{self._file}: {text}" if self._is_of_file(str(error), flags) else text) from error
        own_defaults(config, given, values)
        return config

    @property
    def _file(self) -> str:
        """The file of settings below all flags."""
        return ", ".join(map(str, self.default_config_files or ()))

    def _is_of_file(self, text: str, flags: list[str]) -> bool:
        """Whether that is said of the file by itself too."""
        try:
            self.parse_args([])
        except UserError as error:
            return not flags or str(error) == text
        return False

    def _told_in_full(self, text: str, values: dict[str, Any]) -> str:
        """What the parser of a class says, which does not know what it is parsed for."""
        if refused := re.fullmatch(r"Option '(\w+)' is not accepted", text):
            setting = _whole(refused[1], values)
            return no_argument(setting, self._arguments(setting, values))
        if refused := re.fullmatch(r"(no setting named ([\w.]+)): the class that .* has no such argument", text):
            return no_argument(refused[2], self._arguments(refused[2], values))
        name, _, rest = text.partition(": ")
        if rest and name.isidentifier() and not any(action.dest == name for action in self._actions):
            return f"{_whole(name, values)}: {rest}"
        return text

    def _arguments(self, setting: str, values: dict[str, Any]) -> list[str]:
        """The arguments of the class that a setting is of; none where it cannot be told."""
        action = action_of(setting, self._actions)
        group = setting.rpartition(".")[0].removesuffix(".init_args")
        named = values.get(group) or values.get(f"{group}.class_path") or ""
        for path in known_classes(action):
            if path == named or path.endswith(f".{named}"):
                return [name for name in _parameters(path) if name not in ("params", "self")]
        return []


def own_defaults(config: Namespace, given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Lets an optimizer of another class than the file's start from its own defaults, but for the learning rate: a
    weight decay that is right for one is wrong for another.

    Args:
        config: What was parsed; it is changed.
        given: What the file sets, by dotted name.
        values: What flags set, by dotted name.
    """
    now, before = config.get(f"{OPTIMIZER}.class_path"), str(given.get(f"{OPTIMIZER}.class_path", ""))
    if now is None or before.rpartition(".")[2] in ("", now.rpartition(".")[2]):
        return
    parameters, left = _parameters(now), []
    for name in sorted(key.rpartition(".")[2] for key in given if key.startswith(f"{OPTIMIZER}.init_args.")):
        set_by_flag = {f"{OPTIMIZER}.{name}", f"{OPTIMIZER}.init_args.{name}"} & values.keys()
        if set_by_flag or (name in KEPT and name in parameters):
            continue
        left.append(name)
        if name in parameters and parameters[name].default is not inspect.Parameter.empty:
            config[f"{OPTIMIZER}.init_args.{name}"] = parameters[name].default
    if left:
        old, new = (path.rpartition(".")[2] for path in (before, now))
        log.info("%s: %s has defaults of its own for what was set for %s: %s", OPTIMIZER, new, old, ", ".join(left))


def _parameters(path: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class."""
    module, _, name = path.rpartition(".")
    return inspect.signature(getattr(import_module(module), name)).parameters


def _whole(name: str, values: dict[str, Any]) -> str:
    """The whole name of a setting whose last part is known."""
    return next((key for key in reversed(list(values)) if key.endswith(f".{name}")), name)


def _values(flags: list[str]) -> dict[str, Any]:
    """What flags say, by name; what a ``--config`` holds by dotted name."""
    values: dict[str, Any] = {}
    for flag, following in zip(flags, [*flags, ""][1:], strict=True):
        name, equals, value = flag.partition("=")
        if name == "--config":
            values |= flat(yaml.safe_load(value))
        elif name.startswith("--"):
            name, text = name.removeprefix("--"), value if equals else following
            values[name] = text
            if text.startswith("{"):
                with suppress(yaml.YAMLError, ValueError):
                    values = {key: values[key] for key in values if key != name} | flat(yaml.safe_load(text), name)
    return values


def allowed_packages() -> list[str]:
    """The packages whose classes a recipe may name: some of seqlab and what it stands on, and all of plugins."""
    plugins = {name for name in registry.plugin_packages() if not name.startswith("__editable__")}
    return [*PACKAGES, *sorted(plugins - {package.partition(".")[0] for package in PACKAGES})]


def is_of(path: str, packages: Iterable[str]) -> bool:
    """Whether a dotted path is of one of some packages."""
    return any(f"{path}.".startswith(f"{package}.") for package in packages)


def check_names(values: Any, source: Path) -> None:
    """Makes sure that a file of settings names no function of seqlab or what it stands on, but classes; a setting that
    takes what can be called would take it, and call it with whatever arguments the file has. Plugins may have such
    functions.

    Args:
        values: What the file holds.
        source: The file.

    Raises:
        UserError: It does.
    """
    for group in GROUPS:
        if isinstance(values, dict) and isinstance(values.get(group), str):  # the parser would take it for a file
            raise UserError(f"{source}: {group} has settings of its own, and is not {values[group]!r}")
    for value in flat(values).values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, dict | list):
                check_names(text, source)
            elif isinstance(text, str) and DOTTED.fullmatch(text) and is_of(text, PACKAGES):
                with suppress(ImportError, AttributeError):  # then the parser says so
                    found = resolve_name(text)
                    if callable(found) and not isinstance(found, type):
                        raise UserError(f"{source}: {text} is no class, and a file of settings may name nothing else")
