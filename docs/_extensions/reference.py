"""The reference from the docstrings: a page for each package of seqlab, written before every build.

What is in the tree is in the reference, so a new module cannot be forgotten. Links of pages to source files, which a
source forge follows, lead to the module in the reference.
"""

import builtins
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util import logging, osutil

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("seqlab.__main__.", "seqlab.cli.", "seqlab.commands.")
"""The command line, whose reference is ``seqlab COMMAND -h``."""

ATTRIBUTES = ("attribute", "data", "property")

log = logging.getLogger(__name__)


def module_of(path: Path) -> str:
    """The name of the package or module that is a folder or file of the tree."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules() -> list[str]:
    """Names of all packages and modules of the reference, a package before what is in it."""
    names = [module_of(path) for path in sorted((ROOT / "seqlab").rglob("*.py"))]
    return [name for name in names if not f"{name}.".startswith(LEFT_OUT)]


def page_of(module: str) -> str:
    """The package whose page holds a module."""
    path = ROOT.joinpath(*module.split("."))
    return module if path.is_dir() else module.rpartition(".")[0]


def write_pages(app: Sphinx) -> None:
    """Writes ``api/PACKAGE.rst`` for each package, and removes pages of packages that are gone."""
    pages: dict[str, list[str]] = {}
    for name in modules():
        lines = pages.setdefault(page_of(name), [])
        title = name.removeprefix("seqlab.") if lines else name
        lines += [title, ("-" if lines else "=") * len(title), "", f".. automodule:: {name}", ""]
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for name, lines in pages.items():
        path, text = folder / f"{name}.rst", "\n".join(lines)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def link_sources(app: Sphinx, document: nodes.document) -> None:
    """Turns links to files and folders outside of docs/: of seqlab into the reference, of others into plain text.

    A link whose text is the name of a file leads to its code, one whose text is a name in that module to that name.
    """
    links = [*document.findall(addnodes.download_reference), *document.findall(addnodes.pending_xref)]
    known = set(modules())
    for link in links:
        if link.get("reftype") != "myst" or not link["reftarget"].startswith("../"):
            continue
        path = (Path(app.srcdir) / link["reftarget"]).resolve()
        if not path.exists():
            log.warning("no such file or folder: %s", link["reftarget"], location=link)
        module, name = module_of(path), link.astext().rpartition(".")[2]
        if module in known and link.astext().endswith(".py"):
            page = f"{osutil.relative_uri(app.env.docname, '_modules/')}{module.replace('.', '/')}.html"
            link.replace_self(nodes.reference("", "", *link.children, refuri=page, internal=True))
        elif module in known:
            target = f"{module}.{name}" if hasattr(import_module(module), name) else module
            where = {"refdomain": "py", "reftype": "obj", "reftarget": target, "refdoc": app.env.docname}
            link.replace_self(addnodes.pending_xref("", *link.children, refexplicit=True, refwarn=True, **where))
        else:
            link.replace_self(link.children)


def plain_builtins(app: Sphinx, document: nodes.document) -> None:
    """Keeps a type such as ``bytes`` in a signature from becoming a link to some attribute of that name."""
    for link in list(document.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "py" and hasattr(builtins, link["reftarget"]):
            link.replace_self(link.children)
    for paragraph in list(document.findall(nodes.paragraph)):
        if paragraph.astext() == "Bases: object":
            paragraph.parent.remove(paragraph)


def keep_attribute(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Reads the docstring of an attribute like any other: napoleon takes what stands before a colon for its type."""
    if kind in ATTRIBUTES:
        read = GoogleDocstring(lines, app.config, app, "method", name, value, options)
        app.env.temp_data["attribute"] = read.lines()


def restore_attribute(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Puts back what :func:`keep_attribute` read, after napoleon."""
    if kind in ATTRIBUTES:
        lines[:] = app.env.temp_data.pop("attribute")


def readable_defaults(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Writes ``...`` for a default that a dataclass makes anew: as ``<factory>`` the signature is no Python."""
    return arguments and arguments.replace("<factory>", "..."), result


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    app.connect("doctree-read", link_sources)
    app.connect("doctree-read", plain_builtins)
    app.connect("autodoc-process-signature", readable_defaults)
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)
    app.connect("autodoc-process-docstring", restore_attribute, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
