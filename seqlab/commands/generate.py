"""``seqlab generate``: a prompt to the text that a language model continues it with."""

import os
import re
import sys
from typing import Any

from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.runs import Run

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that would steer a terminal."""


def main(argv: list[str]) -> None:
    """Writes samples to stdout, the first as it is drawn."""
    parser = Arguments(
        prog="seqlab generate",
        usage="seqlab generate RUN [PROMPT] [--length N] [--samples N] [--lines N] [--temperature X] [--top_k K] "
        "[--top_p P] [--repetition_penalty X] [--unk] [--seed N]",
        description="Continues a prompt with text drawn from the run's language model. Without PROMPT it is read from "
        "stdin, where one line feed at the end is left out; on a terminal it is empty: the start of a text. The last "
        "line of a prompt is open: the text goes on in it. The first sample appears as it is drawn; others, drawn "
        "beside it, after it.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of the run")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="the text to go on from, in quotes")
    parser.add_argument("--length", type=int, default=200, help="the most tokens of a sample (default: 200)")
    parser.add_argument("--samples", type=int, default=1, help="how many samples (default: 1)")
    parser.add_argument("--lines", type=int, help="end a sample after this many ends of lines (default: go on)")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 safer, above 1 wilder, 0 the likeliest (default: 1)"
    )
    parser.add_argument("--top_k", type=int, help="draw from the K likeliest tokens only")
    parser.add_argument("--top_p", type=float, help="draw from the fewest tokens with a probability of P together")
    parser.add_argument(
        "--repetition_penalty",
        type=float,
        default=1.0,
        help="above 1 makes tokens rarer that have occurred (default: 1)",
    )
    parser.add_argument("--unk", action="store_true", help="allow <unk>, which stands for any unknown word")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another text (default: 1)")
    parsed, rest = parser.parse_known_intermixed_args(argv)  # the prompt may stand behind a flag
    if rest:
        hint = "" if rest[0].startswith("-") else ": a prompt of several words stands in quotes"
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    options = vars(parsed)
    run, prompt = options.pop("run"), options.pop("prompt")
    run.checkpoint()
    if prompt is None:
        prompt = _read_prompt()

    from seqlab.runs import load

    task: Any = load(run.path)
    if not hasattr(task, "generate"):
        hint = f" (seqlab translate {run} does what it was made for)" if hasattr(task, "translate") else ""
        raise UserError(f"{run} does not generate text: its task is {type(task).__name__}{hint}")
    writer = Writer(prompt, options["samples"])
    try:
        task.generate(prompt, **options, stream=writer.write)
    finally:
        writer.close()


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
    """

    def __init__(self, prompt: str, samples: int):
        self.prompt, self.samples = prompt, samples
        self.is_terminal = sys.stdout.isatty()
        is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self.bold, self.normal = ("\033[1m", "\033[0m") if self.is_terminal and not is_plain else ("", "")
        self.sample, self.end = -1, "\n"

    def write(self, sample: int, text: str) -> None:
        """Writes a piece of a sample, after its head if it is the first one."""
        if sample != self.sample:
            self.close()
            head = f"--- sample {sample + 1} of {self.samples} ---\n" if self.samples > 1 else ""
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
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
