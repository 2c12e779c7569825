"""``seqlab translate``: lines from stdin to translations on stdout."""

import argparse
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqlab.commands import SEARCH, Arguments, write_out
from seqlab.commands.heatmaps import Heatmaps
from seqlab.commands.long_lines import LONGEST, LongLines
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.specs import check_range, flat, read_yaml

if TYPE_CHECKING:
    from seqlab.tasks.translator import Candidate, Translator

CHUNK = 2000
"""Lines that are read, sorted by length and translated together; memory and delay are bounded by it."""

SAMPLING = ("temperature", "top_k", "top_p", "seed")
SEARCHING = tuple(name for name in (*SEARCH, "n_best") if name != "max_length")
"""Flags that mean nothing to a sample."""
RANGES = {"max_input_length": (1, 10**9), "top_k": (1, 10**9), "seed": (0, 2**64 - 1)}
"""What numbers may be, beyond which nobody can mean them; those of a search are its own."""


class Chunk(NamedTuple):
    """Lines to translate."""

    first: int
    """Number of the first, from 1."""
    lines: list[str]
    prefixes: list[str]
    """What their translations begin with; empty without such a file."""


def main(argv: list[str]) -> None:
    """Translates stdin to stdout, line for line."""
    options = _parser().parse_args(argv)
    _check_flags(options)
    for run in options.runs:
        if run.path.is_file():
            raise UserError(
                f"{run} is a file, not a run: text comes from stdin, as in seqlab translate RUN < {run.typed}"
            )
        run.checkpoint()

    from tqdm import tqdm

    decoding = _decoding(options)
    translator = _load(options)
    heatmaps = None
    if options.attention is not None:
        translator.check_attention()
        heatmaps = Heatmaps(options.attention)
    long = LongLines(translator.tokenizers[0], options.max_input_length, _learnt(options.runs[0]))
    as_list = options.scores or (not options.sample and (options.n_best or translator.search.n_best) > 1)
    for first, given, prefixes in _chunks(options.prefix):
        chunk = Chunk(first, long.shorten(given, first), prefixes)
        show = {"unit": "line", "leave": False, "disable": not sys.stderr.isatty()}
        with tqdm(total=len(chunk.lines), desc="translating", **show) as bar:
            found = translator.decode(
                chunk.lines, prefixes=chunk.prefixes or None, first=chunk.first, done=bar.update, **decoding
            )
        write_out("".join(_output(chunk.first, found, as_list)))
        if heatmaps is not None:
            best = [candidates[0] if candidates else None for candidates in found]
            maps = translator.look(chunk.lines, best, first=chunk.first)
            heatmaps.write(tqdm(maps, desc="drawing", **show), chunk.first)
    long.tell()
    if heatmaps is not None:
        heatmaps.tell()


# --------------------------------------------------------------------------------------------------------------- flags


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab translate",
        usage="seqlab translate RUN [RUN ...] [--beam N] [--n_best N] [--scores] [--prefix FILE] [--sample] "
        "[--attention DIR] [...] < in.txt > out.txt",
        description="Translates lines of UTF-8 text from stdin to stdout, line for line; empty lines stay empty. "
        "Several runs translate together, as an ensemble.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Run, help="directory of a run")
    parser.add_argument(
        "--ensemble",
        choices=("probabilities", "log-probabilities"),
        help="what several runs have the mean taken of (default: probabilities)",
    )
    parser.add_search()
    parser.add_argument(
        "--n_best",
        type=int,
        metavar="N",
        help="print the N best of each line, as LINE ||| TRANSLATION ||| log_probability= X ||| SCORE, where LINE "
        "counts from 0",
    )
    parser.add_argument(
        "--max_input_length",
        type=int,
        default=LONGEST,
        metavar="N",
        help=f"the most tokens of a line that are translated; it is told which lines have more (default: {LONGEST})",
    )
    parser.add_argument("--scores", action="store_true", help="print in that form whatever --n_best is")
    parser.add_argument(
        "--prefix", metavar="FILE", type=Path, help="for each input line a line that its translation begins with"
    )
    parser.add_argument(
        "--attention",
        metavar="DIR",
        type=Path,
        help="write where each translation looked: LINE.png, a heatmap, and LINE.json, where LINE counts from 1",
    )
    group = parser.add_argument_group("samples in place of a search")
    group.add_argument("--sample", action="store_true", help="draw translations from the model's distribution")
    group.add_argument("--temperature", type=float, metavar="X", help="below 1 safer, above 1 wilder (default: 1)")
    group.add_argument("--top_k", type=int, metavar="K", help="draw from the K likeliest tokens only")
    group.add_argument(
        "--top_p", type=float, metavar="P", help="draw from the fewest tokens with a probability of P together"
    )
    group.add_argument("--seed", type=int, metavar="N", help="another seed, other samples (default: 1)")
    return parser


def _check_flags(options: argparse.Namespace) -> None:
    """Makes sure that flags go together, whatever the runs are."""
    given = {name for name, value in vars(options).items() if value is not None}
    for name, (least, most) in RANGES.items():
        if name in given and getattr(options, name) > most:
            check_range(name, getattr(options, name), least, most)
    if options.max_input_length < 1:
        raise UserError(f"max_input_length must be at least 1, not {options.max_input_length}")
    if options.sample:
        for name in SEARCHING:
            if name in given:
                raise UserError(f"--sample and --{name} contradict: a sample is drawn, not searched for")
    for name in SAMPLING:
        if name in given and not options.sample:
            raise UserError(f"--{name} has no effect without --sample")
    if "ensemble" in given and len(options.runs) == 1:
        raise UserError("--ensemble has no effect on one run; name the others behind it")
    if options.prefix is not None and not options.prefix.is_file():
        raise UserError(f"no file {options.prefix} with prefixes")
    folder = options.attention
    if folder is not None and folder.exists():
        if not folder.is_dir():
            raise UserError(f"{folder} is a file: --attention takes a folder of its own")
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: --attention takes a folder of its own")


def _decoding(options: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of the search or of the samples, each within its range."""
    from seqlab.decoding.sampling import Sampling
    from seqlab.decoding.search import Search

    search = {name: getattr(options, name) for name in (*SEARCH, "n_best") if getattr(options, name) is not None}
    # What contradicts the run's own settings is seen when these are known.
    Search(**({"beam": max(search.get("n_best", 1), 1)} | search))
    if not options.sample:
        return search
    given = {name: getattr(options, name) for name in SAMPLING if getattr(options, name) is not None}
    seed = given.pop("seed", 1)
    if seed < 0:
        raise UserError(f"seed must not be negative, but is {seed}")
    return {**search, "sampling": Sampling(**given), "seed": seed}


def _load(options: argparse.Namespace) -> "Translator":
    """What translates with all runs."""
    from seqlab.runs import load
    from seqlab.tasks.translator import Translator, changed

    tasks: list[Any] = []
    for run in options.runs:
        tasks.append(load(run.path))
        if not hasattr(tasks[-1], "translate"):
            hint = f" (seqlab generate {run.typed} does what it was made for)" if hasattr(tasks[-1], "generate") else ""
            raise UserError(f"{run} does not translate: its task is {type(tasks[-1]).__name__}{hint}")
    translator = Translator(tasks, mean=options.ensemble or "probabilities", names=list(map(str, options.runs)))
    changed(translator.search, {name: getattr(options, name) for name in (*SEARCH, "n_best")})
    return translator


def _learnt(run: Run) -> int | None:
    """The most tokens of a sentence that a run was trained on, if its data have such a limit."""
    limit = flat(read_yaml(run.config)).get("data.max_length")
    return limit if isinstance(limit, int) else None


# ----------------------------------------------------------------------------------------------------- input and output


def _chunks(prefix: Path | None) -> Iterator[Chunk]:
    """Chunks of lines from stdin, with the lines of a file of prefixes beside them.

    Raises:
        UserError: A line is not UTF-8, or the file has another number of lines.
    """
    from seqlab.data.lines import lines_of

    if sys.stdin.isatty():
        print("type source lines, then Ctrl-D", file=sys.stderr)
    chunk = Chunk(1, [], [])
    pairs = ((line, None) for line in _stdin()) if prefix is None else zip_longest(_stdin(), lines_of(prefix))
    for number, (line, begin) in enumerate(pairs, 1):
        if line is None or (prefix is not None and begin is None):
            own, other = (f"more than {number - 1}", number - 1) if begin is not None else (number - 1, "more")
            raise UserError(f"{prefix} has {own} lines but stdin has {other}: each needs one, empty where it is free")
        chunk.lines.append(line)
        if begin is not None:
            chunk.prefixes.append(begin)
        if len(chunk.lines) == CHUNK:
            yield chunk
            chunk = Chunk(number + 1, [], [])
    if chunk.lines:
        yield chunk


def _stdin() -> Iterator[str]:
    from seqlab.data.lines import decoded

    return decoded(sys.stdin.buffer, "stdin")


def _output(first: int, found: "list[list[Candidate]]", as_list: bool) -> Iterator[str]:
    """The lines to print, each with its end; the list is that of Moses and Marian."""
    for number, candidates in enumerate(found, first - 1):
        if not as_list:
            yield f"{candidates[0].text if candidates else ''}\n"
            continue
        for candidate in candidates:
            numbers = f"log_probability= {candidate.log_probability:.6f} ||| {candidate.score:.6f}"
            yield f"{number} ||| {candidate.text} ||| {numbers}\n"
        if not candidates:
            yield f"{number} |||  ||| log_probability= 0.000000 ||| 0.000000\n"
