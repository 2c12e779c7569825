"""What the parser of all commands says of a flag that it does not know."""

import pytest

from seqlab.commands import Arguments
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
