"""Sequence accuracy."""

from collections.abc import Sequence

from seqlab.errors import UserError
from seqlab.metrics.accuracy import Share
from seqlab.metrics.sacrebleu import reference_lists


class SequenceAccuracy(Share):
    """Share of sentences, in percent, whose output is one of its references, character for character."""

    needs = "text"

    def update(self, hypotheses: list[str], references: Sequence[str | Sequence[str]]) -> None:
        """Adds hypotheses and the references of each: a list of one or more, or text for a list of one.

        Raises:
            UserError: There are not as many lists as hypotheses.
        """
        lists = reference_lists(references)
        if len(lists) != len(hypotheses):
            raise UserError(f"SequenceAccuracy: {len(hypotheses)} hypotheses, but references of {len(lists)}")
        self.right += sum(hypothesis in given for hypothesis, given in zip(hypotheses, lists, strict=True))
        self.count += len(lists)

    def signature(self) -> str:
        return "per:sentence|case:mixed|tok:none"
