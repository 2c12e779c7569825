"""The language-model task.

Shape suffixes: T = time steps, B = rows, N = real tokens, E = width of the features.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any

from torch import Tensor

from seqlab.data.streams import StreamBatch
from seqlab.data.tokenizers import PAD, Tokenizer
from seqlab.decoding.completion import Completion, completions
from seqlab.decoding.continuation import continuations, first_words
from seqlab.decoding.sampling import Sampling
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.metrics import Metric
from seqlab.models.language_model import RecurrentLanguageModel
from seqlab.models.loss import real_tokens
from seqlab.models.pretrained import load_vectors
from seqlab.recurrence.stack import StackState, detach_state
from seqlab.tasks.base import OptimizerCallable, Outputs, Task
from seqlab.tasks.batching import Batching
from seqlab.tasks.carried import gathered, restarted, share_of
from seqlab.tasks.cells import cell_factory
from seqlab.tasks.forced import Forced, ForcedStream, force_lines
from seqlab.tasks.sizes import check_sizes
from seqlab.training.averaging import Average
from seqlab.training.schedules import Schedule

CellSpec = str | dict[str, Any]


class LanguageModel(Task):
    """Language modelling: each token from all before it.

    Training is truncated backpropagation through time: the state after a window of tokens is carried, without its
    history, to the next window of the same stream. An evaluation carries it too, so the length of its windows never
    changes a score.

    Args:
        tokenizer: The tokenizer, taken from the data.
        cell: Recurrent cell: a name (see "seqlab cells"), NAME:OPTION=VALUE, or {name: NAME, OPTION: VALUE}.
        activation_penalty: Weight of the mean square of the dropped outputs of the last layer (Merity et al. 2017).
        temporal_penalty: Weight of the mean square of the change of these outputs, before dropout, from step to step.
        embeddings: File of word vectors that the embeddings start from, for the tokens that it has: text as of
            word2vec, GloVe or fastText, or safetensors.
        metrics: Validation scores by the name they are logged under.
        optimizer: The optimizer.
        schedule: The learning rate over time.
        average: A running average of the weights, which stands in for them in validation and in use.
        network: Further arguments of :class:`~seqlab.models.language_model.RecurrentLanguageModel`.

    Raises:
        UserError: A setting is out of its range, or the cell is not installed.
    """

    unit = "tokens"
    sizes = ("hidden_size",)

    def __init__(
        self,
        tokenizer: Tokenizer,
        cell: CellSpec = "lstm",
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        embeddings: str | None = None,
        *,
        metrics: dict[str, Metric],
        optimizer: OptimizerCallable,
        schedule: Schedule | None = None,
        average: Average | None = None,
        **network: Any,
    ):
        super().__init__(metrics=metrics, optimizer=optimizer, schedule=schedule, average=average)
        if min(activation_penalty, temporal_penalty) < 0:
            raise UserError("activation_penalty and temporal_penalty must not be negative")
        check_sizes({**network})
        self.tokenizer = tokenizer
        self.activation_penalty, self.temporal_penalty = activation_penalty, temporal_penalty
        self.network = RecurrentLanguageModel(
            len(tokenizer),
            cell_factory(cell),
            **network,
        )
        self._embeddings = embeddings
        self._carried: StackState | None = None
        self._evaluated: StackState | None = None
        self._streams, self._scale = 0, 1.0

    @classmethod
    def sizes_of(cls, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The hidden size; of a single layer whose outputs are as wide as the embeddings, since it is tied, both."""
        return (*cls.sizes, "embedding_size") if arguments["tying"] and arguments["layers"] == 1 else cls.sizes

    def initialise(self) -> None:
        """Starts the embeddings from a file of word vectors.

        Raises:
            UserError: The file is missing, empty, damaged, or of vectors of another width.
        """
        if self._embeddings is not None:
            load_vectors(self.network.embedding, self.tokenizer.pieces(), self._embeddings, "model.embeddings")

    def loss(self, batch: StreamBatch) -> Tensor:
        """The cross-entropy of the batch's tokens, summed, with the penalties as often as there are tokens."""
        state = None if batch.first else self._carried
        features_TBE, raw_TBE, state = self.network(
            batch.inputs_TB, state, lengths=batch.lengths_B, resets=batch.resets_TB
        )
        self._carried = detach_state(state) if batch.lengths_B is None else None
        total = self.network.output.loss(*_real(features_TBE, batch))
        if self.activation_penalty:
            total = total + batch.tokens * self.activation_penalty * features_TBE.float().square().mean()
        if self.temporal_penalty and len(raw_TBE) > 1:
            change_TBE = (raw_TBE[1:] - raw_TBE[:-1]).float()
            total = total + batch.tokens * self.temporal_penalty * change_TBE.square().mean()
        return total

    def outputs(self, batch: StreamBatch, needs: set[str], *, fitting: bool) -> Outputs:
        """``tokens``, and ``sized_tokens`` with the size of the text behind them."""
        state = None if batch.first else self._evaluated
        features_TBE, _, state = self.network(batch.inputs_TB, state, lengths=batch.lengths_B, resets=batch.resets_TB)
        self._evaluated, self._streams = state or None, batch.streams
        nll_N, hits_N = self.network.output.scores(*_real(features_TBE, batch))
        return {"tokens": {"nll": nll_N, "hits": hits_N}, "sized_tokens": {"nll": nll_N, "sizes": batch.sizes}}

    def signatures(self) -> dict[str, str]:
        """How each score is computed, with the number of streams that the last evaluation carried a state along."""
        streams = f"|streams:{self._streams}" if self._streams else "|streams:no"
        return {name: f"{signature}{streams}" for name, signature in super().signatures().items()}

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """A step at the window's own learning rate: short windows weigh less (Merity et al. 2018)."""
        scale = self._scale
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] *= scale
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def on_train_batch_start(self, batch: StreamBatch, batch_idx: int) -> None:
        self._scale = batch.scale

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the carried state of every device, one below the other."""
        super().on_save_checkpoint(checkpoint)
        if self._carried is not None:
            checkpoint["carried"] = gathered(self._carried, self._place()[1])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up this device's rows of the carried state."""
        super().on_load_checkpoint(checkpoint)
        carried = checkpoint.get("carried")
        if carried is not None:
            self._carried = share_of(carried, *self._place(), self.device)

    def on_step_skipped(self) -> None:
        """Streams whose carried state is no longer finite start anew, from zeros."""
        if self._carried is not None:
            self._carried = restarted(self._carried)

    def _place(self) -> tuple[int, int]:
        """The rank of this device, and how many there are."""
        trainer = self._trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        samples: int = 1,
        lines: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        unk: bool = False,
        seed: int = 1,
        stream: Callable[[int, str], Any] | None = None,
    ) -> list[str]:
        """Continues a text; see :class:`~seqlab.decoding.sampling.Sampling` for how a token is drawn.

        Args:
            prompt: The text to go on from; nothing for the start of a text. Its last line is open: the text goes on in
                it, unless it ends in a line feed. What the tokenizer does not know is read as ``<unk>``, and logged.
            length: The most tokens of a sample.
            samples: How many samples.
            lines: How many ends of lines end a sample, the last of which is left out; None: none does.
            temperature: Divides the logits; 0 takes the likeliest token.
            top_k: Keeps the k likeliest tokens.
            top_p: Keeps the fewest tokens whose probabilities sum to p or more.
            repetition_penalty: Makes tokens that have occurred rarer, if above 1.
            unk: Whether ``<unk>`` may be drawn.
            seed: Seed; sample n is drawn by (seed, n). The random state of torch is left alone.
            stream: Called with the number of a sample, from 0, and a piece of its text, sample after sample; pieces of
                the first come as they are drawn.

        Returns:
            What follows the prompt in each sample; ``prompt + text`` is the whole.

        Raises:
            UserError: A setting is out of its range.
        """
        self.eval()
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
        texts = [""] * samples
        for number, piece in continuations(
            self.network, self.tokenizer, prompt, sampling, length, samples, lines, unk, seed
        ):
            texts[number] += piece
            if stream is not None:
                stream(number, piece)
        return texts

    def complete(
        self, prompt: str = "", search: Search | None = None, *, length: int = 200, unk: bool = False
    ) -> list[Completion]:
        """Searches for the likeliest ways for a prompt's last line to go on; see
        :func:`~seqlab.decoding.completion.completions`.

        Args:
            prompt: The text to go on from, as in :meth:`generate`.
            search: The settings; a beam of 5 if None.
            length: The most tokens, not counting the end of the line.
            unk: Whether ``<unk>`` may be written.

        Raises:
            UserError: A setting is out of its range.
        """
        self.eval()
        return completions(self.network, self.tokenizer, prompt, search or Search(), length, unk)

    def log_probabilities(
        self,
        lines: Sequence[str],
        *,
        stream: bool = False,
        batching: Batching | None = None,
        done: Callable[[int], Any] | None = None,
    ) -> list[Forced]:
        """Log-probabilities of lines of text, their ends included.

        Args:
            lines: The lines. What the tokenizer does not know is scored as ``<unk>``.
            stream: Read them as one text, each from the state after the line before; else each is a text of its own.
            batching: How lines are put into batches; of 4,000 tokens if None.
            done: Called with the number of lines of each batch that is done, to show progress.

        Returns:
            For each line its tokens and their log-probabilities; ``log_probability`` is that of the whole line.

        Raises:
            UserError: The lines are not a list of text, or one does not fit into memory.
        """
        self.eval()
        if stream:
            return ForcedStream(self.network, self.tokenizer)(lines, done)
        return force_lines(self.network, self.tokenizer, lines, batching, done)

    def examples(self, data: Any) -> Iterator[str]:
        """The first ten words of a validation document, and what the model goes on with: about 60 words, each drawn
        from the likeliest ones (nucleus sampling, p = 0.9)."""
        prompt = first_words((row["text"] for row in data.text("val")), 10)
        length = 6 * max(10, len(self.tokenizer.encode(prompt)))
        pieces = continuations(self.network, self.tokenizer, prompt, Sampling(top_p=0.9), length, warn=False)
        parts = {"prompt": prompt, "text": "".join(piece for _, piece in pieces).strip()}.items()
        yield "\n".join(f"{name:<8}{indent(part, 8 * ' ').lstrip()}" for name, part in parts) + "\n"


def _real(features_TBE: Tensor, batch: StreamBatch) -> tuple[Tensor, Tensor]:
    """Features and targets of the real tokens; without a copy where all are."""
    if batch.tokens == batch.targets_TB.numel():
        return features_TBE.flatten(0, 1), batch.targets_TB.flatten()
    return real_tokens(features_TBE, batch.targets_TB, PAD)
