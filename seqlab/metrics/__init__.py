"""Scores of outputs: each metric names the kind of output it needs."""

from seqlab.metrics.accuracy import Accuracy
from seqlab.metrics.base import Metric
from seqlab.metrics.bleu import BLEU
from seqlab.metrics.perplexity import Perplexity

__all__ = ["BLEU", "Accuracy", "Metric", "Perplexity"]
