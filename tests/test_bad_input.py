"""What bad input gets: one line on stderr, exit code 2, nothing left behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqlab as package
from seqlab.cli import main
from seqlab.errors import UserError
from seqlab.runs import Run

Seqlab = Callable[..., tuple[int, str]]


@pytest.fixture
def fit(tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Seqlab:
    """Runs ``seqlab fit`` on the small corpus into ``run``; returns exit code and what stderr ends with."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str | Path) -> tuple[int, str]:
        steps = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "2"]
        code = main(["fit", "--recipe", "translation", "--run", "run", *tiny, *steps, *map(str, argv)])
        return code, capfd.readouterr().err

    return run


def write(folder: Path, name: str, source: bytes, target: bytes) -> Path:
    (folder / f"{name}.en").write_bytes(source)
    (folder / f"{name}.de").write_bytes(target)
    return folder / name


WRONG_SETTINGS = [
    (["--model.encoder_siz", "3"], "no setting named model.encoder_siz; did you mean 'model.encoder_size'?"),
    (["--trainer.max_step=3"], "no setting named trainer.max_step; did you mean 'trainer.max_steps'?"),
    (["--model.encoder_size", "abc"], "model.encoder_size: Expected int. Got value: abc"),
    (["--model.optimizer", "subprocess.Popen"], "subprocess.Popen is of none of the packages"),
    (["--model.attention", "luong"], "no attention named 'luong' (there are: dot, general, mlp; none leaves it out)"),
    (["--model.attention", "dot", "--model.encoder_size", "7"], "attention dot needs decoder states as wide"),
    (["--model.tying", "four-way"], "tying must be one of none, two-way, three-way, not 'four-way'"),
    (["--model.cell", "rrnn:feedbak=updated"], "has no option 'feedbak'; did you mean 'feedback'?"),
    (["--model.cell", "rrnn:feedback=both"], "feedback must be one of main, updated, not 'both'"),
    (["--model.cell", "rrnn:feedback"], "'feedback' is not OPTION=VALUE"),
    (["--model.engine", "fast"], "no engine named 'fast' (there are: plain, deferred, factored, sequence, native)"),
    (["--model.encoder_size", "0"], "model.encoder_size must be between 1 and 100,000, not 0"),
    (["--data.batch_tokens", "0"], "data.batch_tokens must be between 1 and 1,000,000,000, not 0"),
    (["--data.max_length", "1"], "none of 175 training pairs is left: 0 with an empty side, 175 with a side of over 1"),
    (["--data.tokenizer.vocab_size", "6000"], "a vocabulary of 6,000 unigram tokens is more than the training text"),
    (["--data.tokenizer.vocab_size", "1"], "data.tokenizer.vocab_size (1) includes 4 special tokens: give at least 6"),
    (["--data.train", "phrasebook", "--data.target", "xx"], "xx"),
    (["--checkpoint.monitor", "val/blue"], "no score named 'val/blue'; did you mean 'val/bleu'?"),
    (["--checkpoint.every_n_steps", "0"], "checkpoint.every_n_steps must be at least 1"),
    (["--trainer.max_steps", "-1"], "schedule Cosine needs an end: set trainer.max_steps"),
    (["--trainer.max_epochs", "0"], "trainer.max_epochs must be at least 1, or -1 for no limit, not 0"),
    (["--checkpoint.patience", "-1"], "checkpoint.patience must be at least 0, or null for no early stop, not -1"),
    (["--trainer.accelerator", "abacus"], "abacus"),
    (["--trainer.accumulate_grad_batches", "0"], "trainer.accumulate_grad_batches must be at least 1, not 0"),
    (["--trainer.val_check_interval", "0"], "trainer.val_check_interval must be positive, not 0"),
    (["--trainer.gradient_clip_val", "-1"], "trainer.gradient_clip_val must not be negative"),
    (["--config", "missing.yaml"], "missing.yaml"),
    (["--data.train", "missing"], "no file missing.en"),
    (["--seed", "-1"], "seed must be between 0 and"),
    (["--model.search.beam", "0"], "beam must be at least 1, not 0"),
    (["--model.validation_beam", "0"], "validation_beam must be between 1 and 10,000, not 0"),
    (["--model.search.n_best", "6"], "n_best 6 is more than a beam of 5 finds"),
    (["--model.search.beem", "3"], "no setting named model.search.beem; did you mean 'model.search.beam'?"),
    (
        ["--model.attention", "none", "--model.search.coverage_penalty", "0.2"],
        "search.coverage_penalty is of what attention has looked at, but attention is none",
    ),
    (["--model.label_smoothing", "1.5"], "label_smoothing must be at least 0 and below 1"),
    (["--data.train", "a,b,c"], "no file a"),
    (["--data.train", "a.tsv,b.tsv"], "a.tsv holds both sides and stands alone"),
    (["--data.train", "[a, b]", "--data.weights", "[1]"], "data.weights must have one number for each training corpus"),
]


@pytest.mark.parametrize(("argv", "expected"), WRONG_SETTINGS, ids=lambda value: " ".join(value)[:50] if value else "")
def test_wrong_settings(fit: Seqlab, tmp_path: Path, argv: list[str], expected: str) -> None:
    code, stderr = fit(*argv)
    assert code == 2
    last = stderr.splitlines()[-1]
    assert last.startswith("seqlab fit: error: ") and expected in last
    assert "Traceback" not in stderr and stderr.count("error: ") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (b"a\nb\n", b"a\n", "has 2 lines but"),
        (b"", b"", "are empty"),
        (b"\n \n", b"\n\n", "are of blank lines alone"),
        (b"a\nb\xffc\n", b"a\nb\n", "text.en, line 2: not UTF-8 (byte 2 is 0xff)"),
        (b"a\nb\n", b"\xc3\nb\n", "text.de, line 1: not UTF-8"),
        (b"a\nb\n", b"a\nb\n", "2 pairs are too few to hold some out for validation: give data.val"),
    ],
)
def test_wrong_files(fit: Seqlab, tmp_path: Path, source: bytes, target: bytes, expected: str) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    code, stderr = fit("--data.train", write(corpus, "text", source, target), "--data.val", "null")
    assert code == 2
    assert expected in stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_an_empty_validation_set(fit: Seqlab, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    code, stderr = fit("--data.val", write(corpus, "empty", b"", b""))
    assert code == 2 and "are empty" in stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_a_file(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """It might be the corpus: nothing says how to overwrite it."""
    path = tmp_path / "corpus.tsv"
    path.write_text("a\tb\n", encoding="utf-8")
    assert main(["fit", "--recipe", "translation", "--run", str(path), "--overwrite"]) == 2
    assert "is a file: a run is a folder of its own" in capfd.readouterr().err
    assert path.read_text(encoding="utf-8") == "a\tb\n"


def test_what_is_no_list_of_lines(trained: Path) -> None:
    task = package.load(trained, "cpu")
    for lines in ("The dog.", [3]):
        with pytest.raises(UserError, match="translate takes a list of lines"):
            task.translate(lines)


def test_windows_line_ends_are_accepted(fit: Seqlab, tmp_path: Path, corpus: Path) -> None:
    texts = [(corpus / f"train.{language}").read_bytes().replace(b"\n", b"\r\n") for language in ("en", "de")]
    folder = tmp_path / "corpus"
    folder.mkdir()
    code, stderr = fit("--data.train", write(folder, "windows", *texts))
    assert code == 0, stderr
    config = Run(tmp_path / "run").settings()
    data = config.make_data()
    assert data.text("train")["source"][0] == (corpus / "train.en").read_text().splitlines()[0]


def test_a_directory_that_holds_something_is_left_alone(fit: Seqlab, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    precious = tmp_path / "run" / "thesis.tex"
    precious.write_text("chapter 1")
    code, stderr = fit()
    assert code == 2 and "run is not empty: --resume goes on with its run, --overwrite replaces it" in stderr
    code, stderr = fit("--overwrite")
    assert code == 2 and "run is not a run (no config.yaml), so --overwrite leaves it alone" in stderr
    assert precious.read_text() == "chapter 1"


def test_a_run_in_use(fit: Seqlab, tmp_path: Path) -> None:
    with Run(tmp_path / "run").lock():
        code, stderr = fit("--overwrite") if (tmp_path / "run" / "config.yaml").exists() else fit()
        assert code == 2 and ("in use by process" in stderr or "is not empty" in stderr)
    (tmp_path / "run" / "config.yaml").write_text("")
    with Run(tmp_path / "run").lock():
        code, stderr = fit("--overwrite")
        assert code == 2 and "run is in use by process" in stderr


@pytest.mark.parametrize("content", [b"task: [", b"task: \xff", b"- a list", b"seed: 1"])
def test_a_file_that_is_no_recipe(tmp_path: Path, capfd: pytest.CaptureFixture, content: bytes) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_bytes(content)
    assert main(["fit", "--recipe", str(recipe), "--run", str(tmp_path / "run")]) == 2
    stderr = capfd.readouterr().err
    assert str(recipe) in stderr and stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_settings(trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["fit", "--run", str(run), "--resume", "--data.batch_tokens", "99", "--model.optimizer.lr", "1.0"]) == 2
    stderr = capfd.readouterr().err
    assert stderr == (
        "seqlab fit: error: --resume goes on as the run began, which this would change: data.batch_tokens: was 150, "
        "now 99; model.optimizer.init_args.lr: was 0.002, now 1.0 (only trainer.*, checkpoint.*, data.val, data.test "
        "and data.workers may change)\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_loss_that_is_no_number_stops_the_run(fit: Seqlab, tmp_path: Path) -> None:
    code, stderr = fit("--model.optimizer.init_args.lr", "1e30", "--model.schedule", "Constant")
    assert code == 2
    last = stderr.splitlines()[-1]
    assert "at step" in last and "no checkpoint was written yet" in last and "try a lower learning rate" in last


def test_the_last_good_checkpoint_is_named(fit: Seqlab, tmp_path: Path) -> None:
    settings = [
        "--model.optimizer.init_args.lr",
        "1e30",
        "--model.schedule",
        "Constant",
        "--checkpoint.every_n_steps",
        "1",
    ]
    code, stderr = fit(*settings)
    assert code == 2 and "the last good checkpoint is run/checkpoints/last.ckpt" in stderr.splitlines()[-1]
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is no readable checkpoint"),
        (lambda path: torch.save({"state_dict": {}}, path), "is not a checkpoint of seqlab"),
        (lambda path: path.unlink(), "has no checkpoint yet"),
    ],
    ids=["truncated", "foreign", "missing"],
)
def test_a_damaged_checkpoint(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture, damage: Callable[[Path], None], expected: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for name in ("last.ckpt", "previous.ckpt"):
        (run / "checkpoints" / name).unlink(missing_ok=True)
    damage(run / "checkpoints" / "best.ckpt")
    assert main(["evaluate", str(run)]) == 2
    assert expected in capfd.readouterr().err


def test_a_checkpoint_that_does_not_fit(trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert main(["evaluate", str(trained), "--model.decoder_size", "21"]) == 2
    stderr = capfd.readouterr().err
    assert "does not fit" in stderr and " in it and " in stderr and stderr.count("\n") == 1


def test_a_beam_without_width(trained: Path, capfd: pytest.CaptureFixture) -> None:
    for command in ("evaluate", "translate"):
        assert main([command, str(trained), "--beam", "0"]) == 2
        assert "beam must be at least 1, not 0" in capfd.readouterr().err
