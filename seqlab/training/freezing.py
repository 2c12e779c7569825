"""Parameters by name: which a pattern means, and which are not trained."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from seqlab.errors import UserError
from seqlab.registry import nearest

MOST_GROUPS = 12


def matching(names: Iterable[str], patterns: Sequence[str], setting: str) -> list[str]:
    """The names that one of several shell-style patterns matches, in their own order.

    Args:
        names: The names there are, with dots between their parts.
        patterns: Patterns such as ``network.encoder.*``.
        setting: Where the patterns come from, for the message.

    Raises:
        UserError: A pattern matches none of them.
    """
    names = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = [name.split(".") for name in names]
            shown = sorted({f"{'.'.join(name[:2])}{'.*' if len(name) > 2 else ''}" for name in parts})
            rest = ", ..." if len(shown) > MOST_GROUPS else ""
            raise UserError(
                f"{setting}: no parameter is named {pattern}{_meant(pattern, names)} "
                f"(there are: {', '.join(shown[:MOST_GROUPS])}{rest})"
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _meant(pattern: str, names: Sequence[str]) -> str:
    """What may have been meant: the nearest name or group, the pattern with any text around it, or the nearest part."""
    parts = [name.split(".") for name in names]
    groups = [f"{'.'.join(name[:depth])}.*" for depth in (2, 3, 1, 4) for name in parts if depth < len(name)]
    if close := nearest(pattern, dict.fromkeys([*names, *groups])):
        return close
    around = f"*{pattern.strip('*')}*"
    if matched := [name for name in names if fnmatchcase(name, around)]:
        more = f" and {len(matched) - 1} more" if len(matched) > 1 else ""
        return f"; did you mean {around!r}, which is {matched[0]}{more}?"
    words = {part: f"*{part}*" for name in parts for part in name if not part.isdigit()}
    return nearest(around, words.values())


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a module that are not frozen, by name; shared ones once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def freeze(module: nn.Module, patterns: Sequence[str]) -> None:
    """Takes the gradient from the parameters that patterns match; a shared one if any of its names matches.

    Buffers, such as the running statistics of a batch normalisation, are no parameters: they go on.

    Raises:
        UserError: A pattern matches no parameter, or nothing is left to train.
    """
    named = dict(module.named_parameters(remove_duplicate=False))
    for name in matching(named, patterns, "training.freeze"):
        named[name].requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in named.values()):
        raise UserError(f"training.freeze: {', '.join(patterns)} leaves no parameter to train")
