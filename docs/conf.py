"""How `make site` builds the pages of this folder, and the reference from the docstrings, with Sphinx."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "seqlab"
author = "The seqlab authors"
release = installed_version("seqlab")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "navigation",
    "reference",
]
exclude_patterns = ["_extensions"]
html_static_path = ["_static"]
html_css_files = ["site.css"]

# The pages are plain Markdown, which a source forge shows as well. Headings are anchors as they are there.
myst_heading_anchors = 3
# Indented blocks are commands and what they print, in no one language.
highlight_language = "none"

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "ignore-module-all": True,
}
# Without it every `forward` would carry torch's own docstring.
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
# Each name is in the reference where it is defined.
viewcode_follow_imported_members = False
python_maximum_signature_line_length = 100

# A name in a docstring or signature that leads nowhere is a warning, and `make site` fails on one.
nitpicky = True
nitpick_ignore_regex = [
    # Of other packages and of Python itself: their inventories would have to be downloaded.
    (r"py:.*", r"(torch|torchmetrics|lightning|datasets|jsonargparse|numpy|pyarrow|sacrebleu|tqdm|yaml)\..*"),
    (
        r"py:.*",
        r"(abc|argparse|collections|datetime|importlib|_frozen_importlib|inspect|io|logging|os|pathlib|signal|threading|typing)\..*",
    ),
    # A private base class, and a type that is imported for annotations alone.
    (r"py:class", r"seqlab\..*\._\w+|Figure|Axes"),
    # Type variables, which are no objects of the reference.
    (r"py:(class|obj)", r"seqlab\.(decoding\.stepper\.S|cell_names\.Cell|data\.ahead\.Made)"),
]

html_theme = "furo"
html_title = f"seqlab {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
# In the contents of a page of the reference, `step()` and not the whole path of it.
toc_object_entries_show_parents = "hide"
