"""The translation task.

Shape suffixes: S = source steps, T = target steps, B = sentences, N = real target tokens, E = width of the features.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from seqlab.data.batches import cut_batches
from seqlab.data.pairs import Batch, Ragged
from seqlab.data.tokenizers import BOS, EOS, PAD, Tokenizer
from seqlab.decoding.beam import beam_search
from seqlab.decoding.greedy import greedy_search
from seqlab.errors import UserError
from seqlab.metrics import Metric
from seqlab.models.embedding import ScaledEmbedding
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.loss import coverage_loss, real_tokens, smoothed_cross_entropy, token_scores
from seqlab.models.pretrained import load_vectors
from seqlab.recurrence.stepwise import check_norms
from seqlab.tasks.base import OptimizerCallable, Outputs, Task
from seqlab.tasks.cells import cell_factory
from seqlab.training.averaging import Average
from seqlab.training.scheduled_sampling import ScheduledSampling
from seqlab.training.schedules import Schedule

CellSpec = str | dict[str, Any]


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
        coverage_penalty: Weight of the coverage loss (See et al. 2017, equation 13), in training only.
        beam: Width of the beam for translate and evaluate; 1 is greedy.
        length_penalty: Exponent of the length that a hypothesis' log-probability is divided by.
        validation_beam: Width of the beam in validation.
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

    def __init__(
        self,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        cell: CellSpec = "gru",
        encoder_cell: CellSpec | None = None,
        decoder_cell: CellSpec | None = None,
        label_smoothing: float = 0.1,
        coverage_penalty: float = 0.0,
        beam: int = 5,
        length_penalty: float = 1.0,
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
        if min(beam, validation_beam) < 1:
            raise UserError(f"beam and validation_beam must be at least 1, not {beam} and {validation_beam}")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing must be at least 0 and below 1, not {label_smoothing}")
        if not coverage_penalty >= 0:
            raise UserError(f"coverage_penalty must be at least 0, not {coverage_penalty}")
        self.source_tokenizer, self.target_tokenizer = source_tokenizer, target_tokenizer
        self.label_smoothing, self.coverage_penalty = label_smoothing, coverage_penalty
        self.scheduled_sampling = scheduled_sampling
        self.beam, self.length_penalty, self.validation_beam = beam, length_penalty, validation_beam
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
        if coverage_penalty and not self.network.decoder.coverage:
            raise UserError("coverage_penalty weighs the loss of coverage, which is off; set model.coverage to true")
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
        if self.coverage_penalty and weights_BTS is not None:
            loss = loss + self.coverage_penalty * coverage_loss(weights_BTS, targets_TB != PAD)
        return loss

    def outputs(self, batch: Batch, needs: set[str], *, fitting: bool) -> Outputs:
        """``tokens`` by teacher forcing, ``text`` by search."""
        outputs: Outputs = {}
        if "tokens" in needs:
            nll_N, hits_N = token_scores(*self._features(batch), self.network.output)
            outputs["tokens"] = {"nll": nll_N, "hits": hits_N}
        if "text" in needs:
            beam = self.validation_beam if fitting else self.beam
            hypotheses = self._search(batch.source_SB, batch.source_lengths_B, beam, self.length_penalty)
            outputs["text"] = {"hypotheses": hypotheses, "references": batch.references}
        return outputs

    @torch.no_grad()
    def translate(
        self,
        lines: Sequence[str],
        *,
        beam: int | None = None,
        length_penalty: float | None = None,
        batch_tokens: int = 4000,
        done: Callable[[int], Any] | None = None,
    ) -> list[str]:
        """Translates lines of text.

        Args:
            lines: Source sentences; an empty one gives an empty translation.
            beam: Width of the beam, 1 for greedy; the task's own if None.
            length_penalty: Exponent of the length; the task's own if None.
            batch_tokens: The most source tokens of a batch, padding included.
            done: Called with the number of lines of each batch that is done, to show progress.

        Returns:
            One translation for each line, in the same order.

        Raises:
            UserError: The lines are not a list of text, or a setting of the search is out of its range.
        """
        if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
            raise UserError("translate takes a list of lines of text, as in translate(['A sentence.'])")
        self.eval()
        beam = self.beam if beam is None else beam
        length_penalty = self.length_penalty if length_penalty is None else length_penalty
        translations = [""] * len(lines)
        numbers = [number for number, line in enumerate(lines) if line.strip()]
        source = Ragged(self.source_tokenizer.encode(lines[number]) for number in numbers)
        lengths = source.lengths_N + 1
        order = np.argsort(lengths, kind="stable")
        for index_B in cut_batches(order, lengths[order], batch_tokens) if numbers else []:
            source_SB = source.padded(index_B, [], [EOS]).to(self.device)
            lengths_B = torch.from_numpy(lengths[index_B]).to(self.device)
            hypotheses = self._search(source_SB, lengths_B, beam, length_penalty)
            for index, hypothesis in zip(index_B.tolist(), hypotheses, strict=True):
                translations[numbers[index]] = hypothesis
            if done is not None:
                done(len(index_B))
        return translations

    def examples(self, data: Any, count: int = 10) -> Iterator[str]:
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

    def _search(self, source_SB: Tensor, lengths_B: Tensor, beam: int, length_penalty: float) -> list[str]:
        """The best translation of every sentence; it has at most twice its source's tokens and ten."""
        state, limits_B = self.network.start(source_SB, lengths_B), 2 * lengths_B + 10
        if beam == 1:
            best = greedy_search(self.network, state, limits_B, bos=BOS, eos=EOS)
        else:
            found = beam_search(
                self.network, state, limits_B, bos=BOS, eos=EOS, beam=beam, length_penalty=length_penalty
            )
            best = [hypotheses[0] for hypotheses in found]
        return [self.target_tokenizer.decode(hypothesis.tokens) for hypothesis in best]
