"""A run on disk, and the task that it trained."""

from seqlab.runs.directory import Run, is_first_process
from seqlab.runs.loading import default_device, load, read_source, rebuild, restore

__all__ = ["Run", "default_device", "is_first_process", "load", "read_source", "rebuild", "restore"]
