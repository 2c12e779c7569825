"""What ``seqlab evaluate`` does: scores of a run with intervals, their record, and the comparison of several runs."""
