"""Accuracy and perplexity of answers, each given to a whole input, as those of a probe are.

Unlike tokens of a text they are not fed back to the network, and no end of a sequence is among them.
"""

from seqlab.metrics.accuracy import Accuracy
from seqlab.metrics.perplexity import Perplexity


class AnswerAccuracy(Accuracy):
    """Share of answers, in percent, that were the likeliest."""

    def signature(self) -> str:
        return "per:answer"


class AnswerPerplexity(Perplexity):
    """``exp`` of the mean negative log-likelihood of an answer: guessing among n gives n."""

    def signature(self) -> str:
        return "per:answer|smoothing:no"
