"""Batches of running text: rows of one stream, window after window, or documents on their own.

The stream of a text is all its tokens t_0 ... t_{S-1}, and every one of them is predicted exactly once: targets are
t_0 ... t_{S-1}, inputs are EOS, t_0 ... t_{S-2}. The token that conditions the first is EOS, as if a line had ended.

Shape suffixes: S = tokens of the text, N = its documents, R = rows of the stream, B = rows of a batch, T = steps of a
window, K = windows.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqlab.data.batches import Plan, PlannedBatches
from seqlab.data.encoded_text import EncodedText, Sizes
from seqlab.data.tokenizers import EOS, PAD, UNK


class StreamBatch(NamedTuple):
    """What a language model reads and predicts. Time is the first axis."""

    inputs_TB: Tensor
    """Token ids; PAD where a row has ended."""
    targets_TB: Tensor
    """The token after each input, which is to be predicted; PAD where a row has ended."""
    resets_TB: Tensor | None
    """Where a document begins: True at the step whose target is its first token, before which the state starts anew.
    None unless asked for."""
    lengths_B: Tensor | None
    """Steps of each document; None for rows of a stream, which end at the last window and there by one step at most."""
    first: bool
    """Whether the state starts anew for the whole batch; else it is that after the batch before."""
    scale: float
    """Length of this window over the nominal one, to multiply the learning rate by; 1 unless lengths are random."""
    tokens: int
    """Number of targets in this batch; 0 on a device that has no row to score."""
    step_tokens: int
    """The same in all batches of its optimizer step, over all devices and accumulated batches."""
    index_B: Tensor
    """Numbers of the rows, or of the documents."""
    streams: int
    """Rows of the stream over all devices; 0 where documents are examples on their own."""
    sizes: Sizes
    """Sizes of the raw text, so that the sum over the batches of an evaluation, on all devices, is that of the split.
    A stream's are all with its first batch."""


def plan_windows(steps: int, length: int, *, random: bool = False, seed: int = 0, epoch: int = 0) -> list[int]:
    """Lengths of the windows that a row is cut into.

    Args:
        steps: What they sum to.
        length: The length of each but the last, which may be shorter; or the nominal one.
        random: Draw lengths as AWD-LSTM does (Merity et al. 2018, "Variable length backpropagation sequences"): from a
            normal distribution around ``length`` with probability 0.95, else around half of it, of standard deviation
            5; 5 is the least.
        seed: Seed of the run.
        epoch: Number of the epoch.
    """
    if not random:
        return [length] * (steps // length) + [steps % length] * (steps % length > 0)
    generator, windows = np.random.default_rng([seed, epoch]), []
    while steps > 0:
        mean = length if generator.random() < 0.95 else length / 2
        windows.append(min(steps, max(5, int(generator.normal(mean, 5)))))
        steps -= windows[-1]
    return windows


def split_evenly(count: int, parts: int) -> np.ndarray:
    """Where parts of a stretch begin, and where the last ends: ``[parts + 1]``. The first ``count % parts`` parts are
    longer by one."""
    return np.arange(parts + 1) * (count // parts) + np.minimum(np.arange(parts + 1), count % parts)


class Windows:
    """The windows of one pass over a stream; those of all rows of a device are one batch.

    The stream is split into rows as even as can be, and each row carries a state of its own from window to window.
    Every device has the same windows, of a contiguous share of the rows; one without rows has windows of nothing.

    Args:
        text: The text.
        rows: Rows of all devices; at most as many as there are tokens.
        length: Nominal length of a window.
        random: Whether lengths are random; see :func:`plan_windows`.
        seed: Seed of the lengths.
        epoch: Number of the epoch, for the lengths.
        rank: Number of this device.
        world_size: Number of devices.
        accumulate: Batches of one device that make one optimizer step.
        resets: Whether batches say where documents begin.
        scored: Whether the first batch has the sizes of the text.
    """

    def __init__(
        self,
        text: EncodedText,
        rows: int,
        length: int,
        *,
        random: bool = False,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        resets: bool = False,
        scored: bool = False,
    ):
        bounds = split_evenly(len(text.tokens_S), rows)
        lengths_R, share = np.diff(bounds), slice(*split_evenly(rows, world_size)[rank : rank + 2])
        self.text, self.rows, self.resets, self.accumulate = text, rows, resets, accumulate
        self.index_B, self.starts_B, self.lengths_B = np.arange(rows)[share], bounds[:-1][share], lengths_R[share]
        if not len(self.index_B):  # as many batches as the other devices, since devices may wait for each other
            self.index_B = self.starts_B = self.lengths_B = np.zeros(1, dtype=np.int64)
        self.windows_K = np.array(plan_windows(int(lengths_R[0]), length, random=random, seed=seed, epoch=epoch))
        self.begins_K = np.cumsum(self.windows_K) - self.windows_K
        self.scale_K = self.windows_K / length if random else np.ones(len(self.windows_K))
        self.tokens_K, self.all_tokens_K = self._tokens(self.lengths_B), self._tokens(lengths_R)
        self.sizes = text.sizes if scored and rank == 0 else Sizes()

    def _tokens(self, lengths_R: np.ndarray) -> np.ndarray:
        """Targets of rows in each window."""
        return np.clip(lengths_R[:, None] - self.begins_K, 0, self.windows_K).sum(0)

    @property
    def source_lengths_N(self) -> np.ndarray:
        """Steps of each window."""
        return self.windows_K

    @property
    def target_lengths_N(self) -> np.ndarray:
        """Targets of each window."""
        return self.tokens_K

    def batches(self) -> PlannedBatches:
        """A batch for each window, in order."""
        numbers = range(len(self.windows_K))
        steps = np.add.reduceat(self.all_tokens_K, numbers[:: self.accumulate])
        step_tokens = np.repeat(steps, self.accumulate)[: len(numbers)].tolist()
        return PlannedBatches(self, Plan([np.array([number]) for number in numbers], step_tokens))

    def batch(self, index_1: np.ndarray, step_tokens: int) -> StreamBatch:
        """The batch of a window, given its number."""
        number = int(index_1[0])
        begin, steps = self.begins_K[number], int(self.windows_K[number])
        return StreamBatch(
            **_window(self.text, self.starts_B + begin, self.lengths_B - begin, steps, self.resets),
            lengths_B=None,
            first=number == 0,
            scale=float(self.scale_K[number]),
            tokens=int(self.tokens_K[number]),
            step_tokens=step_tokens,
            index_B=torch.from_numpy(self.index_B),
            streams=self.rows,
            sizes=self.sizes if number == 0 else Sizes(),
        )


class Documents:
    """The documents of a text as examples on their own, each read from EOS to its own last EOS.

    Args:
        text: The text.
        index_N: Numbers of its documents; None for all.
    """

    def __init__(self, text: EncodedText, index_N: np.ndarray | None = None):
        self.text = text
        self.index_N = np.arange(len(text.starts_N)) if index_N is None else index_N
        lengths_N = np.diff(text.starts_N, append=len(text.tokens_S))[self.index_N]
        self.source_lengths_N = self.target_lengths_N = lengths_N

    def __len__(self) -> int:
        return len(self.index_N)

    def select(self, index_N: np.ndarray) -> "Documents":
        """The given documents."""
        return Documents(self.text, self.index_N[index_N])

    def batch(self, index_B: np.ndarray, step_tokens: int) -> StreamBatch:
        """The batch of the given documents."""
        lengths_B, numbers_B = self.target_lengths_N[index_B], self.index_N[index_B]
        window = _window(self.text, self.text.starts_N[numbers_B], lengths_B, int(lengths_B.max()), resets=False)
        return StreamBatch(
            **window,
            lengths_B=torch.from_numpy(lengths_B),
            first=True,
            scale=1.0,
            tokens=int(lengths_B.sum()),
            step_tokens=step_tokens,
            index_B=torch.from_numpy(index_B),
            streams=0,
            sizes=self.text.sizes_of(numbers_B, int((window["targets_TB"] == UNK).sum())),
        )


def _window(text: EncodedText, starts_B: np.ndarray, lengths_B: np.ndarray, steps: int, resets: bool) -> dict[str, Any]:
    """Inputs, targets and resets of rows whose next target is ``starts_B`` and that have ``lengths_B`` targets left."""
    steps_T1 = np.arange(steps)[:, None]
    real_TB = steps_T1 < lengths_B
    places_TB = np.where(real_TB, starts_B + steps_T1, 0)
    previous_TB = np.where(places_TB > 0, text.tokens_S[places_TB - 1], EOS)
    resets_TB = None
    if resets:
        nearest_TB = np.searchsorted(text.starts_N, places_TB, side="right") - 1
        resets_TB = torch.from_numpy(real_TB & (text.starts_N[nearest_TB] == places_TB))
    return {
        "inputs_TB": torch.from_numpy(np.where(real_TB, previous_TB, PAD).astype(np.int64)),
        "targets_TB": torch.from_numpy(np.where(real_TB, text.tokens_S[places_TB], PAD).astype(np.int64)),
        "resets_TB": resets_TB,
    }
