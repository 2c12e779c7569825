"""How a cell is run over a sequence: unrolling and its engines, lengths and reversal, stacks of layers."""
