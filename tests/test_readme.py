"""What the README shows works as shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_cell_of_the_readme_trains(tmp_path: Path, tiny: list[str]) -> None:
    """The class and the entry point, as a package beside seqlab, train a translation model and are named by it."""
    (code,) = (block for block in blocks("python") if "class CoupledLSTM" in block)
    (entry_point,) = blocks("toml")
    site = tmp_path / "site"
    (site / "my_cells-1.2.dist-info").mkdir(parents=True)
    (site / "my_cells.py").write_text(code)
    (site / "my_cells-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: my-cells\nVersion: 1.2\n")
    text = entry_point.replace('[project.entry-points."seqlab.cells"]', "[seqlab.cells]").replace('"', "")
    (site / "my_cells-1.2.dist-info" / "entry_points.txt").write_text(text)

    def seqlab(*argv: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(site)}
        done = subprocess.run([sys.executable, "-m", "seqlab", *argv], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert re.search(r"coupled-lstm +my-cells 1\.2 +LSTM whose input gate", seqlab("cells"))
    run = str(tmp_path / "run")
    steps = ["--trainer.max_steps", "6", "--trainer.val_check_interval", "6"]
    shown = seqlab("fit", "--recipe", "translation", "--run", run, "--model.cell", "coupled-lstm", *tiny, *steps)
    assert "encoder coupled-lstm of my-cells 1.2" in shown
    assert len(code.splitlines()) <= 15
