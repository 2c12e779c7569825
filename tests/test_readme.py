"""What the README shows works as shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def block(language: str, word: str) -> str:
    """The README's one block of a language that holds a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    return found


def test_the_cell_of_the_readme_installs_and_trains(tmp_path: Path, tiny: list[str]) -> None:
    """Its two files are a package that pip installs, and whose cell trains a translation model."""
    project, site, run = tmp_path / "my-cells", tmp_path / "site", tmp_path / "run"
    project.mkdir()
    code = block("python", "class CoupledLSTM")
    (project / "my_cells.py").write_text(code)
    (project / "pyproject.toml").write_text(block("toml", "coupled-lstm"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(project)], check=True, capture_output=True)

    def seqlab(*argv: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(site)}
        done = subprocess.run([sys.executable, "-m", "seqlab", *argv], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert re.search(r"coupled-lstm +my-cells 1\.2 +LSTM whose input gate", seqlab("cells"))
    steps = ["--trainer.max_steps", "6", "--trainer.val_check_interval", "6"]
    shown = seqlab("fit", "--recipe", "translation", "--run", str(run), "--model.cell", "coupled-lstm", *tiny, *steps)
    assert "encoder coupled-lstm of my-cells 1.2" in shown
    assert len(code.splitlines()) <= 15


def test_nothing_is_left_to_be_filled_in() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert not re.search(r"^[A-Z0-9]{4,}$|XX", path.read_text(encoding="utf-8"), re.MULTILINE), path


def test_its_links_lead_somewhere() -> None:
    """Those of docs/ are checked by `make site`."""
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "plugins").glob("*/README.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]*)[^)]*\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path}: {target}"
