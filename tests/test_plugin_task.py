"""A task, its data, its metric and its recipe from outside: a text classifier that pip installs and seqlab trains."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqlab
from seqlab.cli import main
from seqlab.runs import Run

PROJECT = Path(__file__).parent / "plugins" / "text-classifier"
SOURCES = PROJECT / "text_classifier"
STEPS = 120
SMALL = ["--model.size", "24", "--data.batch_tokens", "200", "--trainer.accelerator", "cpu"]

Command = Callable[..., str]


def write_reviews(folder: Path) -> Path:
    """Writes train, val and test of 500, 100 and 60 different reviews, half of them praise; no single word tells."""
    good, bad = ("good", "fine", "great", "tasty", "fresh"), ("bad", "poor", "awful", "stale", "dull")
    pairs = [
        [
            f"{'praise' if (word in good) != negated else 'blame'}\tThe {noun} was {'not ' * negated}{adverb} {word}."
            for negated in (False, True)
        ]
        for noun in ("soup", "bread", "fish", "cake", "tea", "service", "music", "wine", "salad", "table", "rice")
        for adverb in ("very", "really", "so")
        for word in (*good, *bad)
    ]
    reviews = [review for number in range(len(pairs)) for review in pairs[number * 97 % len(pairs)]]
    for split, rows in (("train", reviews[:500]), ("val", reviews[500:600]), ("test", reviews[600:])):
        (folder / f"{split}.tsv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with the plugin in it."""
    folder = tmp_path_factory.mktemp("plugin")
    project = shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(project)], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(scope="module")
def environment(site: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


@pytest.fixture(scope="module")
def command(environment: dict[str, str]) -> Command:
    """Runs the command as a user who has installed the plugin; returns what it shows."""

    def run(*argv: str | Path) -> str:
        call = [sys.executable, "-m", "seqlab", *map(str, argv)]
        done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def here(site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process, with the plugin installed; returns exit code and stderr."""
    monkeypatch.syspath_prepend(site)

    def run(*argv: str | Path) -> tuple[int, str]:
        return main(list(map(str, argv))), capfd.readouterr().err

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="module")
def settings(data: Path) -> list[str]:
    files = [f"--data.{split}={data / split}.tsv" for split in ("train", "val", "test")]
    return ["--recipe", "classify", *files, *SMALL, "--trainer.log_every_n_steps", "5"]


@pytest.fixture(scope="module")
def trained(command: Command, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, and what its fit showed."""
    run = tmp_path_factory.mktemp("runs") / "reviews"
    steps = ["--trainer.max_steps", str(STEPS), "--trainer.val_check_interval", "30"]
    return run, command("fit", "--run", run, *settings, *steps)


def labels(file: Path) -> list[str]:
    return [line.partition("\t")[0] for line in file.read_text().splitlines()]


def test_it_is_small() -> None:
    code = [line for line in (SOURCES / "task.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 60
    assert len((SOURCES / "classify.yaml").read_text().splitlines()) < 40


def test_the_page_about_it_shows_its_code() -> None:
    page = (Path(__file__).parents[1] / "docs" / "new-task.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2 and all(block in sources for block in blocks)


def test_it_is_listed(command: Command) -> None:
    listed = command("recipes")
    assert re.search(r"^classify +text-classifier 0\.3 +Recurrent text classifier: ", listed, re.MULTILINE)


def test_it_learns(trained: tuple[Path, str], data: Path) -> None:
    run, shown = trained
    summary = json.loads((run / "summary.json").read_text())
    assert labels(data / "val.tsv").count("praise") == 50, "a guess gets half of them"
    assert summary["scores"]["val/accuracy"] > 90 and summary["unit"] == "texts"
    assert summary["signatures"] == {"accuracy": "per:text"}
    assert list(summary["engines"]) == ["encoder"] and len(summary["engines"]["encoder"]) == 2
    assert f"encoder gru of seqlab {seqlab.__version__}" in shown
    assert re.search(r"step +30 .*val/accuracy.* texts/s", shown) and re.search(r"^speed .* texts/s$", shown, re.M)
    assert re.search(r"^text   The .*\nlabel  (praise|blame) \(true: (praise|blame)\)$", shown, re.MULTILINE)


def test_it_is_evaluated(command: Command, trained: tuple[Path, str], data: Path) -> None:
    run, _ = trained
    shown = command("evaluate", run)
    report = json.loads((run / "scores.json").read_text())["test"]
    predicted, true = ((run / "label" / f"test.{name}").read_text().splitlines() for name in ("predicted", "true"))
    assert true == labels(data / "test.tsv")
    right = sum(one == other for one, other in zip(predicted, true, strict=True))
    (score,) = report["scores"].values()
    assert score["value"] == pytest.approx(100 * right / len(true)) and score["signature"] == "per:text"
    assert score["interval"]["signature"] == "bs:1000|seed:12345|unit:example"
    assert f"test/accuracy  {100 * right / len(true):.2f} ±" in shown
    content = (data / "test.tsv").read_bytes()
    assert report["data"] == {
        "file": str(data / "test.tsv"),
        "split": "test",
        "examples": content.count(b"\n"),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert report["decoding"] == {}
    assert report["versions"].items() >= {"text-classifier": "0.3", "seqlab": seqlab.__version__}.items()


def test_a_killed_run_resumes_exactly(
    command: Command, environment: dict[str, str], trained: tuple[Path, str], settings: list[str], tmp_path: Path
) -> None:
    """kill -9 after the first checkpoint; the resumed run ends with the weights of the one that was left alone."""
    steps = [f"--trainer.max_steps={STEPS}", "--trainer.val_check_interval=30", "--checkpoint.every_n_steps=20"]
    call = [sys.executable, "-m", "seqlab", "fit", "--run", str(tmp_path / "run"), *settings, *steps]
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(call, env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None and not last.is_file():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    saved = torch.load(last, weights_only=True)
    assert saved["global_step"] < STEPS
    assert saved["LabelledText"]["position"]["taken"] > 0, "the kill came in mid-epoch"
    command("fit", "--run", tmp_path / "run", "--resume")
    whole, resumed = (torch.load(path, weights_only=True) for path in (trained[0] / "checkpoints" / "last.ckpt", last))
    assert whole["global_step"] == resumed["global_step"] == STEPS
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())


@pytest.mark.usefixtures("here")
def test_a_trained_model_is_used_from_python(trained: tuple[Path, str]) -> None:
    model = seqlab.load(trained[0], "cpu")
    assert model.classify(["The soup was good.", "The soup was not good.", ""])[:2] == ["praise", "blame"]


def test_without_the_plugin(trained: tuple[Path, str], capfd: pytest.CaptureFixture) -> None:
    """A run says what it needs, not that a class cannot be imported."""
    assert main(["evaluate", str(trained[0])]) == 2
    stderr = capfd.readouterr().err
    assert "text_classifier.TextClassifier" in stderr and stderr.endswith(": pip install text-classifier==0.3\n")
    assert stderr.startswith("seqlab evaluate: error: ") and stderr.count("\n") == 1


def test_another_cell(here: Callable, settings: list[str], tmp_path: Path) -> None:
    steps = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "2"]
    code, stderr = here("fit", "--run", tmp_path / "run", *settings, *steps, "--model.cell", "lstm")
    assert code == 0, stderr
    assert f"encoder lstm of seqlab {seqlab.__version__}" in stderr


def test_the_seed_reaches_the_order_of_batches(here: Callable, settings: list[str], tmp_path: Path) -> None:
    """Though the plugin only passes it on."""
    steps = ["--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    code, stderr = here("fit", "--run", tmp_path / "run", *settings, *steps, "--seed", "7")
    assert code == 0, stderr
    assert Run(tmp_path / "run").settings().make_data().seed == 7


WRONG = [
    (["--model.sizes", "3"], "no setting named model.sizes; did you mean 'model.size'?"),
    (["--model.cell", "grru"], "no cell named 'grru'; did you mean 'gru'?"),
    (["--data.batch_tokens", "0"], "data.batch_tokens must be between 1 and 1,000,000,000, not 0"),
    (["--data.train", "missing.tsv"], "cannot read missing.tsv"),
    (["--checkpoint.monitor", "val/f1"], "no score named 'val/f1' (there are: val/accuracy)"),
    (["--model.metrics.other", "os.path.join"], "os.path.join is of none of the packages that a recipe may name"),
    (["--model.optimizer", "subprocess.Popen"], "text_classifier)"),
    (["--recipe", "foreign.yaml"], "foreign.yaml: task 'subprocess.Popen' is of none of the allowed packages"),
    (["--recipe", "linear.yaml"], "linear.yaml: task 'torch.nn.Linear' is no subclass of seqlab.tasks.base.Task"),
]


@pytest.mark.parametrize(
    ("argv", "expected"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_settings(
    here: Callable,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = (SOURCES / "classify.yaml").read_text()
    for file, task in (("foreign.yaml", "subprocess.Popen"), ("linear.yaml", "torch.nn.Linear")):
        Path(file).write_text(recipe.replace("text_classifier.TextClassifier", task))
    code, stderr = here("fit", "--run", "run", *settings, *argv)
    assert code == 2
    assert stderr.startswith("seqlab fit: error: ") and expected in stderr and stderr.count("\n") == 1
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("split", "content", "expected"),
    [
        ("train", b"praise\tGood.\nBad.\n", "line 2: no tab between a label and a text"),
        ("val", b"rain\tWet.\n", "line 1: label 'rain' is not in the training file"),
        ("test", b"", "is empty"),
    ],
)
def test_wrong_files(
    here: Callable, settings: list[str], tmp_path: Path, split: str, content: bytes, expected: str
) -> None:
    (tmp_path / "wrong.tsv").write_bytes(content)
    wrong = f"--data.{split}={tmp_path / 'wrong.tsv'}"
    code, stderr = here("fit", "--run", tmp_path / "run", *settings, wrong)
    assert code == 2 and expected in stderr and stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_it_does_not_do(here: Callable, trained: tuple[Path, str]) -> None:
    """A search and translations belong to other tasks, and so does the output that a metric asks for here."""
    for argv, expected in (
        (["evaluate", trained[0], "--beam", "3"], "--beam: TextClassifier, the task of"),
        (["translate", trained[0]], "does not translate: its task is TextClassifier"),
        (
            ["evaluate", trained[0], "--model.metrics.bleu", "BLEU"],
            "model.metrics.bleu: BLEU scores an output 'text', which TextClassifier does not give (it gives: label)",
        ),
    ):
        code, stderr = here(*argv)
        assert code == 2
        assert expected in stderr.splitlines()[-1] and stderr.count("error: ") == 1
