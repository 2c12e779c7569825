"""``seqlab generate --beam`` on a small run."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from seqlab.cli import main
from seqlab.decoding.search import Search
from seqlab.tasks.language_model import LanguageModel

Seqlab = Callable[..., CompletedProcess]


def test_the_likeliest_end_of_a_line_goes_to_stdout(seqlab: Seqlab, run: Path, model: LanguageModel) -> None:
    done = seqlab("generate", run, "the dog", "--beam", "3")
    assert done.returncode == 0 and done.stderr == b""
    (best,) = model.complete("the dog", Search(3))
    assert done.stdout.decode() == f"the dog{best.text}\n"
    assert re.fullmatch(r" \w+ the \w+ \.", best.text)


def test_n_best_have_heads_with_scores(
    here: Callable, run: Path, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--beam", "4", "--n_best", "3", "--length_penalty", "0.5", "--length_normalization", "wu"]
    flags += ["--no_repeat_ngram_size", "2", "--min_length", "7", "--length", "12", "--unk"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat .\nthe odd\n")))
    code, stdout, stderr = here("generate", run, *flags)
    search = Search(4, 0.5, "wu", n_best=3, no_repeat_ngram_size=2, min_length=7)
    found = model.complete("the cat .\nthe odd", search, length=12, unk=True)
    assert len(found) == 3
    expected = [
        f"--- {number} of 3: score {part.score:.4f}, log-probability {part.log_probability:.4f} ---\n"
        f"the cat .\nthe odd{part.text}\n"
        for number, part in enumerate(found, 1)
    ]
    assert (code, stdout) == (0, "".join(expected))
    assert stderr == "prompt: 1 of 5 words unknown to the tokenizer, read as <unk>: 'odd'\n"


def test_a_beam_of_one_is_what_the_coldest_sample_is(model: LanguageModel) -> None:
    (best,) = model.complete("the dog", Search(1))
    assert model.generate("the dog", temperature=0, lines=1) == [best.text]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--beam", "0"], "beam must be at least 1, not 0"),
        (["--beam", "9", "--n_best", "100000"], "n_best must be between 1 and 10,000, not 100000"),
        (["--beam", "2", "--n_best", "3"], "n_best 3 is more than a beam of 2 finds; take --beam 3 or wider"),
        (["--beam", "2", "--length", "0"], "length must be at least 1, not 0"),
        (["--beam", "2", "--length", "3", "--min_length", "4"], "min_length 4 is above length 3"),
        (["--beam", "2", "--length_normalization", "log"], "argument --length_normalization: invalid choice: 'log'"),
        (["--n_best", "3"], "--n_best has no effect without --beam"),
        (["--min_length", "0"], "--min_length has no effect without --beam"),
        *(
            (["--beam", "2", f"--{name}", "1"], f"--beam and --{name} contradict: what is searched for is not drawn")
            for name in ("samples", "lines", "temperature", "top_k", "top_p", "repetition_penalty", "seed")
        ),
    ],
)
def test_wrong_flags_take_one_line(
    run: Path, flags: list[str], message: str, capfdbinary: pytest.CaptureFixture
) -> None:
    assert main(["generate", str(run), "the", *flags]) == 2
    stdout, stderr = map(bytes.decode, capfdbinary.readouterr())
    assert stdout == "" and stderr.startswith(f"seqlab generate: error: {message}") and stderr.count("\n") == 1


def test_a_run_of_another_task_is_told_its_command(trained: Path, capfdbinary: pytest.CaptureFixture) -> None:
    assert main(["generate", str(trained), "the", "--beam", "3"]) == 2
    stdout, stderr = capfdbinary.readouterr()
    message = f"{trained} does not complete text: its task is Translation (seqlab translate {trained} does what it was"
    assert stdout == b"" and stderr.decode() == f"seqlab generate: error: {message} made for)\n"
