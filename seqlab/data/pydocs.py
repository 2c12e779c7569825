"""The built-in corpus of running text: the Python language reference that comes with every interpreter.

These are the topics of ``help()``. Some are parts of others, word for word: those are left out, else the text of a
validation would also be trained on. The text is that of the interpreter that runs, so scores compare within one minor
version of Python.
"""

from seqlab.errors import UserError

HELD_OUT = {
    "val": ("bltin-code-objects", "comparisons", "import", "numbers", "typesmapping", "yield"),
    "test": ("binary", "calls", "execmodel", "raise", "strings", "subscriptions"),
}
"""The topics of each split but ``train``, about a tenth of the text each. Named rather than drawn, since topics are few
and very unequal."""


def pydocs(split: str) -> list[str]:
    """The topics of a split, by name; each is a document of many lines, without spaces at their ends.

    Raises:
        UserError: This Python comes without the topics.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError("pydocs: this Python comes without pydoc_data.topics; give files of your own") from error
    paragraphs = {name: _paragraphs(text) for name, text in topics.items()}

    def in_another(name: str) -> bool:
        """Whether more than half of a topic stands in a longer one."""
        own, size = paragraphs[name], (len(topics[name]), name)
        longer = (paragraphs[other] for other in topics if (len(topics[other]), other) > size)
        return any(2 * _length(own & others) > _length(own) for others in longer)

    held_out = {name: part for part, names in HELD_OUT.items() for name in names}
    chosen = [name for name in sorted(topics) if held_out.get(name, "train") == split and not in_another(name)]
    return ["\n".join(line.rstrip() for line in topics[name].strip("\n").split("\n")) for name in chosen]


def _paragraphs(text: str) -> set[str]:
    return {paragraph.strip() for paragraph in text.split("\n\n")}


def _length(paragraphs: set[str]) -> int:
    return sum(map(len, paragraphs))
