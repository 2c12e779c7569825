"""Lists, help and wrong names answer without importing torch."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from seqlab import __version__

SPY = """
import sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "datasets", "jsonargparse"):
            raise SystemExit(f"imported {name}")
sys.meta_path.insert(0, Spy())
from seqlab.cli import main
sys.exit(main(sys.argv[1:]))
"""


def light(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """The command in a process that ends as soon as anything heavy is imported."""
    return subprocess.run([sys.executable, "-c", SPY, *argv], capture_output=True, text=True, cwd=cwd, timeout=60)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "fit"),
        (["-h"], "translate lines"),
        (["--help"], "translate lines"),
        (["--version"], f"seqlab {__version__}"),
        (["cells"], "Long short-term memory"),
        (["recipes"], "translation"),
        (["recipes", "show", "translation"], "seqlab.tasks.Translation"),
        (["fit", "-h"], "--recipe"),
        (["evaluate", "-h"], "--split"),
        (["translate", "-h"], "--beam"),
        (["bench", "-h"], "--rounds"),
        (["check", "-h"], "NAME"),
        (["generate", "-h"], "--top_p"),
        (["score", "-h"], "--n_best"),
        (["new", "-h"], "a pip project with a recurrent cell"),
    ],
)
def test_answers_at_once(argv: list[str], expected: str) -> None:
    done = light(*argv)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["fitt"], "no command named 'fitt'; did you mean 'fit'?"),
        (["fit"], "which recipe?"),
        (["cells", "show", "lstn"], "did you mean 'lstm'?"),
        (["check", "lstn"], "did you mean 'lstm'?"),
        (
            ["check", "of-my-own"],
            "no cell named 'of-my-own' is installed (see: seqlab cells); if it is of a project of",
        ),
        (["check", "my_cells.best:BestCell"], "by the name that its package gives it, not by its class"),
        (["generate", "nowhere"], "nowhere is not a run"),
        (["score", "nowhere"], "nowhere is not a run"),
        (["score", "nowhere", "--source", "a"], "--source needs --target FILE or --n_best FILE"),
        (["new", "cell", "lstm"], "'lstm' is taken: it is a cell of seqlab"),
        (["fit", "--recipe", "translaton"], "no recipe named 'translaton'; did you mean 'translation'?"),
        (["fit", "--recipe", "missing.yaml"], "no recipe file missing.yaml"),
        (["fit", "--recipe", "translation", "--model.cell", "lstmm"], "no cell named 'lstmm'; did you mean 'lstm'?"),
        (["fit", "--recipe", "translation", "--model.encoder_cell=grru"], "no cell named 'grru'; did you mean 'gru'?"),
        (["fit", "--recipe", "translation", "--resume", "--run", "nowhere"], "nowhere holds no run to resume"),
        (["fit", "--recipe", "translation", "--resume", "--overwrite"], "contradict"),
        (["recipes", "show", "translaton"], "did you mean 'translation'?"),
        (["recipes", "copy", "translation", "mine.txt"], "ends in .yaml"),
        (["evaluate", "nowhere"], "nowhere is not a run"),
        (["translate", "nowhere"], "nowhere is not a run"),
        (["translate"], "RUN"),
        (["cells", "--unknown"], "--unknown"),
        (["bench", "lstm", "grru"], "no cell named 'grru'; did you mean 'gru'?"),
        (["bench", "--sizes", "64x512"], "size '64x512' is not ROWSxHIDDENxSTEPS"),
    ],
)
def test_wrong_names_take_one_line(argv: list[str], expected: str, tmp_path: Path) -> None:
    done = light(*argv, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_recipe_is_copied_once(tmp_path: Path) -> None:
    copied = light("recipes", "copy", "translation", "mine.yaml", cwd=tmp_path)
    assert copied.returncode == 0, copied.stderr
    (tmp_path / "mine.yaml").write_text("# changed")
    again = light("recipes", "copy", "translation", "mine.yaml", cwd=tmp_path)
    assert again.returncode == 2 and "exists" in again.stderr
    assert (tmp_path / "mine.yaml").read_text() == "# changed"


def test_importing_seqlab_imports_no_torch() -> None:
    code = "import sys, seqlab; dir(seqlab); seqlab.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_error_is_one_write() -> None:
    """Two processes of a fit that tell theirs at once write two lines: a socket of packets keeps writes apart."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        subprocess.run([sys.executable, "-c", SPY, "fti"], stderr=there.fileno(), timeout=60)
        there.close()
        assert here.recv(10_000).startswith(b"seqlab fti: error: ") and here.recv(10_000) == b""
