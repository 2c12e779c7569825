"""Scores of outputs: each metric names the kind of output it needs."""

from seqlab.metrics.accuracy import Accuracy
from seqlab.metrics.answers import AnswerAccuracy, AnswerPerplexity
from seqlab.metrics.base import Metric
from seqlab.metrics.bleu import BLEU, BrevityPenalty, LengthRatio
from seqlab.metrics.chrf import CHRF
from seqlab.metrics.perplexity import Perplexity
from seqlab.metrics.sequence_accuracy import SequenceAccuracy
from seqlab.metrics.squared_error import MeanSquaredError
from seqlab.metrics.ter import TER
from seqlab.metrics.text_size import BitsPerByte, WordPerplexity

__all__ = [
    "BLEU",
    "CHRF",
    "TER",
    "Accuracy",
    "AnswerAccuracy",
    "AnswerPerplexity",
    "BitsPerByte",
    "BrevityPenalty",
    "LengthRatio",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "SequenceAccuracy",
    "WordPerplexity",
]
