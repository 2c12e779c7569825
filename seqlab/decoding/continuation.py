"""Continuations of text by a language model: the prompt, the samples, and their text as it comes.

Shape suffixes: T = tokens of the prompt, R = rows, V = size of the vocabulary.
"""

import logging
import re
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from seqlab.data.encoded_text import encode_text
from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer
from seqlab.data.words import Words
from seqlab.decoding.sampling import Sampling, make_generators, sample
from seqlab.errors import UserError
from seqlab.models.language_model import LanguageModelState, RecurrentLanguageModel
from seqlab.models.loss import full_precision
from seqlab.models.output_layer import Softmax

log = logging.getLogger("seqlab")

TOGETHER = 64
"""Samples that are drawn in one batch."""
PROMPT_WINDOW = 1000
"""Tokens of a prompt that are read at once; memory is bounded by it."""
NAMED = 10
"""Unknown words or characters that are named."""
REPLACEMENT = "\ufffd"
"""What stands for bytes that are no character, or not yet: at most three of them may still become one."""


def continuations(
    network: RecurrentLanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    sampling: Sampling,
    length: int,
    samples: int = 1,
    lines: int | None = None,
    unk: bool = False,
    seed: int = 1,
    *,
    warn: bool = True,
) -> Iterator[tuple[int, str]]:
    """Draws what follows a prompt.

    The model reads EOS and the tokens of the prompt, as in training, where the line before has always ended. A line
    feed in the prompt is EOS; its last line is open.

    Args:
        network: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        prompt: The prompt; nothing for the start of a text.
        sampling: The distribution that tokens are drawn from.
        length: The most tokens of a sample.
        samples: How many samples.
        lines: How many ends of lines end a sample; None: none does.
        unk: Whether ``<unk>`` may be drawn.
        seed: Seed; sample n depends on (seed, n) alone, however many there are.
        warn: Whether to log which words or characters of the prompt are unknown.

    Yields:
        The number of a sample, from 0, and a piece of its text, one sample after the other. Pieces of the first come as
        they are drawn, each as soon as no later token can change it; the others, drawn beside it, follow as a whole.

    Raises:
        UserError: A number is out of its range, or the prompt is not text.
    """
    for name, value in {"length": length, "samples": samples, "lines": 1 if lines is None else lines}.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")
    tokens = encode_prompt(prompt, tokenizer)
    if warn:
        warn_of_unknown(prompt, tokenizer)
    model = LogitStepper(network)
    state = model.read([EOS, *tokens][:-1])
    last = tokens[-1] if tokens else EOS
    for first in range(0, samples, TOGETHER):
        rows = range(first, min(samples, first + TOGETHER))
        texts = [GrowingText(tokenizer, prompt) for _ in rows]
        waiting = [""] * len(rows)
        steps = sample(
            model,
            state.select(torch.zeros(len(rows), dtype=torch.long, device=model.device)),
            torch.full((len(rows),), last, device=model.device),
            length,
            sampling=sampling,
            generators=make_generators(seed, rows),
            eos=EOS,
            lines=lines,
            forbidden=[PAD, BOS, *([] if unk else [UNK])],
            seen=tokens,
        )
        for drawn_R in steps:
            for row, token in enumerate(drawn_R):
                waiting[row] += "" if token is None else texts[row].add(token)
            if waiting[0]:
                yield first, waiting[0]
                waiting[0] = ""
        for row, text in enumerate(texts):
            yield first + row, waiting[row] + text.end()


class LogitStepper:
    """A language model as a stepper that gives logits, which a repetition penalty is defined on.

    An adaptive softmax has none over the whole vocabulary and gives log-probabilities, on which a penalty is weaker
    for likely tokens.

    Args:
        network: The model.
    """

    def __init__(self, network: RecurrentLanguageModel):
        self.network, self.device = network, network.embedding.weight.device

    @torch.no_grad()
    def read(self, tokens: list[int]) -> LanguageModelState:
        """The state of one row after some tokens."""
        state = self.network.start(1)
        for start in range(0, len(tokens), PROMPT_WINDOW):
            tokens_T1 = torch.tensor(tokens[start : start + PROMPT_WINDOW], device=self.device)[:, None]
            state = LanguageModelState(self.network(tokens_T1, state.layers)[2])
        return state

    def step(self, tokens_R: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """The last token of every row to logits of the next ``[R, V]`` and the new state."""
        output = self.network.output
        if not isinstance(output, Softmax):
            return self.network.step(tokens_R, state)
        features_1RE, _, layers = self.network(tokens_R[None], state.layers)
        return full_precision(output(features_1RE[0])), LanguageModelState(layers)


# --------------------------------------------------------------------------------------------------------------- prompt


def encode_prompt(prompt: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a prompt: those of its lines, each but the last closed by EOS.

    Raises:
        UserError: It is no text, or holds what no text does.
    """
    if not isinstance(prompt, str):
        raise UserError(f"the prompt is a text, not {prompt!r:.80}")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UserError("the prompt is not UTF-8; convert it, for example with iconv -t utf-8") from error
    return encode_text(prompt, tokenizer)[:-1]


def first_words(documents: Iterable[str], count: int) -> str:
    """The beginning of the first document that has some number of words, as it is written; the whole of the first one
    that is not blank, if none has."""
    short = ""
    for document in documents:
        if found := re.match(rf"\s*(\S+(?:\s+\S+){{{count - 1}}})", document):
            return found[1]
        short = short or document.strip()
    return short


def warn_of_unknown(prompt: str, tokenizer: Tokenizer) -> None:
    """Logs which words or characters of a prompt its tokenizer does not know, if there are any."""
    are_words = isinstance(tokenizer, Words)
    symbols = [symbol for line in prompt.split("\n") for symbol in (line.split() if are_words else line)]
    unknown = {symbol for symbol in set(symbols) if symbol != "<unk>" and UNK in tokenizer.encode(symbol)}
    found = [symbol for symbol in symbols if symbol in unknown]
    if found:
        names = list(dict.fromkeys(found))
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        log.warning(
            "prompt: %s of %s %s unknown to the tokenizer, read as <unk>: %s%s",
            f"{len(found):,}",
            f"{len(symbols):,}",
            "words" if are_words else "characters",
            ", ".join(map(repr, names[:NAMED])),
            more,
        )


# ----------------------------------------------------------------------------------------------------------------- text


class GrowingText:
    """The text of tokens that follow a prompt, piece by piece, so that prompt and pieces together read as one text.

    A piece is given out once no later token can change it: bytes only when they are a character.

    Args:
        tokenizer: The tokenizer.
        prompt: The prompt.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str = ""):
        self.tokenizer = tokenizer
        line = prompt.rpartition("\n")[2]
        self.line = tokenizer.encode(line)
        self.shown = len(tokenizer.decode(self.line))
        # Words are told apart by spaces of the tokenizer's own; one at the end of the prompt is there already.
        self.spaced = line != line.rstrip() and self.line == tokenizer.encode(line.rstrip())

    def add(self, token: int) -> str:
        """Takes a token; gives what of the text is now certain, which may be nothing."""
        if token == EOS:
            piece = self.end() + "\n"
            self.line, self.shown = [], 0
            return piece
        self.line.append(token)
        text = self.tokenizer.decode(self.line)
        certain = max(len(text.rstrip(REPLACEMENT)), len(text) - 3)
        return self._piece(text[:certain])

    def end(self) -> str:
        """What was held back."""
        return self._piece(self.tokenizer.decode(self.line))

    def _piece(self, text: str) -> str:
        """What of the line's text was not given out yet."""
        piece = text[self.shown :]
        self.shown = max(self.shown, len(text))
        if self.spaced and piece:
            piece, self.spaced = piece.removeprefix(" "), False
        return piece
