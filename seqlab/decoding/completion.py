"""The likeliest ways for a line of text to go on, by beam search with a language model.

Shape suffixes: R = rows, V = size of the vocabulary, F = tokens that are never written.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer
from seqlab.decoding.beam import beam_search
from seqlab.decoding.continuation import GrowingText, LogitStepper, encode_prompt, warn_of_unknown
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.models.language_model import LanguageModelState, RecurrentLanguageModel


@dataclass(frozen=True)
class Completion:
    """How a line may go on."""

    text: str
    """What follows the prompt."""
    score: float
    """What completions are ranked by; see :class:`~seqlab.decoding.search.Search`."""
    log_probability: float
    """Of what follows, the end of the line included, in nats."""


def completions(
    network: RecurrentLanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    search: Search,
    length: int = 200,
    unk: bool = False,
) -> list[Completion]:
    """Searches for the likeliest ends of a prompt's last line, which is open.

    Args:
        network: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        prompt: The prompt; nothing for the first line of a text. It is read as in sampling; see
            :func:`~seqlab.decoding.continuation.continuations`. Its tokens count in no score, length or n-gram.
        search: The settings.
        length: The most tokens, not counting the end of the line; ``search.max_length`` is not looked at.
        unk: Whether ``<unk>`` may be written.

    Returns:
        At most ``search.n_best``, the best first.

    Raises:
        UserError: A number is out of its range, or the prompt is not text, or a coverage penalty is asked for.
    """
    if length < 1:
        raise UserError(f"length must be at least 1, not {length}")
    if search.min_length > length:
        raise UserError(f"min_length {search.min_length} is above length {length}")
    tokens = [EOS, *encode_prompt(prompt, tokenizer)]
    warn_of_unknown(prompt, tokenizer)
    stepper = LogitStepper(network)
    (found,) = beam_search(
        _Without(network, [PAD, BOS, *([] if unk else [UNK])]),
        stepper.read(tokens[:-1]),
        torch.tensor([length], device=stepper.device),
        bos=tokens[-1],
        eos=EOS,
        search=search,
    )
    results = []
    for hypothesis in found:
        text = GrowingText(tokenizer, prompt)
        pieces = [text.add(token) for token in hypothesis.tokens]
        results.append(Completion("".join(pieces) + text.end(), hypothesis.score, hypothesis.log_probability))
    return results


class _Without:
    """A language model as a stepper that never writes some tokens; the others keep their probabilities."""

    def __init__(self, network: RecurrentLanguageModel, forbidden: list[int]):
        self.network = network
        self.forbidden_F = torch.tensor(forbidden, device=network.embedding.weight.device)

    def step(self, tokens_R: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        log_probs_RV, state = self.network.step(tokens_R, state)
        return log_probs_RV.index_fill(-1, self.forbidden_F, float("-inf")), state
