"""The classic synthetic tasks, each of which asks one thing of a memory."""

from seqlab.data.probes.adding import AddingProblem
from seqlab.data.probes.base import Probe
from seqlab.data.probes.brackets import Brackets
from seqlab.data.probes.copying import CopyingMemory
from seqlab.data.probes.recall import DelayedRecall

__all__ = ["AddingProblem", "Brackets", "CopyingMemory", "DelayedRecall", "Probe"]
