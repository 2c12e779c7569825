"""Translating a file with a run by beam search, in batches, against one sentence at a time, in turns.

    python tests/benchmarks/decoding_throughput.py RUN FILE [--beam 5] [--sentences 200] [--rounds 5]

The plain search is what one would write by hand for one sentence: the hypotheses of the beam are one batch for the
model, and everything else is a loop over them. Both use the run's model; the translations must be the same.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import seqlab
from seqlab.data.tokenizers import BOS, EOS
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.tasks.translation import Translation
from seqlab.tasks.translator import Translator
from seqlab.training.allocator import keep_freed_memory


@torch.no_grad()
def plain_search(model: EncoderDecoder, source: list[int], beam: int, alpha: float) -> list[int]:
    """The best translation of one sentence."""
    state = model.start(torch.tensor(source)[:, None], torch.tensor([len(source)]))
    unfinished: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[tuple[list[int], float]] = []
    limit = 2 * len(source) + 10
    for length in range(1, limit + 2):
        last = torch.tensor([tokens[-1] if tokens else BOS for tokens, _ in unfinished])
        log_probs_KV, state = model.step(last, state)
        totals_KV: Tensor = log_probs_KV + torch.tensor([total for _, total in unfinished])[:, None]
        if length > limit:
            totals_KV[:, :EOS] = totals_KV[:, EOS + 1 :] = float("-inf")
        best = totals_KV.flatten().topk(2 * beam)
        rows: list[int] = []
        kept: list[tuple[list[int], float]] = []
        for rank, (total, index) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            row, token = divmod(index, log_probs_KV.shape[1])
            tokens = unfinished[row][0]
            if token == EOS:
                if rank < beam:
                    finished.append((tokens, total / length**alpha))
            elif total > float("-inf") and len(kept) < beam:
                kept.append(([*tokens, token], total))
                rows.append(row)
        finished = sorted(finished, key=lambda pair: -pair[1])[:beam]
        unfinished = kept
        if not unfinished or (len(finished) == beam and finished[-1][1] >= unfinished[0][1] / length**alpha):
            break
        state = state.select(torch.tensor([rows]))
    return finished[0][0]


def one_by_one(task: Translation, lines: list[str], beam: int, alpha: float) -> list[str]:
    """A translation of each line."""
    sources = [[*task.source_tokenizer.encode(line), EOS] for line in lines]
    return [task.target_tokenizer.decode(plain_search(task.network, source, beam, alpha)) for source in sources]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("file", type=Path)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=200, help="of each round, spread over the file")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    task = seqlab.load(options.run, device="cpu")
    assert isinstance(task, Translation)
    alpha = task.search.length_penalty
    lines = options.file.read_text(encoding="utf-8").splitlines()
    lines = lines[:: max(1, len(lines) // options.sentences)][: options.sentences]
    batched = Translator([task])
    contestants: dict[str, Callable[[], list[str]]] = {
        "in batches": lambda: batched.translate(lines, beam=options.beam, length_penalty=alpha),
        "one by one": lambda: one_by_one(task, lines, options.beam, alpha),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    found: dict[str, list[str]] = {}
    for number in range(options.rounds + 1):
        for name, translate in contestants.items():
            start = time.perf_counter()
            found[name] = translate()
            if number:  # the first round warms up
                speeds[name].append(len(lines) / (time.perf_counter() - start))
    for name, values in speeds.items():
        print(f"{name:<12} {statistics.median(values):8.1f} sentences/s   ({min(values):.1f} to {max(values):.1f})")
    ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
    print(f"ratio        {statistics.median(ratios):8.2f}               ({min(ratios):.2f} to {max(ratios):.2f})")
    differing = [pair for pair in zip(*found.values(), strict=True) if pair[0] != pair[1]]
    print(f"{len(lines) - len(differing)} of {len(lines)} translations are the same")
    for pair in differing:
        print(*(f"{name:<12} {text}" for name, text in zip(contestants, pair, strict=True)), sep="\n")
    # In float32 a tie may fall either way.
    raise SystemExit(len(differing) > len(lines) // 100)


if __name__ == "__main__":
    main()
