"""The translation task.

Shape suffixes: S = source steps, T = target steps, B = sentences, N = real target tokens, E = width of the features.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from torch import Tensor

from seqlab.data.pairs import Batch
from seqlab.data.tokenizers import BOS, EOS, PAD, Tokenizer
from seqlab.decoding.beam import beam_search
from seqlab.decoding.search import MOST_BEAM, Search
from seqlab.errors import UserError
from seqlab.metrics import BLEU, CHRF, TER, BrevityPenalty, LengthRatio, Metric, SequenceAccuracy
from seqlab.models.embedding import ScaledEmbedding
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.loss import coverage_loss, real_tokens, smoothed_cross_entropy, token_scores
from seqlab.models.pretrained import load_vectors
from seqlab.recurrence.stepwise import check_norms
from seqlab.specs import check_range
from seqlab.tasks.base import OptimizerCallable, Outputs, Task
from seqlab.tasks.batching import Batching
from seqlab.tasks.cells import cell_factory
from seqlab.tasks.forced import Forced, force_pairs
from seqlab.tasks.sizes import check_sizes
from seqlab.tasks.translator import Translator
from seqlab.training.averaging import Average
from seqlab.training.scheduled_sampling import ScheduledSampling
from seqlab.training.schedules import Schedule

CellSpec = str | dict[str, Any]
SEARCH = Search()


class Translation(Task):
    """Encoder-decoder translation with attention.

    Args:
        source_tokenizer: Tokenizer of the source side, taken from the data.
        target_tokenizer: Tokenizer of the target side, taken from the data.
        cell: Recurrent cell of both sides: a name (see "seqlab cells"), NAME:OPTION=VALUE, or
            {name: NAME, OPTION: VALUE}.
        encoder_cell: The encoder's, where it differs.
        decoder_cell: The decoder's, where it differs.
        label_smoothing: Share of the target distribution that is spread over the vocabulary, in training only.
        coverage_loss: Weight of the coverage loss (See et al. 2017, equation 13), in training only.
        search: What translate and evaluate search for.
        validation_beam: Width of the beam in validation; all else of the search is the same there.
        source_embeddings: File of word vectors that the source embeddings start from, for the tokens that it has: text
            as of word2vec, GloVe or fastText, or safetensors.
        target_embeddings: The same for the target embeddings.
        metrics: Validation scores by the name they are logged under.
        optimizer: The optimizer.
        schedule: The learning rate over time.
        scheduled_sampling: How often the decoder is given the true token in training instead of its own (Bengio et al.
            2015): Linear, Exponential or InverseSigmoid; always if null.
        average: A running average of the weights, which stands in for them in validation and in use.
        network: Further arguments of :class:`~seqlab.models.encoder_decoder.EncoderDecoder`.

    Raises:
        UserError: A setting is out of its range, or a cell is not installed.
    """

    example = "sentence"
    sizes = ("encoder_size", "decoder_size")

    def __init__(
        self,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        cell: CellSpec = "gru",
        encoder_cell: CellSpec | None = None,
        decoder_cell: CellSpec | None = None,
        label_smoothing: float = 0.1,
        coverage_loss: float = 0.0,
        search: Search = SEARCH,
        validation_beam: int = 1,
        source_embeddings: str | None = None,
        target_embeddings: str | None = None,
        *,
        metrics: dict[str, Metric],
        optimizer: OptimizerCallable,
        schedule: Schedule | None = None,
        scheduled_sampling: ScheduledSampling | None = None,
        average: Average | None = None,
        **network: Any,
    ):
        super().__init__(metrics=metrics, optimizer=optimizer, schedule=schedule, average=average)
        check_range("validation_beam", validation_beam, 1, MOST_BEAM)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing must be at least 0 and below 1, not {label_smoothing}")
        if not coverage_loss >= 0:
            raise UserError(f"coverage_loss must be at least 0, not {coverage_loss}")
        check_sizes({**network})
        self.source_tokenizer, self.target_tokenizer = source_tokenizer, target_tokenizer
        self.label_smoothing, self.coverage_loss = label_smoothing, coverage_loss
        self.scheduled_sampling = scheduled_sampling
        self.search, self.validation_beam = search, validation_beam
        self.network = EncoderDecoder(
            len(source_tokenizer),
            len(target_tokenizer),
            cell_factory(encoder_cell or cell),
            cell_factory(decoder_cell or cell),
            **network,
        )
        shared = self.network.encoder.embedding is self.network.decoder.embedding
        if shared and source_tokenizer != target_tokenizer:
            raise UserError(
                "model.tying three-way has one embedding matrix for both sides, but data.target_tokenizer makes a "
                "vocabulary for each: take two-way, or leave data.target_tokenizer null"
            )
        if coverage_loss and not self.network.decoder.coverage:
            raise UserError("coverage_loss weighs the loss of coverage, which is off; set model.coverage to true")
        if search.coverage_penalty and self.network.decoder.attention is None:
            raise UserError(
                "search.coverage_penalty is of what attention has looked at, but attention is none; take another "
                "attention, or leave it out"
            )
        if scheduled_sampling is not None:
            check_norms(self.network.decoder.layers, "scheduled_sampling")
        self._vectors = {"source_embeddings": source_embeddings, "target_embeddings": target_embeddings}
        if all(self._vectors.values()) and shared:
            raise UserError(
                "model.tying three-way has one embedding matrix: give model.source_embeddings or "
                "model.target_embeddings, not both"
            )

    def initialise(self) -> None:
        """Starts the embeddings from their files of word vectors.

        Raises:
            UserError: A file is missing, empty, damaged, or of vectors of another width.
        """
        sides = ((self.network.encoder, self.source_tokenizer), (self.network.decoder, self.target_tokenizer))
        for (name, path), (side, tokenizer) in zip(self._vectors.items(), sides, strict=True):
            if path is not None:
                load_vectors(cast(ScaledEmbedding, side.embedding), tokenizer.pieces(), path, f"model.{name}")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.scheduled_sampling is not None:
            self.log("train/teacher_forcing", self.scheduled_sampling.probability(self.global_step))
        return super().training_step(batch, batch_idx)

    def loss(self, batch: Batch) -> Tensor:
        """The label-smoothed cross-entropy of the batch's target tokens and their coverage loss, summed."""
        state = self.network.start(batch.source_SB, batch.source_lengths_B)
        given_TB, targets_TB = batch.target_TB[:-1], batch.target_TB[1:]
        if self.scheduled_sampling is not None:
            given_TB = self.scheduled_sampling.mix(self.network, state, given_TB, self.global_step)
        features_TBE, weights_BTS = self.network.decoder.decode(given_TB, state, (targets_TB != PAD).sum(0))
        real_NE, targets_N = real_tokens(features_TBE, targets_TB, PAD)
        loss = smoothed_cross_entropy(real_NE, targets_N, self.network.output, self.label_smoothing)
        if self.coverage_loss and weights_BTS is not None:
            loss = loss + self.coverage_loss * coverage_loss(weights_BTS, targets_TB != PAD)
        return loss

    def outputs(self, batch: Batch, needs: set[str], *, fitting: bool) -> Outputs:
        """``tokens`` by teacher forcing, ``text`` by search."""
        outputs: Outputs = {}
        if "tokens" in needs:
            nll_N, hits_N = token_scores(*self._features(batch), self.network.output)
            outputs["tokens"] = {"nll": nll_N, "hits": hits_N}
        if "text" in needs:
            search = replace(self.search, n_best=1, beam=self.validation_beam if fitting else self.search.beam)
            state = self.network.start(batch.source_SB, batch.source_lengths_B)
            limits_B = search.limits(batch.source_lengths_B)
            found = beam_search(self.network, state, limits_B, bos=BOS, eos=EOS, search=search)
            hypotheses = [self.target_tokenizer.decode(best.tokens) for (best,) in found]
            outputs["text"] = {"hypotheses": hypotheses, "references": batch.references}
        return outputs

    def translate(
        self,
        lines: Sequence[str],
        *,
        prefixes: Sequence[str] | None = None,
        batch_tokens: int = 4000,
        done: Callable[[int], Any] | None = None,
        **changes: Any,
    ) -> list[str]:
        """Translates lines of text; :class:`~seqlab.tasks.translator.Translator` has more of it.

        Args:
            lines: Source sentences; an empty one gives an empty translation.
            prefixes: What each translation begins with; nothing if None.
            batch_tokens: The most source tokens of a batch, padding included; fewer where memory runs out.
            done: Called with the number of lines of each batch that is done, to show progress.
            changes: Settings of :class:`~seqlab.decoding.search.Search` that are not the task's own, such as ``beam``.

        Returns:
            One translation for each line, in the same order.

        Raises:
            UserError: The lines are not a list of text, a setting of the search is unknown or out of its range, or a
                sentence does not fit into memory.
        """
        translator = Translator([self], batch_tokens=batch_tokens)
        return translator.translate(lines, prefixes=prefixes, done=done, **changes)

    def examples(self, data: Any, count: int = 3) -> Iterator[str]:
        """Lines that show translations of sentences the model was not trained on.

        Args:
            data: The data module.
            count: Number of sentences, spread evenly over the test split, or the validation split if there is none.
        """
        corpus = data.text("test" if data.has("test") else "val")
        rows = [corpus[row] for row in range(0, len(corpus), max(1, len(corpus) // count))[:count]]
        for row, translation in zip(rows, self.translate([row["source"] for row in rows]), strict=True):
            yield f"source       {row['source']}\ntranslation  {translation}\nreference    {row['target']}\n"

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features and targets of the batch's real tokens."""
        features_TBE = self.network(batch.source_SB, batch.source_lengths_B, batch.target_TB[:-1])
        return real_tokens(features_TBE, batch.target_TB[1:], PAD)

    def evaluation_metrics(self) -> dict[str, Callable[..., Metric]]:
        """Scores of text beside BLEU; BLEU too, for a recipe without."""
        return {
            "bleu": BLEU,
            "chrf": CHRF,
            "chrf++": partial(CHRF, word_order=2),
            "ter": TER,
            "brevity_penalty": BrevityPenalty,
            "length_ratio": LengthRatio,
            "sequence_accuracy": SequenceAccuracy,
        }

    def example_of_tokens(self, batch: Batch) -> Tensor:
        """Which pair of a batch each target token is of."""
        return (batch.target_TB[1:] != PAD).nonzero()[:, 1]

    def log_probabilities(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        batching: Batching | None = None,
        done: Callable[[int], Any] | None = None,
    ) -> list[Forced]:
        """Log-probabilities of given translations, their ends included.

        Args:
            sources: Source sentences.
            targets: A translation of each. What the tokenizers do not know is read and scored as ``<unk>``.
            batching: How pairs are put into batches, by their longer side; of 4,000 tokens if None.
            done: Called with the number of pairs of each batch that is done, to show progress.

        Returns:
            For each target its tokens and their log-probabilities; ``log_probability`` is that of the whole target.

        Raises:
            UserError: The sides are not lists of text, or not of one length, or a pair does not fit into memory.
        """
        tokenizers = self.source_tokenizer, self.target_tokenizer
        return force_pairs(self.eval().network, tokenizers, sources, targets, batching, done)
