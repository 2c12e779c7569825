"""No source of seqlab runs a shell, or text as code; nor does what comes with a data set."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

import seqlab as package

CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
ATTRIBUTES = {"system", "popen", "getoutput", "unsafe_load", "full_load", "load_inline", "load_library"}
PICKLES = {"data/encoding.py"}
"""Reads pickles of a process that it started itself, from a pipe."""


def complaints(source: str, name: str) -> list[str]:
    """What in a source would run code or a shell that a file or a user could choose."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function, given = node.func, {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        path = ast.unparse(function)
        wrong = (
            (isinstance(function, ast.Name) and function.id in CALLS)
            or (isinstance(function, ast.Attribute) and function.attr in ATTRIBUTES)
            or path.startswith(
                ("os.exec", "os.spawn", "torch.hub.", "torch.jit.load", "yaml.load", "marshal.", "dill.")
            )
            or "shell" in given
            or given.get("trust_remote_code") not in (None, "False")
            or (path.startswith("pickle.load") and name not in PICKLES)
            or (path == "torch.load" and given.get("weights_only") != "True")
            or (path == "np.load" and given.get("allow_pickle") != "False")
        )
        if wrong:
            found.append(f"{name}, line {node.lineno}: {ast.unparse(node)}")
    return found


def test_no_source_runs_a_shell_or_text() -> None:
    root = Path(package.__file__).parent
    sources = sorted(root.rglob("*.py"))
    assert len(sources) > 100
    assert [line for path in sources for line in complaints(path.read_text("utf-8"), str(path.relative_to(root)))] == []


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "os.system('x')",
        "subprocess.run('x', shell=True)",
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "yaml.load(x, Loader=yaml.Loader)",
        "load_dataset(x, trust_remote_code=True)",
    ],
)
def test_the_search_of_the_sources_can_fail(source: str) -> None:
    assert len(complaints(source, "x.py")) == 1


def test_a_data_set_with_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable) -> None:
    """Code that comes with a data set is not run, whatever it is called."""
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("corpus", "dataset", "__init__", "conftest"):
        (corpus / f"{name}.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'harmed')!r})\n")
    line = refused(["fit", "--recipe", "translation", "--data.train", f"hub:{corpus}", "--run", "run"])
    assert f"cannot load hub:{corpus} from the folder {corpus}: " in line
    assert not (tmp_path / "harmed").exists() and not (tmp_path / "run").exists()
