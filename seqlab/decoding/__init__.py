"""Searching for the best output of a model: greedy and beam search over one stepper."""
