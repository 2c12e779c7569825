"""Small fits that between them have everything that a run must take up again, and the text that they train on."""

import json
from itertools import product
from pathlib import Path
from typing import NamedTuple

NOUNS = {"dog": "Hund", "cat": "Kater", "man": "Mann", "boy": "Junge", "bird": "Vogel", "horse": "Gaul", "fox": "Fuchs"}
VERBS = {"sees": "sieht", "hears": "hört", "likes": "mag", "finds": "findet", "calls": "ruft"}
TRAIN, VAL = 180, 65

EMA = {"class_path": "EMA", "init_args": {"decay": 0.9}}
LAST_N = {"class_path": "LastN", "init_args": {"count": 3, "every": 5}}
PLATEAU = {"class_path": "Plateau", "init_args": {"monitor": "val/accuracy", "mode": "max", "patience": 0}}
NT_ASGD = {"class_path": "NTASGD", "init_args": {"lr": 40.0, "interval": 1}}
CONSTANT = {"class_path": "Constant", "init_args": {"warmup": 0}}
SAMPLING = {"class_path": "Linear", "init_args": {"start": 0.9, "slope": 0.01}}


class Combination(NamedTuple):
    """A fit that is to be killed."""

    what: str
    """In the words of the table."""
    task: str
    devices: int
    flags: dict[str, object]
    """Settings beside those of all fits of the task."""

    def argv(self, folder: Path) -> list[str]:
        """The flags of ``seqlab fit``, but for ``--run``, on the text in a folder."""
        settings = {**FITS, **TASKS[self.task], "trainer.devices": self.devices, **self.flags}
        for split in ("train", "val"):
            settings[f"data.{split}"] = str(folder / split) + (".en" if self.task == "language-model" else "")
        flags = [
            (f"--{key}", value if isinstance(value, str) else json.dumps(value)) for key, value in settings.items()
        ]
        return ["--recipe", self.task, *(part for flag in flags for part in flag)]


FITS = {
    "trainer.accelerator": "cpu",
    "trainer.log_every_n_steps": 1,
    "trainer.max_steps": 90,
    "trainer.val_check_interval": 14,
    "checkpoint.every_n_steps": 4,
}
TASKS: dict[str, dict[str, object]] = {
    "translation": {
        **{"data.source": "en", "data.target": "de", "data.batch_tokens": 150, "data.tokenizer.vocab_size": 60},
        **{"data.tokenizer.kind": "bpe", "data.tokenizer.split_digits": False, "model.dropout": 0.2},
        **{"model.embedding_size": 24, "model.encoder_size": 20, "model.decoder_size": 28},
    },
    "language-model": {
        **{"data.tokenizer.kind": "word", "data.tokenizer.vocab_size": 40, "data.streams": 4, "data.window": 11},
        **{"data.validation_streams": 2, "model.embedding_size": 40, "model.hidden_size": 40},
    },
}
EPOCHS = {"trainer.max_steps": -1, "trainer.check_val_every_n_epoch": 1, "trainer.val_check_interval": 1.0}
COMBINATIONS = {
    "epochs": Combination(
        "validation at the end of each epoch, 3 batches accumulated",
        "translation",
        1,
        {
            **{**EPOCHS, "trainer.max_epochs": 7, "model.schedule": CONSTANT, "checkpoint.every_n_steps": 1},
            **{"trainer.accumulate_grad_batches": 3, "data.batch_tokens": 300},
        },
    ),
    "epochs-ntasgd": Combination(
        "as in the recipe awd-lstm: epochs, random windows, NT-ASGD",
        "language-model",
        1,
        {
            **{**EPOCHS, "trainer.max_epochs": 6, "model.schedule": CONSTANT, "checkpoint.every_n_steps": 1},
            **{"data.random_window": True, "model.optimizer": NT_ASGD, "checkpoint.monitor": "val/perplexity"},
        },
    ),
    "workers": Combination(
        "2 loader workers, BPE-dropout", "translation", 1, {"data.workers": 2, "data.tokenizer.dropout": 0.2}
    ),
    "ema": Combination(
        "3 batches accumulated, EMA",
        "translation",
        1,
        {"trainer.accumulate_grad_batches": 3, "model.average": EMA, "trainer.max_steps": 50},
    ),
    "plateau": Combination(
        "last-n averaging, plateau, early stopping",
        "translation",
        1,
        {"model.average": LAST_N, "model.schedule": PLATEAU, "checkpoint.patience": 2, "checkpoint.every_n_steps": 7},
    ),
    "sampling": Combination(
        "scheduled sampling, LSTM, 2 decoder layers",
        "translation",
        1,
        {
            "model.scheduled_sampling": SAMPLING,
            "model.cell": "lstm",
            "model.decoder_layers": 2,
            "trainer.max_steps": 60,
        },
    ),
    "two": Combination(
        "2 processes, 2 workers, BPE-dropout, 3 accumulated",
        "translation",
        2,
        {
            **{"data.workers": 2, "data.tokenizer.dropout": 0.2, "trainer.accumulate_grad_batches": 3},
            **{"trainer.max_steps": 40},
        },
    ),
    "two-ema": Combination(
        "2 processes, EMA, scheduled sampling",
        "translation",
        2,
        {"model.average": EMA, "model.scheduled_sampling": SAMPLING, "trainer.max_steps": 40},
    ),
    "ntasgd": Combination(
        "streams, random windows, NT-ASGD",
        "language-model",
        1,
        {"data.random_window": True, "model.optimizer": NT_ASGD, "model.schedule": CONSTANT},
    ),
    "streams": Combination(
        "streams, 2 workers, 3 accumulated, EMA",
        "language-model",
        1,
        {"data.workers": 2, "trainer.accumulate_grad_batches": 3, "model.average": EMA, "trainer.max_steps": 60},
    ),
    "documents": Combination(
        "documents, zoneout, plateau, early stopping",
        "language-model",
        1,
        {
            **{"data.stateful": False, "data.batch_tokens": 60, "model.zoneout": 0.1, "model.schedule": PLATEAU},
            **{"checkpoint.monitor": "val/accuracy", "checkpoint.mode": "max", "checkpoint.patience": 3},
        },
    ),
    "two-ntasgd": Combination(
        "2 processes, streams, NT-ASGD",
        "language-model",
        2,
        {
            **{"data.random_window": True, "model.optimizer": NT_ASGD, "model.schedule": CONSTANT},
            **{"trainer.max_steps": 60},
        },
    ),
    "two-last-n": Combination(
        "2 processes, documents, last-n averaging",
        "language-model",
        2,
        {
            **{"data.stateful": False, "data.batch_tokens": 60, "model.average": LAST_N},
            **{"trainer.accumulate_grad_batches": 3, "trainer.max_steps": 40},
        },
    ),
}


def write_text(folder: Path) -> None:
    """Writes train and val, in English and German, in an order without pattern."""
    pairs = [
        (f"The {a} {v} the {b}.", f"Der {NOUNS[a]} {VERBS[v]} den {NOUNS[b]}.")
        for a, v, b in product(NOUNS, VERBS, NOUNS)
    ]
    pairs = [pairs[number * 97 % len(pairs)] for number in range(len(pairs))]
    for split, rows in (("train", pairs[:TRAIN]), ("val", pairs[TRAIN : TRAIN + VAL])):
        for side, language in enumerate(("en", "de")):
            (folder / f"{split}.{language}").write_text("".join(f"{row[side]}\n" for row in rows), encoding="utf-8")
