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
