"""What the parser of flags says of a wrong one, put into one line of plain words."""

import difflib
import re
import sys
from argparse import Action
from collections.abc import Iterable, Sequence

from seqlab import registry

MOST_CLASSES = 24
RENAMED = {"model.coverage_penalty": "model.coverage_loss"}
"""Settings of runs of older versions."""


def explain(message: str, actions: Sequence[Action], packages: Sequence[str]) -> str:
    """One line for what the parser says.

    Args:
        message: What it says, of any number of lines.
        actions: The settings that it knows.
        packages: The packages whose classes may be named.
    """
    nested = r"Unable to load config .*?\n +- (Parser key \S+\s+(?!Unable to load config).*)"
    if inner := re.search(nested, message, re.DOTALL):
        return explain(re.sub("^  ", "", inner[1], flags=re.MULTILINE), actions, packages)
    text = " ".join(message.split())
    known = [action.dest for action in actions]
    if match := re.search(r"unrecognized arguments: ([^-\s]\S*)", text):
        return f"unrecognized argument: {match[1]} (a setting is given as --GROUP.NAME VALUE, a run as --run DIR)"
    if match := re.search(r"unrecognized arguments: -*([\w.]+)", text):
        return no_setting(match[1], known)
    if match := re.search(r"the following arguments are required: (\w+\.[\w., ]+)", text):
        return f"it lacks {match[1]}: it is cut short, or no whole recipe"
    if match := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", text):
        return no_setting(f"{match[1]}.{match[2]}", known)
    if match := re.search(r"Importing '([\w.]+)' is not allowed", text):
        named = ", ".join(packages)
        return f"{match[1]} is of none of the packages that a recipe may name classes of ({named})"
    if match := re.search(r'Parser key "([\w.]+)":\s+(.*)', message, re.DOTALL):
        return _of_value(match[1], match[2], actions)
    return text.replace("expected one argument", "it needs a value")


def no_setting(name: str, known: Sequence[str]) -> str:
    """That there is no such setting, with the nearest: in its own group, by the same name elsewhere, or anywhere."""
    if name in RENAMED:
        return f"no setting named {name}; it is called {RENAMED[name]} now"
    group, _, last = name.rpartition(".")
    beside = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == group}
    elsewhere = {key.rpartition(".")[2]: key for key in reversed(known)}
    for keys in (beside, {last: elsewhere[last]} if last in elsewhere else {}, elsewhere):
        if close := difflib.get_close_matches(last, keys, n=1):
            return f"no setting named {name}; did you mean {keys[close[0]]!r}?"
    return f"no setting named {name}; --help lists them"


def no_argument(setting: str, arguments: Sequence[str] = ()) -> str:
    """That the class that a setting names has no such argument, with the nearest of those it has."""
    group, _, last = setting.removesuffix(".").rpartition(".")
    group = group.removesuffix(".init_args")
    whose = f"the class that {group} names" if group else "the class that it is given to"
    close, known = registry.nearest(last, arguments), ", ".join(arguments)
    return f"no setting named {setting}: {whose} has no such argument{close or (known and f' (it has: {known})')}"


def known_classes(action: Action | None) -> list[str]:
    """The dotted names of the classes that a setting may name, as far as they are imported."""
    text = getattr(action, "extra_help", str)()
    return [name for name in text.partition(": ")[2].split(", ") if name and not _is_base(name)]


def _is_base(path: str) -> bool:
    """Whether a class is only there for others to be made of: its package names what it offers, and leaves it out."""
    module, _, name = path.rpartition(".")
    offered = [getattr(sys.modules.get(place), "__all__", []) for place in (module, module.rpartition(".")[0])]
    return path.startswith("seqlab.") and any(offered) and not any(name in names for names in offered)


def action_of(key: str, actions: Iterable[Action]) -> Action | None:
    """The setting that a key is of: itself, or the one that the key is a part of."""
    found = [action for action in actions if f"{key}.".startswith(f"{action.dest}.") and known_classes(action)]
    return max(found, key=lambda action: len(action.dest), default=None)


def _of_value(key: str, message: str, actions: Sequence[Action]) -> str:
    """One line on a value that its setting may not have."""
    text = " ".join(message.split())
    if "Does not validate against any of the Union" in text:
        return _of_no_type(key, message, actions)
    if match := re.match(r"Expected a dot import path string: (\S+)", text):
        return _no_class(key, match[1], actions)
    if match := re.search(r"Expected '(\S+)' to be a subclass of <class '(\w+)'>", text):
        return f"{key}: {match[1]} is no subclass of {match[2]}"
    if match := re.match(r"Import path (\S+) does not correspond to a subclass of (\w+)", text):
        return f"{key}: {match[1]} is no subclass of {match[2]}"
    if match := re.match(r"Type .* expects a function or a callable class: .*Got value: (\S+)", text):
        return f"{key} needs a class, not null" if match[1] == "None" else _no_class(key, match[1], actions)
    if match := re.match(r"Unable to load config '(.*?)'|Subclasses are disabled for .* thus '(\S+)' is not", text):
        value = match[1] or match[2]
        return f"{key} has settings of its own, such as --{key}.NAME VALUE, or is a YAML file of them, not {value!r}"
    if match := re.match(r"(Expected a .*?)\. Got value: (.*)", text):
        return f"{key}: Expected {_types([match[1]])}. Got value: {match[2]}"
    return f"{key}: {text}"


def _of_no_type(key: str, message: str, actions: Sequence[Action]) -> str:
    """One line on a value that is of none of the types that its setting may have, from what the parser says of each."""
    reasons = [" ".join(reason.split()) for reason in re.findall(r"^    - (.*(?:\n {5,}.*)*)", message, re.MULTILINE)]
    value = message.rpartition("Given value: ")[2]
    plain = [reason for reason in reasons if reason.startswith(("Expected a <class", "Expected a typing.Literal"))]
    told = [reason for reason in reasons if reason not in plain]
    is_simple = any(re.search(r"'(int|float|str|bool)'|Literal", reason) for reason in plain)
    no_class = all(reason.startswith("Expected a dot import path string") for reason in told)
    if not told or (no_class and is_simple):
        return f"{key}: Expected {_types(plain)}. Got value: {value}"
    reason = told[0]
    lacking = re.match(r"the following arguments are required: (.*)", reason)
    if lacking and (match := re.search(r"class_path='[\w.]*?(\w+)'", value)):
        return (
            f"{key}: {match[1]} needs {lacking[1].replace(', ', ' and ')}, as --{key}.{lacking[1].split(',')[0]} VALUE"
        )
    if match := re.fullmatch(r"Option '(\w+)' is not accepted", reason):
        return no_argument(f"{key}.{match[1]}")
    if match := re.match(r"Expected a dot import path string: (\S+)", reason):
        return _no_class(key, match[1], actions)
    if match := re.match(r"Import path( \S+)? does not correspond to a subclass of (\w+)", reason):
        bases = re.findall(r"does not correspond to a subclass of (\w+)", "\n".join(told))
        return f"{key}: {(match[1] or value).strip()} is no subclass of {' or '.join(dict.fromkeys(bases))}"
    if match := re.match(r"([\w.]+: )?(Expected a .*?)\. Got value: (.*)", reason):
        reason = f"{match[1] or ''}Expected {_types([match[2]])}. Got value: {match[3]}"
    is_of_part = value.startswith("NestedArg") or re.match(r"\w+: Expected ", reason)
    return f"{key}.{reason}" if is_of_part else f"{key}: {reason}"


def _types(reasons: Iterable[str]) -> str:
    """The types that the parser expected, as one would write them: ``int or null``, ``one of max, min``."""
    names: list[str] = []
    choices: list[str] = []
    for reason in reasons:
        if match := re.match(r"Expected a typing\.Literal\[(.*)\]", reason):
            choices += [choice.strip("' ") for choice in match[1].split(",")]
        else:
            names.append(re.sub(r"Expected a <class '(.*)'>", r"\1", reason).replace("NoneType", "null"))
    if choices:
        names.insert(0, f"one of {', '.join(dict.fromkeys(choices))}")
    return " or ".join(names)


def _no_class(key: str, name: str, actions: Sequence[Action]) -> str:
    """That there is no such class, with the nearest, or with all if they are few."""
    action = action_of(key, actions)
    bases = re.findall(r"\w+", str(getattr(action, "_typehint", "")))
    classes = sorted({path.rpartition(".")[2] for path in known_classes(action)}.difference(bases))
    close = registry.nearest(name.rpartition(".")[2], classes)
    listed = f" (there are: {', '.join(classes)})" if classes and not close and len(classes) <= MOST_CLASSES else ""
    return f"{key}: there is no class {name}{close}{listed}"
