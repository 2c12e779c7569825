"""Where translations looked, as pictures in a folder (``seqlab translate --attention``)."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seqlab.errors import UserError
from seqlab.files import refusal

if TYPE_CHECKING:
    from seqlab.tasks.attention_maps import AttentionMap

log = logging.getLogger("seqlab")


class Heatmaps:
    """A folder that gets a picture and its numbers for each line.

    Args:
        folder: The folder; made if there is none.

    Raises:
        UserError: It cannot be made or written to.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._drawn: list[int] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder}: {error.strerror}") from error
        if why := refusal(folder):
            raise UserError(f"cannot write to {folder}: {why}")

    def write(self, maps: "Iterable[AttentionMap | None]", first: int) -> None:
        """Writes what there is of each line.

        Args:
            maps: Of one line after the other; None of a line without a translation.
            first: Number of the first line.

        Raises:
            UserError: It cannot be written.
        """
        for number, attention in enumerate(maps, first):
            try:
                if attention is not None:
                    attention.write(self.folder, number)
                    self._drawn.append(number)
            except OSError as error:
                raise UserError(f"cannot write to {self.folder}: {error.strerror or error}") from error

    def tell(self) -> None:
        """Says what was written of which lines."""
        if not self._drawn:
            told = f"nothing into {self.folder}, since no line has a translation"
        elif len(self._drawn) == 1:
            told = f"{self.folder / f'{self._drawn[0]:06d}.png'} and .json, where the translation looked"
        else:
            told = (
                f"{len(self._drawn):,} heatmaps into {self.folder}, {self._drawn[0]:06d}.png to "
                f"{self._drawn[-1]:06d}.png, with the numbers of each in a .json beside it"
            )
        log.info("written: %s", told)
