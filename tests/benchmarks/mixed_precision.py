"""Every cell in each precision on the recipe ``translation``: BLEU, speed and memory of training, as a Markdown table.

    python tests/benchmarks/mixed_precision.py [--cells NAME ...] [--precisions fp32 tf32 bf16 fp16] [--folder DIR]

For a GPU; on a CPU, TF32 is float32 and 16-mixed is bf16-mixed. Other flags are settings of ``seqlab fit``, such as
``--trainer.max_steps 1500``. Each fit is a process of its own, one after the other; one that has ended in the folder is
not repeated. Exits with 1 where BLEU is further than 1 from that of the first precision, or a fit fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from seqlab import registry

PRECISIONS = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
OPTIONS = {"torchrecurrent/intersectionrnn": ":input_projection=true"}
"""What a cell needs to take inputs of any width."""
MOST = 1.0
"""BLEU that a precision may be off."""
FIT = """
import sys, torch
from seqlab.cli import main
tf32 = sys.argv[1] == "tf32"
torch.set_float32_matmul_precision("high" if tf32 else "highest")
torch.backends.cudnn.allow_tf32 = tf32  # which is on by default, and goes for cuDNN's recurrent kernels
sys.exit(main(["fit", *sys.argv[2:]]))
"""


def train(cell: str, precision: str, run: Path, flags: list[str]) -> dict[str, Any] | str:
    """What a fit ended with; what it said last, if it failed."""
    summary = run / "summary.json"
    if not summary.is_file():
        argv = ["--recipe", "translation", "--model.cell", cell, "--trainer.precision", PRECISIONS[precision]]
        argv += [*flags, "--run", str(run), *(["--overwrite"] if (run / "config.yaml").is_file() else [])]
        command = [sys.executable, "-c", FIT, precision, *argv]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(summary.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [name + OPTIONS.get(name, "") for name in registry.names(registry.CELLS)]
    parser.add_argument("--cells", nargs="+", default=every, metavar="NAME", help="(default: all installed)")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), metavar="NAME")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the runs there (default: a temporary folder)")
    options, flags = parser.parse_known_args()
    print(
        "| cell | precision | BLEU | against the first | tokens/s | against the first | peak MiB | against the first |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    off: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        for cell in options.cells:
            base: dict[str, Any] = {}
            for precision in options.precisions:
                run = (options.folder or Path(temporary)) / f"{cell.replace('/', '-')}-{precision}"
                found = train(cell, precision, run, flags)
                if isinstance(found, str):
                    off.append(f"{cell} in {precision}")
                    print(f"| {cell} | {precision} | failed: {found} | | | | | |", flush=True)
                    if not base:
                        break  # there is nothing to compare with
                    continue
                base = base or found
                change = found["scores"]["val/bleu"] - base["scores"]["val/bleu"]
                off += [f"{cell} in {precision}"] if abs(change) > MOST else []
                print(f"| {cell} | {precision} | {cells_of(found, base)} |", flush=True)
    outcome = f"Failed, or more than {MOST:g} BLEU off: {', '.join(off)}" if off else f"All are within {MOST:g} BLEU"
    print(f"\nOn {torch.cuda.get_device_name() if torch.cuda.is_available() else 'a CPU'}. {outcome}.")
    return 1 if off else 0


def cells_of(found: dict[str, Any], base: dict[str, Any]) -> str:
    """Score, speed and memory, each beside what it is against those of the first precision."""
    (bleu, speed, peak), (bleu_1, speed_1, peak_1) = (
        (fit["scores"]["val/bleu"], fit["tokens_per_second"], fit["peak_memory_bytes"] / 2**20) for fit in (found, base)
    )
    return (
        f"{bleu:.2f} | {bleu - bleu_1:+.2f} | {speed:,.0f} | {speed / speed_1:.2f} x | {peak:,.0f} | "
        f"{peak / peak_1:.2f} x"
    )


if __name__ == "__main__":
    sys.exit(main())
