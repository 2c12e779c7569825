"""What a recurrent cell computes: the contract in :mod:`seqlab.cells.base`, one file per cell."""
