"""Training throughput of the translation task against a plain torch loop of the same sizes, in turns.

    python tests/benchmarks/translation_throughput.py [--data.train PREFIX ...] [--rounds 9] [--batches 20]

The plain loop is what one would write by hand over nn.GRU: no packing, no masking inside, Adam, clipping by norm. Both
train on the same batches, one after the other within a round. Other flags are settings of the recipe ``translation``.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional
from turns import Contestant, compare

from seqlab import registry
from seqlab.config import parse
from seqlab.data.pairs import Batch
from seqlab.data.tokenizers import PAD
from seqlab.training.allocator import keep_freed_memory

SIZES = {"embedding_size": 256, "encoder_size": 256, "decoder_size": 512}


class Plain(nn.Module):
    """Bidirectional GRU encoder, GRU decoder, general attention, three-way tying."""

    def __init__(self, vocabulary: int, dropout: float):
        super().__init__()
        width, encoder, decoder = SIZES.values()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
        self.encoder, self.decoder = nn.GRU(width, encoder, bidirectional=True), nn.GRU(width, decoder)
        self.bridge = nn.Linear(2 * encoder, decoder)
        self.key = nn.Linear(2 * encoder, decoder, bias=False)
        self.combine = nn.Linear(2 * encoder + decoder, width)
        self.output = nn.Linear(width, vocabulary)
        self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(dropout)

    def loss(self, batch: Batch) -> Tensor:
        source, target = batch.source_SB, batch.target_TB
        memory, _ = self.encoder(self.dropout(self.embedding(source)))
        real = source != PAD
        mean = (memory * real[..., None]).sum(0) / real.sum(0)[:, None]
        y, _ = self.decoder(self.dropout(self.embedding(target[:-1])), torch.tanh(self.bridge(mean))[None])
        scores = y.transpose(0, 1) @ self.key(memory).permute(1, 2, 0) / y.shape[-1] ** 0.5
        weights = scores.masked_fill(~real.t()[:, None], -1e9).softmax(-1)
        context = (weights @ memory.transpose(0, 1)).transpose(0, 1)
        features = self.dropout(torch.tanh(self.combine(torch.cat([context, y], -1))))
        keep = target[1:] != PAD
        return functional.cross_entropy(self.output(features[keep]), target[1:][keep], label_smoothing=0.1)


def main() -> None:
    keep_freed_memory()  # as a fit does; both gain
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=20)
    options, rest = parser.parse_known_args()
    sizes = [part for name, size in SIZES.items() for part in (f"--model.{name}", str(size))]
    settings = parse(registry.recipe_path("translation"), ["--data.batch_tokens", "1500", *sizes, *rest], prog="bench")
    data = settings.make_data()
    task = settings.make_task(data)
    plain = Plain(len(data.source_tokenizer), settings.config.model.dropout)
    contestants = {
        "seqlab": Contestant(
            lambda batch: task.loss(batch) / batch.tokens, task, task.make_optimizer(task.parameters()), 1.0
        ),
        "plain torch": Contestant(plain.loss, plain, torch.optim.Adam(plain.parameters(), 1e-3), 1.0),
    }
    compare(contestants, iter(data.train_dataloader()), options.rounds, options.batches)


if __name__ == "__main__":
    main()
