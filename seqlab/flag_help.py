"""How the settings of a recipe are told in help."""

import inspect
import re
from argparse import SUPPRESS, Action, ArgumentParser
from importlib import import_module
from typing import Any

from jsonargparse import DefaultHelpFormatter, Namespace

from seqlab.flag_errors import known_classes

WIDEST = 100
METAVARS = {"int": "N", "float": "X", "bool": "true|false", "str": "TEXT"}
SIMPLE = re.compile(r"(?:Union\[)?(int|float|bool|str)\b")
"""The type of what needs no class, though it may be one."""
TITLES = {"trainer": "How long, how often and on what"}
"""Of groups whose class says it in other words."""
HIDDEN = "Path to a configuration file."
"""What stands beside a group that may be given as a whole."""


class Help(DefaultHelpFormatter):
    """A setting with what it takes on a line, and below it what it is for, its default and its classes by name."""

    def __init__(self, prog: str, **options: Any):
        super().__init__(prog, **{"max_help_position": 8, **options})
        self._width = min(self._width, WIDEST)

    def add_argument(self, action: Action) -> None:
        if not _is_hidden(action):  # by its help it would also be left out of what is saved
            super().add_argument(action)

    def add_text(self, text: str | None) -> None:
        if self._current_section.heading != "default config file locations":
            super().add_text(text)

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        name = next((option for option in action.option_strings if option == f"--{action.dest}"), "")
        return f"{name or action.option_strings[0]} {self._metavar(action)}"

    def _metavar(self, action: Action) -> str:
        """What a setting takes: a number, a text, one of a few words, a class."""
        if self._classes(action):
            return "CLASS"
        kind = re.sub(r" \| null$|^Optional\[(.*)\]$|^Union\[(.*), null\]$", r"\1\2", self._get_type_str(action) or "")
        if match := re.fullmatch(r"Literal\[([^\]]*)\]", kind):
            return match[1].replace("'", "").replace(", ", "|")
        simple = SIMPLE.match(kind) if known_classes(action) else None
        return METAVARS.get(simple[1] if simple else kind) or (
            action.metavar if isinstance(action.metavar, str) else "VALUE"
        )

    def _classes(self, action: Action) -> list[str]:
        """The classes that a setting names, by their short names; none where it may also be another text."""
        kind = self._get_type_str(action) or ""
        names = {path.rpartition(".")[2] for path in known_classes(action)}
        names -= set(re.findall(r"\w+", kind))  # the base of them all
        return [] if SIMPLE.match(kind) else sorted(names)

    def _get_help_string(self, action: Action) -> str:
        text = (action.help or "").strip()
        text = re.sub(r"\s*(Default: [^ ]*\.|\(default: [^ ()]*\))$", "", text)  # as it would be said below
        if not action.option_strings or action.nargs == 0 or action.dest in ("config", "print_config", "help"):
            return text
        notes = []
        if classes := self._classes(action):
            notes.append(f"One of {', '.join(classes)}; --{action.dest}.help CLASS tells what each takes.")
        if action.default is not SUPPRESS and (action.default is not None or not action.required):
            notes.append(f"(default: {spelled(action.default)})")
        return " ".join([text, *notes])


def tidy(parser: ArgumentParser) -> None:
    """Puts texts into plain words, and gives each group the name that its settings begin with."""
    texts = {"help": "This help.", "print_config": "Print all settings as YAML, a recipe of its own, and end."}
    for action in parser._actions:
        if isinstance(action.help, str):
            plain = re.sub(r":\w+:`~?\.?(?:[\w.]*\.)?(\w+)`", r"\1", action.help)  # a docstring's
            action.help = texts.get(action.dest) or plain.replace("``", "")
    for group in parser._action_groups:
        parts = [action.dest.split(".")[:-1] for action in group._group_actions if not _is_hidden(action)]
        common = [level[0] for level in zip(*parts, strict=False) if len(set(level)) == 1]
        if common:
            title = TITLES.get(common[-1]) or (group.title or "").rstrip(".:")
            group.title = f"--{'.'.join(common)}.*  {title}"


def _is_hidden(action: Action) -> bool:
    """Whether nobody sets it, or it stands for what is told elsewhere."""
    named = action.dest in ("task", "data_module") or action.dest.endswith(".help")
    return named or action.help in (HIDDEN, SUPPRESS) or type(action).__name__ == "ActionLink"


def spelled(value: Any) -> str:
    """A default as one would write it: a class by its name, with what is not its own default."""
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, dict) and isinstance(value.get("class_path"), str):
        module, _, name = value["class_path"].rpartition(".")
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
        options = [
            f"{option}={spelled(given)}"
            for option, given in (value.get("init_args") or {}).items()
            if option not in parameters or parameters[option].default != given
        ]
        return f"{name} {', '.join(options)}".rstrip()
    if isinstance(value, dict):
        return "; ".join(f"{name}: {spelled(part)}" for name, part in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
