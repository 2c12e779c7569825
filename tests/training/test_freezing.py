"""Which parameters a pattern means."""

import pytest
from torch import nn

from seqlab.errors import UserError
from seqlab.training.freezing import freeze, matching, trained_parameters
from seqlab.training.settings import TrainingSettings

NAMES = ["net.encoder.cell.weight", "net.encoder.cell.bias", "net.decoder.cell.weight", "net.gain"]


class Model(nn.Module):
    """An encoder and a decoder with one embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "layer": nn.Linear(3, 4)})
        self.decoder = nn.ModuleDict({"layer": nn.Linear(4, 3), "output": nn.Linear(3, 5)})
        self.decoder["output"].weight = self.encoder["embedding"].weight


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["net.encoder.*"], NAMES[:2]),
        (["*.weight"], [NAMES[0], NAMES[2]]),
        (["net.gain", "*bias"], [NAMES[1], NAMES[3]]),
        (["net.[de]*coder.cell.weight", "net.decoder.*"], [NAMES[0], NAMES[2]]),
        ([], []),
    ],
)
def test_patterns(patterns: list[str], expected: list[str]) -> None:
    assert matching(NAMES, patterns, "x") == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("net.encodr.*", r"no parameter is named net\.encodr\.\*; did you mean 'net\.encoder\.\*'\?"),
        ("net.encoder", r"named net\.encoder; did you mean 'net\.encoder\.\*'\?"),
        ("net.Gain", r"did you mean 'net\.gain'\? \(there are: net\.decoder\.\*, net\.encoder\.\*, net\.gain\)"),
        ("xyz", r"named xyz \(there are: "),
        (
            "weight",
            r"named weight; did you mean '\*weight\*', which is net\.\w+[\w.]*\.weight and \d+ more\? \(there are",
        ),
        ("*.weigt", r"named \*\.weigt; did you mean '\*weight\*'\? \(there are"),
    ],
)
def test_a_pattern_that_matches_nothing(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^training\.freeze: .*{message}"):
        matching(NAMES, ["net.*", pattern], "training.freeze")


def test_a_shared_parameter_is_frozen_by_any_of_its_names() -> None:
    for pattern in ("decoder.output.weight", "encoder.embedding.*"):
        model = Model()
        freeze(model, [pattern])
        assert not model.encoder["embedding"].weight.requires_grad
        rest = [f"{side}.layer.{name}" for side in ("encoder", "decoder") for name in ("weight", "bias")]
        assert list(trained_parameters(model)) == [*rest, "decoder.output.bias"]


def test_something_must_be_left() -> None:
    with pytest.raises(UserError, match=r"training\.freeze: encoder\.\*, decoder\.\* leaves no parameter to train"):
        freeze(Model(), ["encoder.*", "decoder.*"])
    freeze(nn.Identity(), [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"l1_penalty": -0.1}, "training.l1_penalty must not be negative, not -0.1"),
        ({"l2_penalty": float("nan")}, "training.l2_penalty must not be negative, not nan"),
        ({"normalize_gradient": 0.0}, "training.normalize_gradient must be above 0"),
        ({"normalize_gradient": float("inf")}, "training.normalize_gradient must be above 0"),
        ({"init_only": "a.*"}, "training.init_only says what to take over, but training.init_from names no run"),
    ],
)
def test_settings_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingSettings(**settings)


def test_patterns_in_one_line() -> None:
    settings = TrainingSettings(freeze=" a.*, b ,", init_from="x", init_only=["c", "d.*"])
    assert (settings.freeze, settings.init_only) == (["a.*", "b"], ["c", "d.*"])
