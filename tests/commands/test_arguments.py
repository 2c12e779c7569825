"""What commands share: the parser, which tells of flags that it does not know, and flags that are settings of runs."""

import pytest

from seqlab.commands import Arguments, split_flags
from seqlab.errors import UserError


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--cels", "lstm"], "unrecognized arguments: --cels lstm; did you mean '--cells'? (see seqlab try -h)"),
        (["--cels=lstm"], "unrecognized arguments: --cels=lstm; did you mean '--cells'? (see seqlab try -h)"),
        (["--zzz"], "unrecognized arguments: --zzz (see seqlab try -h)"),
    ],
)
def test_a_flag_of_nearly_this_name_is_asked_for(argv: list[str], told: str) -> None:
    parser = Arguments(prog="seqlab try")
    parser.add_argument("--cells")
    with pytest.raises(UserError) as error:
        parser.parse_args(argv)
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("runs/a --data.test de-en runs/b --beam 3", "--data.test de-en"),
        ("--data.test=de-en runs/b", "--data.test=de-en"),
        ("--data.lowercase --beam 3", "--data.lowercase"),
        (
            "--seed 7 runs/a --config=c.yaml --task T --data_module D",
            "--seed 7 --config=c.yaml --task T --data_module D",
        ),
        ("runs/a.b --seeds 3 --data", ""),
        ("runs/a --data.test", "--data.test"),
    ],
)
def test_flags_with_a_dot_and_those_of_no_group_are_settings_of_runs(line: str, settings: str) -> None:
    own, found = split_flags(line.split())
    assert " ".join(found) == settings
    assert own == [word for word in line.split() if word not in settings.split()]
