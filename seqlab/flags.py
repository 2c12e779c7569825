"""The parser of recipes and flags: what is wrong is said in one line."""

import re
from typing import NoReturn

from jsonargparse import ArgumentParser, Namespace

from seqlab import registry
from seqlab.errors import UserError

PACKAGES = ["seqlab", "torch", "lightning", "torchmetrics"]


class Parser(ArgumentParser):
    """Reports an error as one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(self._one_line(message)) from ex

    def parse_flags(self, flags: list[str]) -> Namespace:
        """Parses flags; an argument that a class does not have is told by the whole name of its setting.

        Raises:
            UserError: A flag is wrong.
        """
        try:
            return self.parse_args(flags)
        except UserError as error:  # of the parser of a class, which does not know what it is parsed for
            refused = re.fullmatch(r"Option '(\w+)' is not accepted", str(error))
            if refused is None:
                raise
            named = [flag.partition("=")[0].removeprefix("--") for flag in flags]
            setting = next((name for name in named if name.endswith(f".{refused[1]}")), refused[1])
            raise UserError(_no_argument(setting)) from error

    def _one_line(self, message: str) -> str:
        text = " ".join(message.split())
        known = [action.dest for action in self._actions]
        if match := re.search(r"unrecognized arguments: -*([\w.]+)", text):
            elsewhere = [key for key in known if key.endswith("." + match[1].rpartition(".")[2])]
            return f"no setting named {match[1]}{registry.nearest(match[1], elsewhere or known)}"
        if match := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", text):
            key = f"{match[1]}.{match[2]}"
            return f"no setting named {key}{registry.nearest(key, known)}"
        if match := re.search(r"Importing '([\w.]+)' is not allowed", text):
            packages = ", ".join(allowed_packages())
            return f"{match[1]} is of none of the packages that a recipe may name classes of ({packages})"
        if match := re.search(r'Parser key "([\w.]+)":\s+Does not validate against any of the Union', message):
            return _of_no_type(match[1], message)
        if match := re.search(r'Parser key "([\w.]+)": (.*)', text):
            text = f"{match[1]}: " + re.sub(r"a <class '(\w+)'>", r"\1", match[2])
            return re.sub(r"Expected a dot import path string: (\w+).*", r"there is no class \1", text)
        return text


def _of_no_type(key: str, message: str) -> str:
    """One line on a value that is of none of the types that its setting may have, from what the parser says of each."""
    reasons = [" ".join(reason.split()) for reason in re.findall(r"^    - (.*(?:\n {5,}.*)*)", message, re.MULTILINE)]
    value = message.rpartition("Given value: ")[2]
    told = [reason for reason in reasons if not reason.startswith("Expected a <class")]
    if not told:
        types = " or ".join(re.sub(r"Expected a <class '(.*)'>", r"\1", reason) for reason in reasons)
        return f"{key}: Expected {types.replace('NoneType', 'null')}. Got value: {value}"
    reason = told[0]
    lacking = re.match(r"the following arguments are required: (.*)", reason)
    if lacking and (match := re.search(r"class_path='[\w.]*?(\w+)'", value)):
        return (
            f"{key}: {match[1]} needs {lacking[1].replace(', ', ' and ')}, as --{key}.{lacking[1].split(',')[0]} VALUE"
        )
    if match := re.fullmatch(r"Option '(\w+)' is not accepted", reason):
        return _no_argument(f"{key}.{match[1]}")
    if match := re.match(r"Expected a dot import path string: (\w+)", reason):
        return f"{key}: there is no class {match[1]}"
    if match := re.match(r"Import path does not correspond to a subclass of (\w+)", reason):
        return f"{key}: {value} is no subclass of {match[1]}"
    return f"{key}.{reason}" if value.startswith("NestedArg") else f"{key}: {reason}"


def _no_argument(setting: str) -> str:
    group = setting.rpartition(".")[0]
    whose = f"the class that {group} names" if group else "the class that it is given to"
    return f"no setting named {setting}: {whose} has no such argument"


def allowed_packages() -> list[str]:
    """The packages whose classes a recipe may name."""
    return [*PACKAGES, *sorted(registry.plugin_packages() - set(PACKAGES))]
