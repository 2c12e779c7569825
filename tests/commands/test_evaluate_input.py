"""What evaluate answers to bad input: one line each, and nothing half written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import fit_here

Here = Callable[..., tuple[int, str, str]]


def files(tmp_path: Path) -> None:
    """Test files with something wrong, beside ones that are right."""
    for name, text in {
        "fine.en": "The dog sees the cat.\nThe fox.\n",
        "fine.de": "Der Hund sieht den Kater.\nDer Fuchs.\n",
        "short.de": "Der Hund.\n",
        "empty.en": "",
        "empty.de": "",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")


WRONG = [
    (["--data.test", "nowhere"], "no file nowhere.en"),
    (["--data.test", "fine.en"], "'fine.en' alone is one side: give both files"),
    (["--data.test", "fine.en,missing.de"], "no file missing.de"),
    (["--data.test", "fine.en,short.de"], "fine.en has 2 lines but short.de has 1"),
    (["--data.test", "fine.en,fine.de,short.de"], "fine.en has 2 lines but short.de has 1"),
    (["--data.test", "empty"], "empty.en and empty.de are empty"),
    (["--beam", "0"], "beam must be at least 1, not 0"),
    (["--beam", "100000"], "beam must be between 1 and 10,000, not 100000"),
    (["--beam", "2.5"], "argument --beam: '2.5' is not a whole number"),
    (["--n_best", "3"], "--n_best: the best output of each sentence is scored"),
    (["--min_length", "9", "--max_length", "3"], "min_length 9 is above max_length 3"),
    (["--split", "train"], "argument --split: invalid choice: 'train'"),
    (["--name", "a/b"], "--name a/b: a label is of letters"),
    (["--bootstrap", "1"], "--bootstrap 1: an interval takes two or more resamples"),
    (["--tokenize", "14a"], "no tokenizer '14a'"),
    (["--paired", "bs"], "--paired is for a comparison: give two or more runs"),
    (["--out", "x.json"], "--out is for a comparison: give two or more runs"),
    (["--cache", "5"], "--cache is for language models, not for Translation"),
    (["--cache_theta", "0.2"], "--cache_theta has no effect without --cache"),
    (["--dynamic", "0.1", "--dynamic_window", "0"], "--dynamic_window must be at least 1"),
    (["--data.source", "fr"], "--data.source fr: run was trained with 'en'"),
    (["--data.target", "en"], "--data.target en: run was trained with 'de'"),
    (["--data.tset", "fine"], "no setting named data.tset; did you mean 'data.test'?"),
    (["--test", "fine"], "no setting named test; did you mean 'data.test'?"),
    (["run"], "run is given twice"),
    (["./run/"], "run is given twice"),
    (["copy", "--out", "x.txt"], "to a file that ends in .json"),
    (["copy", "--out", "folder/x.json"], "there is no folder folder"),
    (["language"], "run is of the task Translation, language of LanguageModel: they do not compare"),
    (["elsewhere"], "run and elsewhere would be scored on different data (pairs: 30 and 40)"),
    (["nowhere"], "nowhere is not a run"),
]


@pytest.fixture(scope="module")
def place(copied: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs that do not go together, and test files that are wrong."""
    folder = tmp_path_factory.mktemp("place")
    files(folder)
    shutil.copytree(copied, folder / "run", ignore=shutil.ignore_patterns("scores.json", "translations"))
    shutil.copytree(folder / "run", folder / "copy")
    shutil.copytree(folder / "run", folder / "elsewhere")
    config = (folder / "elsewhere" / "config.yaml").read_text()
    (folder / "elsewhere" / "config.yaml").write_text(config.replace(str(corpus / "test"), str(corpus / "val")))
    (folder / "text.txt").write_text("the dog sees the cat\n" * 40)
    fit_here(
        *("--recipe", "language-model", "--run", folder / "language", "--data.train", folder / "text.txt"),
        *("--data.tokenizer.kind", "word", "--data.streams", "2", "--data.window", "5", "--trainer.max_steps", "1"),
        *("--trainer.accelerator", "cpu", "--data.val", folder / "text.txt", "--data.test", folder / "text.txt"),
        *("--model.hidden_size", "6", "--model.embedding_size", "6", "--trainer.val_check_interval", "1"),
    )
    return folder


@pytest.mark.parametrize(("argv", "expected"), WRONG, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_bad_input_gets_one_line(
    here: Here, place: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], expected: str
) -> None:
    monkeypatch.chdir(place)
    code, stdout, stderr = here("evaluate", "run", *argv)
    assert code == 2 and stdout == ""
    assert stderr.startswith("seqlab evaluate: error: ") and stderr.count("\n") == 1 and expected in stderr
    assert not list(place.glob("*/scores.json")) and not list(place.glob("*/translations"))


def test_language_models_have_no_text_to_tokenize(here: Here, place: Path) -> None:
    code, _, stderr = here("evaluate", place / "language", "--tokenize", "intl")
    assert code == 2 and "--tokenize: no score of" in stderr and stderr.count("\n") == 1
    code, _, stderr = here("evaluate", place / "language", "--beam", "3")
    assert code == 2 and "--beam: LanguageModel, the task of" in stderr and stderr.count("\n") == 1


def test_a_run_without_a_checkpoint_says_how_far_it_got(here: Here, copied: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(copied, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    code, _, stderr = here("evaluate", copy)
    assert code == 2 and "before the first one was written (its log ends at step 40)" in stderr
    shutil.rmtree(copy / "logs")
    code, _, stderr = here("evaluate", copy)
    assert code == 2 and "(it logged no step)" in stderr and stderr.count("\n") == 1


@pytest.mark.parametrize("refused", [".", "translations", "../out"])
def test_where_nothing_can_be_written_nothing_is_scored(
    here: Here, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run", "run/translations", "copy", "out"):
        Path(name).mkdir()
    for run in (Path("run"), Path("copy")):
        shutil.copytree(copied / "checkpoints", run / "checkpoints")
        shutil.copy(copied / "config.yaml", run)
    folder = (Path("run") / refused).resolve()
    monkeypatch.setattr("os.access", lambda path, _: Path(path).resolve() != folder)
    monkeypatch.setattr("seqlab.evaluation.evaluating.evaluate", lambda *_: pytest.fail("scored"))
    told = f"seqlab evaluate: error: cannot write to {folder.relative_to(tmp_path)}: Permission denied\n"
    assert here("evaluate", "run", "copy", "--out", "out/x.json") == (2, "", told)


def test_scores_of_another_kind_are_not_overwritten(here: Here, copied: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(copied, tmp_path / "copy")
    (copy / "scores.json").write_text("mine")
    code, _, stderr = here("evaluate", copy)
    assert code == 2 and "is not what evaluate writes" in stderr and stderr.count("\n") == 1
    assert (copy / "scores.json").read_text() == "mine" and not (copy / "translations").exists()


def test_flags_and_runs_come_in_any_order(here: Here, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    code, _, stderr = here("evaluate", "--data.test", "fine", "--beam", "0", "run", "--data.batch_tokens=50", "copy")
    assert code == 2 and "beam must be at least 1" in stderr, "fine is no run, and both runs are"
