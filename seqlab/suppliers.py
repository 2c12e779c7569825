"""Which plugins supplied what a run was trained with, and whether they are here when it is loaded.

Every checkpoint says so, as plain text: the distribution and its version by what they supplied, which is
``cell coupled-lstm``, ``my_classifier.Classifier`` or ``recipe classify``. For a cell that was registered in its own
process the distribution is empty, and the version is the module.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from seqlab import registry
from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError


def find_suppliers(task: Any, config: str, recipe: registry.Offer | None = None) -> dict[str, list[str]]:
    """What plugins supplied: everything that is not of seqlab or what it stands on.

    Args:
        task: The task, for the cells in it.
        config: The whole configuration as YAML text, for the classes and functions that it names.
        recipe: The installed recipe that it came from.
    """
    cells = {type(module) for module in task.modules() if isinstance(module, RecurrentCell)}
    offers = [("cell", registry.offer_of(cell)) for cell in cells] + [("recipe", recipe)]
    found = {f"{kind} {offer.name}": _supplier(offer) for kind, offer in offers if offer}
    plugins = [(dist, registry.packages(dist)) for dist in registry.plugins().values()]
    for path in _strings(yaml.safe_load(config)):
        module, _, name = path.rpartition(".")
        dists = [dist for dist, packages in plugins if module.partition(".")[0] in packages]
        if dists and hasattr(sys.modules.get(module), name):  # else it only looks like the path of a class
            files = {f"{module.replace('.', '/')}{end}" for end in (".py", "/__init__.py")}
            # Several distributions may share a package; then it is the one with the module's file.
            dist = max(dists, key=lambda dist: any(file.as_posix() in files for file in dist.files or ()))
            found[path] = [dist.name, dist.version]
    return {what: found[what] for what in sorted(found) if found[what][0] != "seqlab"}


def check_suppliers(run: str, suppliers: Mapping[str, list[str]]) -> list[str]:
    """Makes sure that what supplied a run is here.

    Args:
        run: The run, for the messages.
        suppliers: What :func:`find_suppliers` found when it was trained.

    Returns:
        A line for everything that is not the same any more.

    Raises:
        UserError: A distribution is not installed, or a cell is not registered.
    """
    cells = registry.names(registry.CELLS)
    missing: dict[str, list[str]] = {}
    changes: list[str] = []
    for supplied, (distribution, trained) in suppliers.items():
        kind, _, name = supplied.partition(" ")
        what = f"{kind} {name!r}" if name else kind
        here = cells.get(name) if kind == "cell" else None
        if kind == "recipe":  # the run holds all that the recipe said
            continue
        if not distribution and here is None:
            raise UserError(
                f"{run} needs {what}, which was registered in its process (module {trained}): "
                "register it with seqlab.register_cell first"
            )
        if here is not None and bool(distribution) != bool(here.dist):
            before = f"of {distribution} {trained}" if distribution else f"registered in its process (module {trained})"
            changes.append(f"{run} was trained with {what} {before}, here is {registry.credit(here, kind)}")
        elif distribution and (installed := _version(distribution)) is None:
            missing.setdefault(f"{distribution} {trained}", []).append(what)
        elif distribution and installed != trained:
            changes.append(f"{run} was trained with {distribution} {trained}, installed is {installed}")
    if missing:
        needs = ", ".join(f"{' and '.join(parts)} of {which}" for which, parts in missing.items())
        raise UserError(f"{run} needs {needs}: pip install {' '.join(which.replace(' ', '==') for which in missing)}")
    return list(dict.fromkeys(changes))


def _supplier(offer: registry.Offer) -> list[str]:
    return [offer.dist.name, offer.dist.version] if offer.dist else ["", offer.module]


def _version(distribution: str) -> str | None:
    """The version that is installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _strings(values: Any) -> Iterator[str]:
    """Every text in nested settings."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _strings(value)
