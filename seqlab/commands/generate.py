"""``seqlab generate``: a prompt to the text that a language model continues it with."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqlab.commands import Arguments, write_out
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.specs import check_range

if TYPE_CHECKING:
    from seqlab.decoding.search import Search

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that would steer a terminal."""
DRAWING = ("samples", "lines", "temperature", "top_k", "top_p", "repetition_penalty", "seed")
"""Flags that mean nothing to a search."""
RANGES = {
    "samples": (1, 100_000),
    **dict.fromkeys(("length", "lines", "top_k"), (1, 10**9)),
    "seed": (0, 2**64 - 1),
}
"""What numbers may be, beyond which nobody can mean them; those of a search are its own."""
SEARCHING = ("beam", "n_best", "length_penalty", "length_normalization", "no_repeat_ngram_size", "min_length")
"""Settings of a search."""


def main(argv: list[str]) -> None:
    """Writes samples to stdout, the first as it is drawn, or what a search has found."""
    parser = _parser()
    parsed, rest = parser.parse_known_intermixed_args(argv)  # the prompt may stand behind a flag
    if rest:
        hint = "" if rest[0].startswith("-") else ": a prompt of several words stands in quotes"
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    options = {name: value for name, value in vars(parsed).items() if value is not None}
    run, prompt = options.pop("run"), options.pop("prompt", None)
    for name, (least, most) in RANGES.items():
        if options.get(name, least) > most:
            check_range(name, options[name], least, most)
    drawing, searching = ([name for name in names if name in options] for names in (DRAWING, SEARCHING))
    if "beam" in options and drawing:
        raise UserError(f"--beam and --{drawing[0]} contradict: what is searched for is not drawn")
    if searching and "beam" not in options:
        raise UserError(f"--{searching[0]} has no effect without --beam")
    run.checkpoint()

    from seqlab.decoding.search import Search
    from seqlab.runs import load

    search = Search(**{name: options.pop(name) for name in SEARCHING if name in options})
    if prompt is None:
        prompt = _read_prompt()

    task: Any = load(run.path)
    verb = "complete" if searching else "generate"
    if not hasattr(task, verb):
        hint = f" (seqlab translate {run.typed} does what it was made for)" if hasattr(task, "translate") else ""
        raise UserError(f"{run} does not {verb} text: its task is {type(task).__name__}{hint}")
    if searching:
        _complete(task, prompt, search, options)
        return
    writer = Writer(prompt, options.get("samples", 1))
    try:
        task.generate(prompt, **options, stream=writer.write)
    finally:
        writer.close()


def _complete(task: Any, prompt: str, search: "Search", options: dict[str, Any]) -> None:
    """Writes what beam search finds."""
    found = task.complete(prompt, search, **options)
    heads = [
        f"{number} of {len(found)}: score {part.score:.4f}, log-probability {part.log_probability:.4f}"
        for number, part in enumerate(found, 1)
    ]
    writer = Writer(prompt, len(found), heads)
    for number, completion in enumerate(found):
        writer.write(number, completion.text)
    writer.close()


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab generate",
        usage="seqlab generate RUN [PROMPT] [--length N] [--samples N] [--lines N] [--temperature X] [--top_k K] "
        "[--top_p P] [--repetition_penalty X] [--unk] [--seed N]\n"
        "       seqlab generate RUN [PROMPT] --beam N [--n_best N] [--length N] [...]",
        description="Continues a prompt with text drawn from the run's language model. Without PROMPT it is read from "
        "stdin, where one line feed at the end is left out; on a terminal it is empty: the start of a text. The last "
        "line of a prompt is open: the text goes on in it. The first sample appears as it is drawn; others, drawn "
        "beside it, after it. With --beam nothing is drawn: the likeliest end of the prompt's last line is searched "
        "for.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of the run")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="the text to go on from, in quotes")
    parser.add_argument("--length", type=int, metavar="N", help="the most tokens of a text (default: 200)")
    # Not given is left to the task, whose defaults are the ones named here.
    parser.add_argument(
        "--unk", action="store_const", const=True, help="allow <unk>, which stands for any unknown word"
    )
    _add_drawing(parser.add_argument_group("samples"))
    _add_searching(parser.add_argument_group("search"))
    return parser


def _add_drawing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--samples", type=int, metavar="N", help="how many samples (default: 1)")
    group.add_argument(
        "--lines", type=int, metavar="N", help="end a sample after this many ends of lines (default: go on)"
    )
    group.add_argument(
        "--temperature", type=float, metavar="X", help="below 1 safer, above 1 wilder, 0 the likeliest (default: 1)"
    )
    group.add_argument("--top_k", type=int, metavar="K", help="draw from the K likeliest tokens only")
    group.add_argument(
        "--top_p", type=float, metavar="P", help="draw from the fewest tokens with a probability of P together"
    )
    group.add_argument(
        "--repetition_penalty",
        type=float,
        metavar="X",
        help="above 1 makes tokens rarer that have occurred (default: 1)",
    )
    group.add_argument("--seed", type=int, metavar="N", help="another seed, another text (default: 1)")


def _add_searching(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--beam", type=int, metavar="N", help="search with a beam of this width; 1 is greedy")
    group.add_argument("--n_best", type=int, metavar="N", help="print the N best with their scores (default: 1)")
    group.add_argument(
        "--length_penalty",
        type=float,
        metavar="X",
        help="exponent of the length that scores are divided by (default: 1)",
    )
    group.add_argument(
        "--length_normalization",
        choices=("average", "wu"),
        help="which length: tokens, or (5 + tokens) / 6 (default: average)",
    )
    group.add_argument(
        "--no_repeat_ngram_size", type=int, metavar="N", help="write no n-gram of this size twice (default: allow it)"
    )
    group.add_argument("--min_length", type=int, metavar="N", help="the fewest tokens of a text (default: 0)")


def _read_prompt() -> str:
    """What stands in stdin, unless that is a terminal."""
    from seqlab.data.lines import decode_line

    if sys.stdin is None or sys.stdin.isatty():
        return ""
    lines = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    return "\n".join(decode_line(line, "stdin", number) for number, line in enumerate(lines, 1))


class Writer:
    """Writes samples to stdout: each the prompt and what follows it, with a line before each if there are several.

    A terminal shows the prompt in bold, and is kept from what would steer it.

    Args:
        prompt: The prompt.
        samples: How many samples there will be.
        heads: What stands before each if there are several; its number if None.
    """

    def __init__(self, prompt: str, samples: int, heads: Sequence[str] | None = None):
        self.prompt, self.samples = prompt, samples
        self.heads = heads
        self.is_terminal = sys.stdout.isatty()
        is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self.bold, self.normal = ("\033[1m", "\033[0m") if self.is_terminal and not is_plain else ("", "")
        self.sample, self.end = -1, "\n"

    def write(self, sample: int, text: str) -> None:
        """Writes a piece of a sample, after its head if it is the first one."""
        if sample != self.sample:
            self.close()
            name = self.heads[sample] if self.heads else f"sample {sample + 1} of {self.samples}"
            head = f"--- {name} ---\n" if self.samples > 1 else ""
            prompt = f"{self.bold}{self._safe(self.prompt)}{self.normal}" if self.prompt else ""
            self._write(f"{head}{prompt}")
            self.sample, self.end = sample, self.prompt[-1:]
        self._write(self._safe(text))
        self.end = text[-1:] or self.end

    def close(self) -> None:
        """Ends the last line."""
        if self.end != "\n":
            self._write("\n")
            self.end = "\n"

    def _safe(self, text: str) -> str:
        return CONTROL.sub("\ufffd", text) if self.is_terminal else text

    def _write(self, text: str) -> None:
        write_out(text)
