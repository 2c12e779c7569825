"""Lines that are too long to be read, or longer than what a model has learnt from: that is said at once."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqlab.errors import UserError

if TYPE_CHECKING:
    from seqlab.data.tokenizers import Tokenizer

log = logging.getLogger("seqlab")

LONGEST = 5000
"""Tokens: a few pages, which takes a minute. With sentences of training of 100 tokens, far less is of use."""
MOST_TOLD = 10
"""Cut lines that are named."""
WIDEST = 4
"""Bytes of a character."""


def check_length(tokenizer: "Tokenizer", text: str, most: int, name: str) -> None:
    """Makes sure that a text that is no use in part is not too long.

    Args:
        tokenizer: The tokenizer of its side.
        text: The text.
        most: The most tokens that it may have.
        name: What to call it.

    Raises:
        UserError: It has more.
    """
    # There are no more tokens than bytes, so that few texts need be encoded here.
    if WIDEST * len(text) > most and (count := len(tokenizer.encode(text))) > most:
        raise UserError(f"{name} has {count:,} tokens, and {most:,} are the most (--max_input_length); split it")


class LongLines:
    """Cuts lines to a number of tokens: what reads a sentence at a time is of no use for more, and takes for ever.

    Args:
        tokenizer: The tokenizer of the source side.
        most: The most tokens that are kept of a line.
        learnt: The most tokens of a sentence that the model was trained on; None if that is not known.
    """

    def __init__(self, tokenizer: "Tokenizer", most: int, learnt: int | None):
        self.tokenizer, self.most, self.learnt = tokenizer, most, learnt
        self._cut = 0
        self._told = False

    def shorten(self, lines: Sequence[str], first: int) -> list[str]:
        """The lines, long ones cut before white space where there is some.

        Args:
            lines: The lines.
            first: Number of the first, for messages.
        """
        shortest = min(self.most, self.learnt or self.most)
        # There are no more tokens than bytes, so that few lines need be encoded here.
        return [
            line if WIDEST * len(line) < shortest else self._shortened(line, number)
            for number, line in enumerate(lines, first)
        ]

    def tell(self) -> None:
        """Says how many lines were cut without being named."""
        if self._cut > MOST_TOLD:
            log.warning("stdin: %s lines were cut in all", f"{self._cut:,}")

    def _shortened(self, line: str, number: int) -> str:
        count = len(self.tokenizer.encode(line))
        if self.learnt is not None and count > self.learnt and not self._told:
            log.warning(
                "stdin, line %s: %s tokens, but the model has learnt from sentences of at most %s (data.max_length): "
                "give a sentence a line",
                *(f"{value:,}" for value in (number, count, self.learnt)),
            )
            self._told = True
        if count <= self.most:
            return line
        self._cut += 1
        if self._cut <= MOST_TOLD:
            log.warning(
                "stdin, line %s: only the first %s of its %s tokens are translated (--max_input_length)",
                *(f"{value:,}" for value in (number, self.most, count)),
            )
        return self._begin(line)

    def _begin(self, line: str) -> str:
        """The longest begin of a line that has no more tokens than are kept."""
        fits, beyond = 0, len(line)
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if len(self.tokenizer.encode(line[:middle])) <= self.most:
                fits = middle
            else:
                beyond = middle
        return line[:fits] if line[fits].isspace() else line[:fits].rpartition(" ")[0] or line[:fits]
