"""Scores of outputs: each metric names the kind of output it needs."""

from seqlab.metrics.accuracy import Accuracy
from seqlab.metrics.base import Metric
from seqlab.metrics.bleu import BLEU
from seqlab.metrics.perplexity import Perplexity
from seqlab.metrics.text_size import BitsPerByte, WordPerplexity

__all__ = ["BLEU", "Accuracy", "BitsPerByte", "Metric", "Perplexity", "WordPerplexity"]
