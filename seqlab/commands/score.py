"""``seqlab score``: log-probabilities of texts that are given, for reranking and minimal pairs."""

import argparse
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from seqlab.commands import Arguments, write_out
from seqlab.commands.long_lines import LONGEST, check_length
from seqlab.commands.score_input import Row, read_rows
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.score_text import percent
from seqlab.specs import check_range

if TYPE_CHECKING:
    from seqlab.tasks.forced import Forced

log = logging.getLogger("seqlab")

CHUNK = 2000
"""Lines that are sorted by length and scored together; of stdin no more are held."""
COLUMNS = ("log_probability", "tokens", "perplexity")
TOKEN_COLUMNS = ("log_probabilities", "pieces")
BLANK = re.compile(r"[\x00-\x20]")


Force = Callable[[Sequence[Row], Callable[[int], Any]], "list[Forced]"]


def main(argv: list[str]) -> None:
    """Scores texts from files or stdin, a line on stdout for each."""
    parser = Arguments(
        prog="seqlab score",
        usage="seqlab score RUN [--source FILE --target FILE | --source FILE --n_best FILE | --lines FILE] [--stream] "
        "[--tokens] [--format tsv|jsonl] [--header]",
        description="Prints the log-probability of each text (natural logarithm), its number of tokens and its "
        "perplexity per token, its end included, and a summary on stderr. Texts are UTF-8. Without a FILE they come "
        "from stdin: lines of source, tab and target for a run that translates, lines of text for a language model. "
        "FILE may be - for stdin.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of the run")
    parser.add_argument("--source", metavar="FILE", help="source sentences, for a run that translates")
    parser.add_argument("--target", metavar="FILE", help="a translation of each, to be scored")
    parser.add_argument("--lines", metavar="FILE", help="lines of text, for a language model")
    parser.add_argument(
        "--n_best",
        metavar="FILE",
        help="a list of lines NUMBER ||| TEXT ||| ..., where NUMBER counts the lines of --source from 0; each is "
        "printed as it is, and ||| and the log-probability of TEXT after it",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="for a language model: read each line after those before it (default: each is a text of its own)",
    )
    parser.add_argument(
        "--max_input_length",
        type=int,
        metavar="N",
        help=f"the most tokens of a source or a target; a longer one is refused (default: {LONGEST})",
    )
    parser.add_argument("--tokens", action="store_true", help="add the log-probability and the text of every token")
    parser.add_argument("--format", choices=("tsv", "jsonl"), default="tsv", help="default: tsv")
    parser.add_argument("--header", action="store_true", help="begin with a line of the columns' names")
    options = parser.parse_args(argv)
    _check_flags(options)
    options.run.checkpoint()

    from tqdm import tqdm

    from seqlab.runs import load

    task: Any = load(options.run.path)
    translates = _check_task(task, options)
    rows, total = read_rows(options, translates)
    if translates:
        most = LONGEST if options.max_input_length is None else options.max_input_length
        rows = _short_enough(rows, task, most)
        rows = rows if total is None else iter(list(rows))  # so that it is said of files before anything is printed
    force, write, summary = _force(task, translates, options.stream), _writer(task, options), Summary(translates)
    head = ["\t".join([*COLUMNS, *(TOKEN_COLUMNS if options.tokens else [])])] if options.header else []
    with tqdm(total=total, unit="line", desc="scoring", leave=False, disable=not sys.stderr.isatty()) as bar:
        for chunk in iter(lambda: list(islice(rows, CHUNK)), []):
            found = force(chunk, bar.update)
            lines = [*(head if not summary.lines else []), *map(write, chunk, found)]
            summary.add(chunk, found)
            with tqdm.external_write_mode():  # the bar may stand on the same terminal
                write_out("".join(f"{line}\n" for line in lines))
    if not summary.lines:
        raise UserError("stdin is empty: there is nothing to score")
    summary.tell()


def _short_enough(rows: Iterator[Row], task: Any, most: int) -> Iterator[Row]:
    """Rows whose sides have few enough tokens: there is attention between all tokens of one and all of the other.

    Raises:
        UserError: A side has more.
    """
    sides = [(side, getattr(task, f"{side}_tokenizer", None)) for side in ("source", "target")]
    for number, row in enumerate(rows, 1):
        for (side, tokenizer), text in zip(sides, (row.source, row.text), strict=True):
            if tokenizer is not None:
                check_length(tokenizer, text, most, f"line {number}: the {side}")
        yield row


def _check_flags(options: argparse.Namespace) -> None:
    """Makes sure that flags go together, whatever the run is."""
    if options.max_input_length is not None:
        check_range("max_input_length", options.max_input_length, 1, 10**9)
    files = [name for name in ("source", "target", "lines", "n_best") if getattr(options, name) is not None]
    if "lines" in files and len(files) > 1:
        other = next(name for name in files if name != "lines")
        raise UserError(f"--lines and --{other} contradict: each says what to score")
    if "target" in files and "n_best" in files:
        raise UserError("--target and --n_best contradict: each says what to score")
    if files == ["source"]:
        raise UserError("--source needs --target FILE or --n_best FILE, which is scored")
    if files == ["target"]:
        raise UserError("--target needs --source FILE, what it translates")
    for name in ("stream", "tokens", "header"):
        if getattr(options, name) and options.n_best is not None:
            raise UserError(f"--{name} does not go with --n_best, which prints its own list")
    if options.format == "jsonl" and options.n_best is not None:
        raise UserError("--format jsonl does not go with --n_best, which prints its own list")
    if options.format == "jsonl" and options.header:
        raise UserError("--header does not go with --format jsonl, each of whose lines names its values")


def _check_task(task: Any, options: argparse.Namespace) -> bool:
    """Makes sure that the flags are for what the task scores; tells whether that is translations.

    Raises:
        UserError: They are not, or it scores no text.
    """
    if not hasattr(task, "log_probabilities"):
        raise UserError(f"{options.run} does not score text: its task is {type(task).__name__}")
    translates = hasattr(task, "translate")
    for name in ("lines", "stream") if translates else ("source", "target"):
        if getattr(options, name):
            what, right = ("translates", "--source and --target") if translates else ("is a language model", "--lines")
            raise UserError(f"--{name} is not for {options.run}, which {what}: give {right}, or text on stdin")
    if not translates and options.max_input_length is not None:
        raise UserError(
            f"--max_input_length has no effect on {options.run}, a language model, which reads lines of any length"
        )
    if translates and options.n_best is not None and options.source is None:
        raise UserError(f"--n_best needs --source FILE, what its texts translate, since {options.run} translates")
    return translates


def _force(task: Any, translates: bool, stream: bool) -> Force:
    """What scores a chunk of rows; what it learns of the memory that there is, it keeps."""
    from seqlab.tasks.batching import Batching
    from seqlab.tasks.forced import ForcedStream

    if stream:
        read = ForcedStream(task.network, task.tokenizer)
        return lambda rows, done: read([row.text for row in rows], done)
    batching = Batching()

    def force(rows: Sequence[Row], done: Callable[[int], Any]) -> "list[Forced]":
        sides = [[row.source for row in rows]] if translates else []
        return task.log_probabilities(*sides, [row.text for row in rows], batching=batching, done=done)

    return force


def _writer(task: Any, options: argparse.Namespace) -> Callable[[Row, "Forced"], str]:
    """What makes a line of a row and what was found for it."""
    from seqlab.tasks.forced import token_names

    names = token_names(getattr(task, "target_tokenizer", None) or task.tokenizer) if options.tokens else []
    if options.n_best is not None:
        return lambda row, forced: f"{row.line} ||| {forced.log_probability:.6f}"

    def as_json(row: Row, forced: "Forced") -> str:
        finite = forced.perplexity if math.isfinite(forced.perplexity) else None  # JSON has no infinity
        values: list[Any] = [forced.log_probability, len(forced.tokens), finite]
        if options.tokens:
            values += [forced.log_probabilities, [names[token] for token in forced.tokens]]
        found = dict(zip((*COLUMNS, *TOKEN_COLUMNS), values, strict=False)) | {"unknown": forced.unknown}
        return json.dumps(found, ensure_ascii=False)

    def as_columns(row: Row, forced: "Forced") -> str:
        line = f"{forced.log_probability:.6f}\t{len(forced.tokens)}\t{forced.perplexity:.6f}"
        if not options.tokens:
            return line
        numbers = " ".join(f"{value:.6f}" for value in forced.log_probabilities)
        return f"{line}\t{numbers}\t{' '.join(BLANK.sub(_visible, names[token]) for token in forced.tokens)}"

    return as_json if options.format == "jsonl" else as_columns


def _visible(found: re.Match) -> str:
    """A character that separates columns and pieces, as SentencePiece writes it."""
    return "▁" if found[0] == " " else f"<0x{ord(found[0]):02X}>"


class Summary:
    """What all rows come to.

    Args:
        translates: Whether each text should have a source.
    """

    def __init__(self, translates: bool):
        self.translates, self.empty = translates, 0
        self.lines = self.tokens = self.unknown = self.source_unknown = 0
        self.log_probability = 0.0

    def add(self, rows: Sequence[Row], found: "Sequence[Forced]") -> None:
        """Adds a chunk."""
        for number, (row, forced) in enumerate(zip(rows, found, strict=True), self.lines + 1):
            if self.translates and row.text.strip() and not row.source.strip():
                if not self.empty:
                    log.warning("line %s has a text but no source; it is scored as what translates nothing", number)
                self.empty += 1
            self.tokens += len(forced.tokens)
            self.log_probability += forced.log_probability
            self.unknown += forced.unknown
            self.source_unknown += forced.source_unknown
        self.lines += len(rows)

    def tell(self) -> None:
        """Logs it."""
        from seqlab.tasks.forced import perplexity

        total = perplexity(self.log_probability, self.tokens)
        log.info("log-probability %.6f, perplexity %.6f", self.log_probability, total)
        share = f" ({percent(self.unknown / self.tokens)}, scored as <unk>)" if self.unknown else ""
        log.info(
            "lines %s, tokens %s, unknown %s%s", *map("{:,}".format, (self.lines, self.tokens, self.unknown)), share
        )
        if self.source_unknown:
            log.info("unknown tokens of the sources %s", f"{self.source_unknown:,}")
        if self.empty > 1:
            log.warning("%s lines have a text but no source", f"{self.empty:,}")
