"""What is wrong with a flag is said in one short line."""

import re
from pathlib import Path
from typing import Any

import pytest

from seqlab import registry
from seqlab.config import parse
from seqlab.errors import UserError

TRANSLATION = registry.recipe_path("translation")
FORMS = "Expected one of none, nfc, nfkc or null. Got value: nfd"
LAST = "the class that {} names has no such argument"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--model.schedule Step", "model.schedule: Step needs after and every, as --model.schedule.after VALUE"),
        ("--model.schedule Noam", "model.schedule: Noam needs size, as --model.schedule.size VALUE"),
        ('--model.schedule {"class_path":"Step"}', "Step needs after and every, as --model.schedule.after VALUE"),
        ("--model.schedule Stepp", "model.schedule: there is no class Stepp"),
        ("--model.schedule torch.nn.Linear", "model.schedule: torch.nn.Linear is no subclass of Schedule"),
        ("--model.schedule os.path", "os.path is of none of the packages that a recipe may name classes of"),
        ("--model.schedule.after 3", f"no setting named model.schedule.after: {LAST.format('model.schedule')}"),
        ("--model.schedule Step --model.schedule.aftr 3", "no setting named model.schedule.aftr: the class"),
        ("--model.schedule Step --model.schedule.after x", "model.schedule.after: Expected int. Got value: x"),
        ("--model.schedule Cosin", "model.schedule: there is no class Cosin; did you mean 'Cosine'?"),
        ("--model.average EMMA", "model.average: there is no class EMMA; did you mean 'EMA'?"),
        ("--model.average Polyak", "model.average: there is no class Polyak (there are: "),
        ("--model.metrics.bleu BLUE", "there is no class BLUE; did you mean 'BLEU'?"),
        ("--model.optimizer.lr fast", "model.optimizer.lr: Expected float. Got value: fast"),
        ("--model.optimizer.init_args.lr fast", "model.optimizer.init_args.lr: Expected float. Got value: fast"),
        (
            "--model.optimizer torch.optim.AdmW",
            "model.optimizer: there is no class torch.optim.AdmW; did you mean 'AdamW'",
        ),
        (
            "--model.optimizer.bettas 2",
            "no setting named model.optimizer.bettas: the class that model.optimizer names has",
        ),
        ("--model.optimizer.bettas 2", "has no such argument; did you mean 'betas'?"),
        ("--model.optimizer SGD --model.optimizer.momentun 2", "no such argument; did you mean 'momentum'?"),
        ("--model.optimizer SGD --model.optimizer.xyz 2", "no such argument (it has: lr, momentum, dampening, "),
        ("--trainer.precision 17", "trainer.precision: Expected one of 64, 32, 16, transformer-engine, "),
        ("--checkpoint.mode maxx", "checkpoint.mode: Expected one of max, min. Got value: maxx"),
        (
            "--data.target_tokenizer.kind bp",
            "data.target_tokenizer.kind: Expected one of unigram, bpe, word, character",
        ),
        (
            "--data.tokenizer bpe",
            "data.tokenizer has settings of its own, such as --data.tokenizer.NAME VALUE, or is a",
        ),
        ("--model.foo 1", "no setting named model.foo; --help lists them"),
        ("runs/x", "unrecognized argument: runs/x (a setting is given as --GROUP.NAME VALUE, a run as --run DIR)"),
        ("--trainer.max_steps", "argument --trainer.max_steps: it needs a value"),
        ("--model.attentio dot", "no setting named model.attentio; did you mean 'model.attention'?"),
        ("--model.average EMA --model.average.decay x", "model.average.decay: Expected float. Got value: x"),
        ("--model.optimizer SGD --model.optimizer.lrr 2", "no setting named model.optimizer.lrr: the class"),
        ("--model.optimizer Adamm", "model.optimizer: there is no class Adamm"),
        ("--model.metrics.bleu.tokeniz 13a", f"model.metrics.bleu.tokeniz: {LAST.format('model.metrics.bleu')}"),
        ("--checkpoint.patience x", "checkpoint.patience: Expected int or null. Got value: x"),
        ("--trainer.gradient_clip_val x", "trainer.gradient_clip_val: Expected int or float or null. Got value: x"),
        ("--trainer.callbacks ModelPruning", "trainer.callbacks: ModelPruning needs pruning_fn"),
        ("--training.l2_penalty x", "training.l2_penalty: Expected float. Got value: x"),
        ("--model.l2_penalty 1", "no setting named model.l2_penalty; did you mean 'training.l2_penalty'?"),
        ("--trainer.freeze a.*", "no setting named trainer.freeze; did you mean 'training.freeze'?"),
        ('--data.tokenizer {"kind":"bpe","normalization":"nfd"}', f"data.tokenizer.normalization: {FORMS}"),
        ('--data.target_tokenizer {"normalization":"nfd"}', f"data.target_tokenizer.normalization: {FORMS}"),
        ("--model.optimizer torch.nn.Linear", "model.optimizer: torch.nn.Linear is no subclass of Optimizer"),
        ("--model.optimizer null", "model.optimizer needs a class, not null"),
        ("--model.metrics.bleu torch.nn.Linear", "torch.nn.Linear is no subclass of Metric"),
        (
            "--model.metrics.bleu 3",
            "there is no class 3 (there are: Accuracy, AnswerAccuracy, AnswerPerplexity, BLEU, BitsPerByte, "
            "BrevityPenalty, CHRF, LengthRatio, MeanSquaredError, ",  # and more, among them what other tests define
        ),
        ("--model.schedule Foo", "(there are: Constant, Cosine, InverseSquareRoot, Linear, Noam, Plateau, Step)"),
        ("--model.search torch.nn.Linear", "model.search has settings of its own, such as --model.search.NAME VALUE"),
        ("--trainer.plugins torch.nn.Linear", "trainer.plugins: torch.nn.Linear is no subclass of Precision or Clus"),
        ('--model.schedule {"class_path":"Cosine","init_args":{"warmupp":3}}', "did you mean 'warmup'?"),
        ("--model.coverage_penalty 1", "model.coverage_penalty; it is called model.coverage_loss now"),
    ],
)
def test_wrong_flags(flags: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(TRANSLATION, flags.split(), prog="seqlab fit")
    text = str(caught.value)
    assert expected in text and "\n" not in text and "Union" not in text and "Namespace" not in text


@pytest.mark.parametrize("flag", ["a.*,b", '["a.*","b"]'])
def test_patterns_are_a_list_or_have_commas_between(flag: str) -> None:
    settings = parse(TRANSLATION, ["--training.freeze", flag], prog="seqlab fit")
    assert settings.built.training.freeze == ["a.*", "b"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("task: seqlab.tasks.Translation\ndata_module: seqlab.data.parallel_text.ParallelText\n", "it lacks model."),
        (TRANSLATION.read_text("utf-8").replace("  dropout:", "  dropuot:"), "no setting named model.dropuot; did you"),
        (TRANSLATION.read_text("utf-8").replace("dropout: 0.1", "dropout: x"), "model.dropout: Expected float. Got"),
    ],
    ids=["cut short", "a wrong name", "a wrong value"],
)
@pytest.mark.parametrize("flags", [[], ["--seed", "3"]], ids=["alone", "with a flag"])
def test_what_is_wrong_in_a_file_is_told_of_it(tmp_path: Path, content: str, expected: str, flags: list[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(UserError, match=f"^{re.escape(f'{file}: {expected}')}"):
        parse(file, flags, prog="seqlab translate")


def test_what_is_wrong_in_a_flag_is_not_told_of_the_file() -> None:
    with pytest.raises(UserError, match=r"^model\.dropout: Expected float"):
        parse(TRANSLATION, ["--model.dropout", "x"], prog="seqlab fit")


@pytest.mark.parametrize(
    ("flags", "expected", "told"),
    [
        ("--model.optimizer SGD", {"lr": 0.002, "weight_decay": 0, "fused": None}, "fused, weight_decay"),
        ("--model.optimizer.class_path torch.optim.SGD", {"lr": 0.002, "weight_decay": 0}, "fused, weight_decay"),
        (
            "--model.optimizer SGD --model.optimizer.lr 0.5 --model.optimizer.momentum 0.9",
            {"lr": 0.5, "momentum": 0.9},
            "fused, weight_decay",
        ),
        ("--model.optimizer SGD --model.optimizer.weight_decay 0.3", {"weight_decay": 0.3, "fused": None}, "fused"),
        (
            '--model.optimizer {"class_path":"SGD","init_args":{"fused":true}}',
            {"fused": True, "weight_decay": 0},
            "weight_decay",
        ),
        ("--model.optimizer AdamW", {"lr": 0.002, "weight_decay": 0.0001, "fused": True}, None),
        ("--model.optimizer torch.optim.AdamW --model.optimizer.lr 0.1", {"lr": 0.1, "fused": True}, None),
    ],
)
def test_another_optimizer_has_its_own_defaults(
    flags: str, expected: dict[str, Any], told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "seqlab"):
        settings = parse(TRANSLATION, flags.split(), prog="seqlab fit")
    options = settings.config.model.optimizer.init_args
    assert {name: options[name] for name in expected} == expected
    line = f"model.optimizer: SGD has defaults of its own for what was set for AdamW: {told}"
    assert [record.getMessage() for record in caplog.records] == ([line] if told else [])
