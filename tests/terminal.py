"""A command as a person sees it: in a terminal of a given width."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path


def on_terminal(columns: int, *argv: str, cwd: Path | None = None) -> tuple[int, list[str]]:
    """Runs ``seqlab`` with a terminal for stdout and stderr; returns its exit code and the lines there."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "seqlab", *argv]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=there, stderr=there, cwd=cwd, env=environment
    ) as process:
        os.close(there)
        found = b""
        try:
            while part := os.read(here, 65536):
                found += part
        except OSError:  # how a terminal on Linux says that its last writer has gone
            pass
        os.close(here)
    return process.returncode, found.decode().replace("\r\n", "\n").split("\n")
