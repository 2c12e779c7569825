"""What is wrong with a flag is said in one short line."""

import pytest

from seqlab import registry
from seqlab.config import parse
from seqlab.errors import UserError

TRANSLATION = registry.recipe_path("translation")
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
