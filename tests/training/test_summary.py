"""What a fit ends with."""

from seqlab.training.summary import closing_table

ROWS = {
    "logs": ["runs/a/logs/metrics.csv", "(tensorboard --logdir runs/a/logs)"],
    "time": ["2 min 3 s,", "of which training 1 min 5 s"],
    "val/bleu": ["37.46 *"],
    "next": ["seqlab evaluate runs/a"],
}
COMMANDS = ["seqlab translate runs/a < in.txt"]


def test_a_file_has_a_line_for_each_row() -> None:
    assert closing_table(ROWS, COMMANDS, None) == [
        "logs      runs/a/logs/metrics.csv (tensorboard --logdir runs/a/logs)",
        "time      2 min 3 s, of which training 1 min 5 s",
        "val/bleu  37.46 *",
        "next      seqlab evaluate runs/a",
        "          seqlab translate runs/a < in.txt",
    ]
    assert closing_table(ROWS, COMMANDS, 68) == closing_table(ROWS, COMMANDS, None)


def test_a_terminal_has_the_parts_of_a_row_that_is_too_long_below_each_other() -> None:
    lines = closing_table(ROWS, COMMANDS, 48)
    assert lines[:3] == [
        "logs      runs/a/logs/metrics.csv",
        "          (tensorboard --logdir runs/a/logs)",
        "time      2 min 3 s, of which training 1 min 5 s",
    ]
    narrow = closing_table(ROWS, COMMANDS, 20)
    assert "next      seqlab evaluate runs/a" in narrow, "a command is never broken"
    assert narrow[-1] == "          seqlab translate runs/a < in.txt"
