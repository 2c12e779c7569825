"""What a corpus larger than memory costs: time to the first batch, memory while batches are drawn, speed of training.

    python tests/benchmarks/large_corpus.py FOLDER [--lines 5000000] [--batches 2000] [--steps 200]

Writes a made-up corpus into a folder, with a cache beside it, and takes batches of it with the data of the recipe
``translation``, each time in a process of its own: when nothing is in the cache, when everything is, and of a part of
29,000 lines. Then it trains some steps on all and on the part, in turns. Other flags are settings of the recipe.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

PART, WORDS, BLOCK = 29_000, 60_000, 100_000


def write_corpus(folder: Path, lines: int) -> None:
    """Two sides of 4 to 25 words each, frequent ones more often (Zipf); and a part and a validation text of them."""
    random = np.random.default_rng(0)
    syllables = np.array([a + b for a in "bdfghklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "in")])
    words = np.array(["".join(random.choice(syllables, random.integers(1, 5))) for _ in range(WORDS)])
    chances = 1 / np.arange(10, WORDS + 10)
    chances /= chances.sum()
    for language in ("en", "de"):
        names = [folder / f"{name}.{language}" for name in ("all", "part", "val")]
        with names[0].open("w") as all_lines, names[1].open("w") as part, names[2].open("w") as val:
            for first in range(0, lines, BLOCK):
                ends = np.cumsum(random.integers(4, 26, min(BLOCK, lines - first)))
                drawn = np.split(words[random.choice(WORDS, ends[-1], p=chances)], ends[:-1])
                made = [" ".join(line) + "\n" for line in drawn]
                all_lines.writelines(made)
                part.writelines(made[: max(0, PART - first)])
                val.writelines(made[:500] if first == 0 else [])


def memory() -> dict[str, int]:
    """MB of this process in memory: its own, and what is mapped from files, which the system takes back at need."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(fields[field].split()[0]) >> 10 for name, field in (("own", "RssAnon"), ("mapped", "RssFile"))}


def measure(prefix: str, batches: int, flags: list[str]) -> None:
    """Takes batches; prints what that took as JSON."""
    from seqlab import registry
    from seqlab.config import parse

    imported, start = memory(), time.monotonic()
    val = str(Path(prefix).with_name("val"))
    settings = parse(
        registry.recipe_path("translation"), ["--data.train", prefix, "--data.val", val, *flags], prog="bench"
    )
    data = settings.make_data()
    data.prepare()
    running = iter(data.train_dataloader())
    next(running)
    found = {"seconds to the first batch": round(time.monotonic() - start, 1), "MB imported": imported}
    found["MB at the first batch"] = memory()
    start, taken = time.monotonic(), 0
    for part in range(1, 5):
        taken += sum(1 for _ in islice(running, batches // 4))
        found[f"MB after {part * batches // 4:,} batches"] = memory()
    found["batches taken"], found["batches/s"] = taken, round(taken / (time.monotonic() - start), 1)
    print(json.dumps(found))


def trained_tokens_per_second(folder: Path, name: str, steps: int, flags: list[str]) -> float:
    """Speed of a fit, as its log has it: the median of its second half."""
    argv = ["--data.train", folder / name, "--data.val", folder / "val", "--run", folder / "run", "--overwrite"]
    length = ["--trainer.max_steps", steps, "--trainer.val_check_interval", steps, "--trainer.log_every_n_steps", 10]
    command = [sys.executable, "-m", "seqlab", "fit", "--recipe", "translation", *argv, *length, *flags]
    subprocess.run(list(map(str, command)), env=environment(folder), capture_output=True, check=True)
    with (folder / "run" / "logs" / "metrics.csv").open() as file:
        speeds = [float(row["tokens/s"]) for row in csv.DictReader(file) if row["tokens/s"]]
    return median(speeds[len(speeds) // 2 :])


def environment(folder: Path) -> dict[str, str]:
    """That of a process with the cache in the folder."""
    return {**os.environ, "SEQLAB_CACHE": str(folder / "cache")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.measure:
        measure(options.measure, options.batches, rest)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    if not (options.folder / "all.en").exists():
        write_corpus(options.folder, options.lines)
    print(f"corpus of {options.lines:,} lines written in {time.monotonic() - start:.0f} s", flush=True)
    for title, name in (("nothing in the cache", "all"), ("all in the cache", "all"), (f"{PART:,} lines", "part")):
        command = [sys.executable, __file__, str(options.folder), "--measure", str(options.folder / name)]
        done = subprocess.run(
            [*command, "--batches", str(options.batches), *rest],
            env=environment(options.folder),
            stdout=subprocess.PIPE,
            check=True,
        )
        print(title, *(f"  {key}: {value}" for key, value in json.loads(done.stdout).items()), sep="\n", flush=True)
    for name, title in (("all", f"{options.lines:,} lines"), ("part", f"{PART:,} lines")) * 2:
        speed = trained_tokens_per_second(options.folder, name, options.steps, rest)
        print(f"training on {title}: {speed:,.0f} target tokens/s", flush=True)


if __name__ == "__main__":
    main()
