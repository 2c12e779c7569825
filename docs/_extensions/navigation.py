"""The order of the pages, and titles as the text of links: here and not in the pages, which so stay plain Markdown."""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PARTS = {
    "Begin": ["quickstart", "own-text", "new-cell", "Tutorial <tutorial>", "reading"],
    "Use": ["translation", "language-models", "evaluation", "runs", "several-devices"],
    "Compare": ["comparison", "six-cells", "diagnosis", "report", "results"],
    "Extend": ["cells", "new-task"],
    "Rely on": ["reliability", "hostile-input"],
    "Look up": ["api"],
}


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Ends index.md with a table of contents for the sidebar, and api.md with that of the generated pages."""
    if page == "index":
        for title, pages in PARTS.items():
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])
    if page == "api":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\napi/*\n```\n"


def show_titles(app: Sphinx, document: nodes.document) -> None:
    """Shows a link that reads ``runs.md`` as the title of what it leads to."""
    for link in document.findall(addnodes.pending_xref):
        if link.get("reftype") == "myst" and link.astext().endswith(".md"):
            link["refexplicit"] = False


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", add_navigation)
    app.connect("doctree-read", show_titles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
