"""``seqlab bench``: times cells on their engines in turns with torch.nn's own kernels."""

import argparse
import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab import registry
from seqlab.benchmarking.results import FORWARD, TRAINING, LeftOut, Result, Size, draw, table
from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.files import nearest_existing, refusal, write_text
from seqlab.runs import default_device
from seqlab.specs import parse_cell

if TYPE_CHECKING:
    from seqlab.benchmarking.contestants import Contestant
    from seqlab.cells.base import RecurrentCell

REPORT, PICTURE = "bench.json", "bench.png"
LEGEND = """\
ratio: time over that of torch's module in the same round, median [lower, upper quartile]
ms, tokens/s: median; memory: the most that tensors take in one step; *: what seqlab would choose"""


def main(argv: list[str]) -> None:
    """Measures, prints a table and, where asked to, writes a report and a picture."""
    options = _parser().parse_intermixed_args(argv)
    sizes = [_size(text, options.input) for text in options.sizes]
    for spec in options.cells:
        registry.find(registry.CELLS, parse_cell(spec)[0])
    if options.out is not None:
        check_free(options.out)
    options.device = options.device or default_device()
    results, left_out, machine = bench(options, sizes)
    versions = {"seqlab": version("seqlab"), "torch": version("torch"), "python": platform.python_version()}
    head = (
        f"{machine['device']}, threads {machine['threads']}, {options.dtype}, torch {versions['torch']}, "
        f"rounds {options.rounds}"
    )
    print(f"{head}\n{LEGEND}\n\n{table(results)}")
    told = [item for item in left_out if not item.foreseen or not item.engine or item.engine in (options.engines or ())]
    for line in dict.fromkeys(f"left out: {item}" for item in told):
        print(line)
    if options.out is None:
        return
    cells = dict.fromkeys(result.cell for result in results if not result.is_reference)
    report = {
        "settings": {**vars(options), "sizes": [size._asdict() for size in sizes], "out": str(options.out)},
        "machine": machine,
        "versions": versions,
        "suppliers": {cell: registry.origin(registry.find(registry.CELLS, parse_cell(cell)[0])) for cell in cells},
        "results": [result.as_json() for result in results],
        "left_out": [item.as_json() for item in left_out],
    }
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        write_text(options.out / REPORT, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        draw(results, options.out / PICTURE, head)
    except OSError as error:
        raise UserError(f"cannot write to {options.out}: {error.strerror}") from error
    print(f"\nwritten: {options.out / REPORT}, {options.out / PICTURE}")


def bench(options: argparse.Namespace, sizes: Sequence[Size]) -> tuple[list[Result], list[LeftOut], dict[str, Any]]:
    """Measures all sizes.

    Returns:
        The results, what was left out, and what it was measured on.

    Raises:
        UserError: There is no such device or engine, or what was asked for by name cannot run.
    """
    import torch

    from seqlab.benchmarking.contestants import line_up, ways
    from seqlab.benchmarking.measuring import conditions, measure
    from seqlab.training.allocator import keep_freed_memory

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch finds no GPU here; take --device cpu")
    if options.dtype == "tf32" and options.device == "cpu":
        raise UserError("tf32 is arithmetic of a GPU; take another --dtype or --device cuda")
    device = torch.device(options.device)
    known = list(ways(device))
    for engine in options.engines or ():
        if engine not in known:
            raise UserError(
                f"no engine named {engine!r}{registry.nearest(engine, known)} (there are: {', '.join(known)})"
            )
    keep_freed_memory()  # as a fit does
    works = [TRAINING, FORWARD] if options.forward else [TRAINING]
    results: list[Result] = []
    cells, left_out = _factories(options.cells)
    setting: Any = {
        "works": works,
        "device": device,
        "dtype": torch.float32 if options.dtype == "tf32" else getattr(torch, options.dtype),
        "kernel": options.reference,
    }
    with conditions(options.threads, options.dtype):
        machine = {"device": _device_name(options.device), "threads": torch.get_num_threads()}
        probe = sizes[0]._replace(rows=2, steps=3)  # shows at once who can run
        contestants, failed = line_up(cells, options.engines or known, probe, **setting)
        _check_asked(options, contestants, [*left_out, *failed])
        for size in sizes:
            contestants, failed = line_up(cells, options.engines or known, size, **setting)
            left_out.extend(failed)
            measure(contestants, works, options.rounds, str(size))
            results.extend(contestant.result(size, work) for work in works for contestant in contestants)
    if not results:
        raise UserError(f"nothing could be measured: {left_out[-1]}")
    return results, left_out, machine


def check_free(folder: Path) -> None:
    """Makes sure that a report may be written into a folder.

    Raises:
        UserError: It holds something else, or cannot be written.
    """
    nearest = nearest_existing(folder)
    if not nearest.is_dir():
        raise UserError(f"--out {folder}: {nearest} is no folder")
    if why := refusal(nearest, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {nearest}: {why}")
    others = sorted({entry.name for entry in folder.iterdir()} - {REPORT, PICTURE}) if folder.exists() else []
    if others:
        raise UserError(f"--out {folder} holds something else than a report, such as {others[0]}; take another folder")


def _factories(
    specs: Sequence[str],
) -> tuple[dict[str, Callable[[int, int], "RecurrentCell"]], list[LeftOut]]:
    """Makers of the cells that are asked for, or of all that are installed but those that cannot be loaded."""
    from seqlab.tasks.cells import cell_factory

    if specs:
        return {spec: cell_factory(spec) for spec in specs}, []
    found, left_out = {}, []
    for name in registry.names(registry.CELLS):
        try:
            found[name] = cell_factory(name)
        except UserError as error:
            left_out.append(LeftOut(name, "", str(error)))
    return found, left_out


def _check_asked(options: argparse.Namespace, contestants: Sequence["Contestant"], failed: Sequence[LeftOut]) -> None:
    """Whatever is asked for by name must be able to run.

    Raises:
        UserError: A cell has no engine that runs it, or an engine no cell.
    """
    running = {contestant.cell for contestant in contestants} | {contestant.engine for contestant in contestants}
    for name in [*options.cells, *(options.engines or ())]:
        if name not in running:
            reasons = [item for item in failed if name in (item.cell, item.engine)] or failed
            raise UserError(str(reasons[0]))
    if not contestants:
        raise UserError(f"no cell can run: {failed[0]}" if failed else "no cell is installed")


def _device_name(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    try:
        models = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        models = []
    return models[0] if models else platform.processor() or platform.machine()


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def _size(text: str, input_size: int | None) -> Size:
    numbers = [int(number) for number in text.split("x")] if re.fullmatch(r"\d+x\d+x\d+", text, re.ASCII) else []
    if not all(numbers) or not numbers:
        raise UserError(f"size {text!r} is not ROWSxHIDDENxSTEPS, such as 64x512x35")
    rows, hidden, steps = numbers
    return Size(rows, hidden, steps, input_size or hidden)


def _positive(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab bench",
        description="Times cells on their engines in turns with torch.nn's own kernels: every round runs each of them "
        "once, in an order drawn anew, and a ratio is taken within a round.",
    )
    parser.add_argument("cells", metavar="CELL", nargs="*", help="NAME or NAME:OPTION=VALUE (default: all installed)")
    parser.add_argument("--engines", metavar="NAME,...", type=_list, help="(default: all that can run the cell)")
    parser.add_argument(
        "--sizes",
        metavar="BxHxT,...",
        type=_list,
        default=["64x512x35"],
        help="rows x hidden size x steps (default: 64x512x35)",
    )
    parser.add_argument("--input", metavar="N", type=_positive, help="width of the inputs (default: the hidden size)")
    parser.add_argument("--rounds", metavar="N", type=_positive, default=9, help="(default: 9)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: a GPU where there is one)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "tf32", "bfloat16", "float16"),
        default="float32",
        help="of inputs and weights; tf32: float32 with a GPU's faster, coarser products (default: float32)",
    )
    parser.add_argument("--threads", metavar="N", type=_positive, help="of the CPU (default: torch's own choice)")
    parser.add_argument(
        "--reference",
        choices=("lstm", "gru", "rnn"),
        help="the torch kernel to compare with (default: the cell's own, and nn.LSTM where it has none)",
    )
    parser.add_argument("--forward", action="store_true", help="also time the forward pass alone, without gradients")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"also write {REPORT} and {PICTURE} there")
    return parser
