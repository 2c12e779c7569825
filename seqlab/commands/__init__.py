"""One file per command, and the parser they share.

A command's module imports torch only inside the functions that need it.
"""

import argparse
from typing import Any, NoReturn

from seqlab.errors import UserError


class Arguments(argparse.ArgumentParser):
    """An argparse parser that reports an error as one line."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} -h)")
