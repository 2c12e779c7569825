"""LightningModules: what is trained, scored and used."""

from seqlab.tasks.base import Task
from seqlab.tasks.language_model import LanguageModel
from seqlab.tasks.probe import SequenceProbe
from seqlab.tasks.translation import Translation

__all__ = ["LanguageModel", "SequenceProbe", "Task", "Translation"]
