"""What ``seqlab compare`` does: cells trained on the same data, plan and budget, and what came of them."""
