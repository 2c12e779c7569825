"""What is shown while a model trains."""

import io

import pytest
from tqdm import tqdm

from seqlab.training.progress import beside

SHOWN = ["loss=7.197", "tokens/s=7,286", "val/bits_per_byte=3.47"]


@pytest.mark.parametrize(("columns", "count"), [(60, 0), (75, 1), (92, 2), (116, 3), (200, 3)])
def test_a_bar_has_beside_it_what_there_is_room_for(columns: int, count: int) -> None:
    form = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    file = io.StringIO()
    with tqdm(total=20000, initial=19999, desc="training", ncols=columns, bar_format=form, file=file) as bar:
        bar.set_postfix_str(beside(bar, SHOWN))
        bar.set_description_str("validating")
    line = file.getvalue().split("\r")[-1].rstrip()
    assert len(line) <= columns and line.endswith("]")
    assert [name in line for name in SHOWN] == [position < count for position in range(3)]
