"""Cells on their engines, timed in turns with torch.nn's own kernels: who runs, the measuring, what came of it."""
