"""Where modules lie and what they say of themselves, read without importing them."""

import ast
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path


def find_module(module: str) -> ModuleSpec | None:
    """Where a module would be loaded from.

    Unlike :func:`importlib.util.find_spec` it does not import the packages above it, which may import anything.
    """
    path, spec = None, None
    parts = module.split(".")
    try:
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            found = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            spec = next(filter(None, found), None)
            path = spec.submodule_search_locations if spec else None
            if path is None:
                return spec if count == len(parts) else None
    except KeyError:  # a folder without __init__.py inside a package looks the package up among the imported ones
        return importlib.util.find_spec(module)
    return spec


def module_folders(module: str) -> list[Path]:
    """The folders of a package, or the one that a module lies in; none if there is no such module."""
    spec = find_module(module)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin).parent] if spec.has_location and spec.origin else []


def class_summary(module: str, name: str) -> str:
    """The first line of a class' docstring, empty if there is none.

    A package that imports the class from a module of its own is followed there.

    Raises:
        ImportError: There is no such module.
        Exception: Whatever a file that is no Python raises.
    """
    spec = find_module(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"module {module} is missing")
    if not spec.origin.endswith(".py"):
        return ""
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                    return class_summary(origin, alias.name)
    return ""
