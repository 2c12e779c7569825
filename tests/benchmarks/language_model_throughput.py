"""Training throughput and memory of the language-model task against a plain torch loop of the same maths, in turns.

    python tests/benchmarks/language_model_throughput.py --data.train train.txt --data.val valid.txt [--rounds 9]

The sizes are those of the recipe ``penn-treebank``: two layers of 200 units, words. The plain loop is what one would
write by hand over nn.LSTM: state carried without its history, SGD, clipping by norm. Both train on the same batches,
one after the other within a round. Other flags are settings of the recipe.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional
from turns import Contestant, compare

from seqlab import registry
from seqlab.config import parse
from seqlab.data.streams import StreamBatch
from seqlab.data.tokenizers import PAD
from seqlab.training.allocator import keep_freed_memory

PLAIN = {
    **{"tying": "false", "embedding_init": "uniform", "optimizer": "torch.optim.SGD", "optimizer.lr": "1"},
    **dict.fromkeys(("embedding_dropout", "input_dropout", "layer_dropout", "dropout", "weight_drop"), "0"),
}


class Plain(nn.Module):
    """Embedding, two layers of nn.LSTM, softmax."""

    def __init__(self, vocabulary: int, size: int):
        super().__init__()
        self.embedding, self.layers = nn.Embedding(vocabulary, size), nn.LSTM(size, size, 2)
        self.output = nn.Linear(size, vocabulary)
        self.state: tuple[Tensor, ...] | None = None

    def loss(self, batch: StreamBatch) -> Tensor:
        state = None if batch.first or self.state is None else tuple(part.detach() for part in self.state)
        y, self.state = self.layers(self.embedding(batch.inputs_TB), state)
        return functional.cross_entropy(self.output(y).flatten(0, 1), batch.targets_TB.flatten(), ignore_index=PAD)


def main() -> None:
    keep_freed_memory()  # as a fit does; both gain
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=40)
    options, rest = parser.parse_known_args()
    plainly = [part for name, value in PLAIN.items() for part in (f"--model.{name}", value)]
    settings = parse(registry.recipe_path("penn-treebank"), [*plainly, *rest], prog="bench")
    data = settings.make_data()
    task = settings.make_task(data)
    plain = Plain(len(data.tokenizer), settings.config.model.hidden_size)
    contestants = {
        "seqlab": Contestant(
            lambda batch: task.loss(batch) / batch.tokens, task, task.make_optimizer(task.parameters()), 0.25
        ),
        "plain torch": Contestant(plain.loss, plain, torch.optim.SGD(plain.parameters(), 1.0), 0.25),
    }
    compare(contestants, iter(data.train_dataloader()), options.rounds, options.batches)


if __name__ == "__main__":
    main()
