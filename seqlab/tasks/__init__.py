"""LightningModules: what is trained, scored and used."""

from seqlab.tasks.base import Task
from seqlab.tasks.translation import Translation

__all__ = ["Task", "Translation"]
