"""Names of cells and recipes, read from entry points; nothing is imported until a name is asked for.

A package offers a cell or a recipe by an entry point of the group ``seqlab.cells`` or ``seqlab.recipes``;
the built-in ones use the same door. A cell's entry point names its class. A recipe's names a package that
holds ``NAME.yaml``. A notebook, which is no package, registers its cells for its own process.

A name that two distributions offer is nobody's, and only who asks for that name is told so.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from importlib import import_module
from importlib.metadata import Distribution, entry_points
from itertools import takewhile
from pathlib import Path
from typing import Any

from seqlab.errors import UserError
from seqlab.sources import class_summary, module_folders

CELLS, RECIPES = "cells", "recipes"
MOST_LISTED = 20
"""Names in a message; the command that lists them all knows the rest."""
GROUPS = {kind: f"seqlab.{kind}" for kind in (CELLS, RECIPES)}


@dataclass(frozen=True)
class Offer:
    """A name, what it stands for, and who offers it.

    Args:
        name: The name.
        value: ``module:Class`` of a cell, the package of a recipe.
        dist: The distribution that offers it; None for a cell that was registered in this process.
        cell: The class of a cell that was registered in this process.
        rivals: The others that offer the same name.
    """

    name: str
    value: str
    dist: Distribution | None = None
    cell: type | None = None
    rivals: tuple["Offer", ...] = ()

    @property
    def module(self) -> str:
        """The module or package that the name stands for."""
        return self.value.partition(":")[0].strip()

    @property
    def attr(self) -> str:
        """The class in the module, without the extras that an entry point may ask for."""
        return self.value.partition(":")[2].partition("[")[0].strip()

    def load(self) -> Any:
        """Imports what the name stands for; raises whatever that raises."""
        if self.cell is not None:
            return self.cell
        return reduce(getattr, filter(None, self.attr.split(".")), import_module(self.module))


_registered: dict[str, Offer] = {}
_loaded: dict[type, Offer] = {}
"""By which name a class was asked for."""


def names(kind: str) -> dict[str, Offer]:
    """Everything that is offered, by name, sorted; a name that is offered twice has rivals."""
    offers = [Offer(point.name, point.value, point.dist) for point in entry_points(group=GROUPS[kind])]
    found: dict[str, dict[tuple[str, str], Offer]] = {}
    for offer in [*offers, *(_registered.values() if kind == CELLS else ())]:
        found.setdefault(offer.name, {}).setdefault((origin(offer), offer.value), offer)
    return {
        name: replace(first, rivals=tuple(rivals))
        for name, (first, *rivals) in sorted((name, [of[key] for key in sorted(of)]) for name, of in found.items())
    }


def find(kind: str, name: str) -> Offer:
    """Who offers a name.

    Raises:
        UserError: Nobody does, and the nearest name is suggested; or several do, and all are named.
    """
    known = names(kind)
    if name not in known:
        rest = f", and {len(known) - MOST_LISTED} more: seqlab {kind}" if len(known) > MOST_LISTED else ""
        listed = ", ".join(list(known)[:MOST_LISTED])
        raise UserError(f"no {kind[:-1]} named {name!r}{nearest(name, known)} (installed: {listed}{rest})")
    offer = known[name]
    if offer.rivals:
        raise UserError(
            f"{kind[:-1]} {name!r} is offered by {origin(offer)}, so none of them gets it; uninstall all but one"
        )
    return offer


def load(kind: str, name: str) -> Any:
    """Imports what a name stands for.

    Raises:
        UserError: The name is unknown or offered twice, or cannot be imported; the message names the distribution.
    """
    offer = find(kind, name)
    try:
        thing = offer.load()
    except (Exception, SystemExit) as error:  # whatever a plugin raises when it is imported
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{credit(offer, kind[:-1])} could not be imported: {reason}") from error
    if isinstance(thing, type):
        _loaded[thing] = offer
    return thing


def offer_of(cell: type) -> Offer | None:
    """The offer that a class came by, or that names it; None for a class that nobody offers."""
    value = f"{cell.__module__}:{cell.__qualname__}"
    return _loaded.get(cell) or next((offer for offer in names(CELLS).values() if offer.value == value), None)


def register(offer: Offer) -> None:
    """Offers a cell in this process; again under the same name replaces it, as a notebook runs a cell twice.

    Raises:
        UserError: A distribution offers the name.
    """
    other = names(CELLS).get(offer.name)
    owner = next((each for each in (other, *other.rivals) if each.dist), None) if other else None
    if owner is not None:
        raise UserError(f"the name {offer.name!r} is taken: it is a cell of {origin(owner)}; take another one")
    _registered[offer.name] = offer


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where a known name is close, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def origin(offer: Offer) -> str:
    """The distribution and version behind an offer, such as ``seqlab 0.1.0``; all of them if it has rivals."""
    if offer.rivals:
        return " and ".join(origin(replace(each, rivals=())) for each in (offer, *offer.rivals))
    if offer.dist is None:
        return f"registered in this process (module {offer.module})"
    return f"{offer.dist.name} {offer.dist.version}"


def credit(offer: Offer, what: str = "") -> str:
    """``gru of seqlab 0.1.0``, or ``cell 'gru' of seqlab 0.1.0`` where ``what`` is ``cell``."""
    label = f"{what} {offer.name!r}" if what else offer.name
    return f"{label} of {origin(offer)}" if offer.dist else f"{label} {origin(offer)}"


def recipe_path(name: str) -> Path:
    """The YAML file of a recipe.

    Args:
        name: A path that ends in ``.yaml`` or ``.yml``, or the name of an installed recipe.

    Raises:
        UserError: There is no such file or recipe, or its distribution lacks the file.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"no recipe file {name} (an installed recipe has no ending: seqlab recipes lists them)")
        return Path(name)
    offer = find(RECIPES, name)
    reason = f"package {offer.module} holds no {name}.yaml"
    try:
        for folder in module_folders(offer.module):
            if (folder / f"{name}.yaml").is_file():
                return folder / f"{name}.yaml"
    except Exception as error:  # whatever looking for a plugin's package raises
        reason = " ".join(str(error).split()) or type(error).__name__
    raise UserError(f"{credit(offer, 'recipe')} is broken: {reason}")


def describe(kind: str, offer: Offer) -> str:
    """One line about a cell or recipe, read from its source without importing it.

    A cell's is the first line of its class docstring, a recipe's the first sentence of its file, a comment.
    """
    if offer.rivals:
        every = "both" if len(offer.rivals) == 1 else f"all {len(offer.rivals) + 1}"
        return f"(offered by {every}: none of them gets the name; uninstall all but one)"
    try:
        if kind == RECIPES:
            lines = recipe_path(offer.name).read_text(encoding="utf-8").splitlines()
            comment = takewhile(lambda line: re.match("# *[^ #]", line), lines)
            return _first_sentence(" ".join(line.lstrip("# ") for line in comment))
        if offer.cell is not None:
            return (offer.cell.__doc__ or "").strip().partition("\n")[0]
        return class_summary(offer.module, offer.attr)
    except UserError as error:
        return str(error)
    except Exception as error:  # whatever a plugin's files hold: one must not end the list
        return f"(broken: {' '.join(str(error).split()) or type(error).__name__})"


def _first_sentence(text: str) -> str:
    """Text to the first end of a sentence, which initials are not."""
    end = re.search(r"(?<!\b[A-Z])[.?!](?=\s+[A-Z])", text)
    return " ".join((text[: end.end()] if end else text).split())


def plugins() -> dict[str, Distribution]:
    """Every distribution that offers a cell or a recipe, seqlab among them, by its name."""
    points = [point for group in GROUPS.values() for point in entry_points(group=group)]
    return {point.dist.name: point.dist for point in points if point.dist}


def packages(dist: Distribution) -> set[str]:
    """The top-level packages and modules of a distribution.

    Those that it lists or has files of; an editable install may have neither, so also those its entry points name.
    """
    listed = (dist.read_text("top_level.txt") or "").split()
    files = [file.parts[0].removesuffix(".py") for file in dist.files or () if file.suffix == ".py"]
    named = [
        Offer("", point.value).module.partition(".")[0] for point in dist.entry_points if point.group in GROUPS.values()
    ]
    return {name for name in (*listed, *files, *named) if name.isidentifier()}


def plugin_packages() -> set[str]:
    """Top-level packages of every distribution that offers a cell or a recipe."""
    return {package for dist in plugins().values() for package in packages(dist)}
