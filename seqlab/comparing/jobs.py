"""The runs of a comparison as a list of commands, or as a job array of SLURM, for other machines to run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from seqlab.comparing.runs import Entry
from seqlab.files import write_text

KINDS = {"commands": "commands.txt", "slurm": "jobs.sh"}
SLURM = """\
#!/bin/bash
# The runs of {out} that are to be done: adapt the lines below to the cluster, then: {submit}
# Afterwards the same seqlab compare collects what they left, and writes what is still to be done.
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --output=/dev/null
#SBATCH --cpus-per-task=2
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120

commands=(
{commands}
)
logs=(
{logs}
)
# By both exec the fit becomes the batch shell, to which B: sends the signal: it saves its step before time is over.
mkdir -p "$(dirname "${{logs[$SLURM_ARRAY_TASK_ID]}}")"
exec bash -c "exec ${{commands[$SLURM_ARRAY_TASK_ID]}}" >> "${{logs[$SLURM_ARRAY_TASK_ID]}}" 2>&1
"""


def write_jobs(kind: str, todo: Sequence[Entry], out: Path) -> Path:
    """Writes the commands of runs that are to be done.

    Args:
        kind: ``commands``: one a line; ``slurm``: a job array, whose jobs leave their logs beside the runs.
        todo: The runs.
        out: Directory of the comparison.

    Returns:
        The file.
    """
    path = out / KINDS[kind]
    commands = [shlex.join(["seqlab", *entry.arguments()]) for entry in todo]
    if kind == "commands":
        write_text(path, "".join(f"{command}\n" for command in commands))
        return path
    quoted = ["\n".join(f"  {shlex.quote(text)}" for text in texts) for texts in (commands, [str(e.log) for e in todo])]
    write_text(
        path,
        SLURM.format(
            out=out,
            submit=shlex.join(["sbatch", str(path)]),
            name=f"compare-{out.name}".replace(" ", "-"),
            last=len(todo) - 1,
            commands=quoted[0],
            logs=quoted[1],
        ),
    )
    return path
