"""``seqlab fit`` with a loss that fails on some devices: ``spoiled_fit.py [FLAGS OF seqlab fit ...]``.

``SPOIL=RANK:FIRST:LAST:HOW`` spoils a rank's losses of the steps FIRST to LAST: HOW is ``nan``, ``inf`` (with a
gradient that is finite) or ``memory`` (there is too little of it).
"""

import math
import os
import sys
from typing import Any

import torch
from torch import Tensor

from seqlab.cli import main
from seqlab.tasks import LanguageModel, Translation

RANK, FIRST, LAST, HOW = (os.environ.get("SPOIL") or "-1:0:0:none").split(":")


def spoil(task: Any) -> None:
    """Makes a task's loss fail as asked for."""
    original = task.loss

    def loss(self: Any, batch: Any) -> Tensor:
        total = original(self, batch)
        if self.global_rank != int(RANK) or not int(FIRST) <= self.global_step <= int(LAST):
            return total
        if HOW == "memory":
            raise torch.OutOfMemoryError("on purpose")
        return total + math.inf if HOW == "inf" else total * math.nan

    task.loss = loss


if __name__ == "__main__":
    spoil(Translation)
    spoil(LanguageModel)
    sys.exit(main(["fit", *sys.argv[1:]]))
