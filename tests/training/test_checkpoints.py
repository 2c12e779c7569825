"""Checkpoints reach the disk whole, are found out when they are damaged, and harm nobody who reads them."""

import itertools
import os
import pickle
from types import SimpleNamespace

import pytest
import torch

from seqlab.errors import UserError
from seqlab.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from seqlab.training.seeding import SeedSteps, step_seed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


GOOD = {"seqlab": {"version": "1"}, "step": 7, "state_dict": {"w": torch.arange(6.0).reshape(2, 3)}}


def save(path, checkpoint=GOOD) -> None:
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)


def files(path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_what_is_saved_is_loaded(path):
    save(path)
    found = load_checkpoint(path)
    assert (found["seqlab"], found["step"]) == ({"version": "1"}, 7)
    assert found["state_dict"]["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and files(path) == ["last.ckpt"]


def steps(path) -> dict[str, int]:
    """The step of each file beside a checkpoint, all of which must be whole."""
    return {entry.name: load_checkpoint(entry)["step"] for entry in path.parent.iterdir()}


def test_the_one_before_is_kept(path):
    for step in (1, 2, 3):
        save(path, {**GOOD, "step": step})
    assert steps(path) == {"last.ckpt": 3, "previous.ckpt": 2}


def test_only_of_the_last_one(path):
    """The best one replaces a worse one."""
    best = path.with_name("best.ckpt")
    for step in (1, 2):
        save(best, {**GOOD, "step": step})
    assert steps(best) == {"best.ckpt": 2}


def found(path) -> int | None:
    return load_checkpoint(path)["step"] if path.exists() else None


def observe(path, monkeypatch) -> list[tuple[str, int | None, int | None]]:
    """After each system call that a writing makes: its name, and the last two checkpoints that would be found."""
    calls = []
    for module, name in ((os, "link"), (os, "fsync"), (type(path), "replace")):
        original = getattr(module, name)

        def note(*arguments, original=original, name=name):
            original(*arguments)
            calls.append((name, found(path), found(path.with_name("previous.ckpt"))))

        monkeypatch.setattr(module, name, note)
    return calls


def test_at_any_moment_there_is_a_whole_last_checkpoint(path, monkeypatch):
    """It is synced before it takes its place: later, a power failure could leave an empty file."""
    for step in (6, 7):
        save(path, {**GOOD, "step": step})
    calls = observe(path, monkeypatch)
    save(path, {**GOOD, "step": 8})
    assert calls == [("fsync", 7, 6), ("link", 7, 6), ("replace", 7, 7), ("replace", 8, 7), ("fsync", 8, 7)]


def test_a_disk_on_which_a_file_has_one_name(path, monkeypatch):
    """Then the one before is a copy, synced as well."""

    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    for step in (6, 7):
        save(path, {**GOOD, "step": step})
    calls = observe(path, monkeypatch)
    monkeypatch.setattr(os, "link", refuse)
    save(path, {**GOOD, "step": 8})
    assert calls == [("fsync", 7, 6), ("fsync", 7, 6), ("replace", 7, 7), ("replace", 8, 7), ("fsync", 8, 7)]
    assert steps(path) == {"last.ckpt": 8, "previous.ckpt": 7}


def test_a_killed_writing_leaves_nothing_that_piles_up(path):
    """What it left is gone with the next one, also where the two were one file already."""
    for step in (6, 7):
        save(path, {**GOOD, "step": step})
    for name in (".last.ckpt.writing", ".previous.ckpt.writing"):
        path.with_name(name).write_bytes(b"half of it")
    path.with_name("previous.ckpt").unlink()
    os.link(path, path.with_name("previous.ckpt"))
    save(path, {**GOOD, "step": 8})
    assert steps(path) == {"last.ckpt": 8, "previous.ckpt": 7}


@pytest.mark.parametrize(
    ("failure", "told", "words"),
    [
        (
            OSError(28, "No space left on device"),
            UserError,
            r"cannot write .*last\.ckpt: No space left on device; what",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_writing_that_fails_leaves_the_old_checkpoints(path, monkeypatch, failure, told, words):
    for step in (6, 7):
        save(path, {**GOOD, "step": step})

    def write_half(checkpoint, file):
        file.write(b"half of it")
        raise failure

    monkeypatch.setattr(torch, "save", write_half)
    with pytest.raises(told, match=words):
        save(path, {**GOOD, "step": 8})
    assert steps(path) == {"last.ckpt": 7, "previous.ckpt": 6}


def error(path) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_checkpoint(path, share):
    save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in error(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_checkpoint_with_one_other_bit(path, share):
    """In the numbers of a weight, where torch itself sees nothing wrong."""
    save(path, {**GOOD, "state_dict": {"w": torch.zeros(9999)}})
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    assert content[place] == 0
    content[place] ^= 0x40
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["state_dict"]["w"].count_nonzero() == 1
    assert "data/0 in it does not have its checksum" in error(path)


def test_a_missing_checkpoint_and_a_file_that_is_none(path):
    assert str(path) in error(path)
    path.parent.mkdir()
    for content in (b"some text\n" * 50, bytes(range(256))):
        path.write_bytes(content)
        assert str(path) in error(path)


class Harmful(str):
    """Its pickle makes a folder of this name when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (str(self),)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_checkpoint_with_code_is_refused_and_not_run(path, tmp_path, write):
    path.parent.mkdir()
    write({**GOOD, "harm": Harmful(tmp_path / "harmed")}, path)
    assert str(path) in error(path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(3), "text"])
def test_a_checkpoint_of_something_else(path, content):
    path.parent.mkdir()
    torch.save(content, path)
    assert "not a checkpoint of seqlab" in error(path)


def test_step_seed():
    """Another one for any other seed, rank, step or batch; the same for the same."""
    keys = list(itertools.product(range(4), range(3), range(30), range(3)))
    seeds = {step_seed(*key) for key in keys + keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 1 << 64 for seed in seeds) and max(seeds) > 1 << 62


def test_random_numbers_of_a_step():
    """They depend on where training stands and on nothing that was drawn before."""

    def draw(seed, rank, step, batch):
        trainer = SimpleNamespace(global_rank=rank, global_step=step)
        SeedSteps(seed).on_train_batch_start(trainer, None, None, batch)
        return torch.rand(4).tolist()

    keys = list(itertools.product(range(2), repeat=4))
    draws = {key: draw(*key) for key in keys}
    assert len({tuple(values) for values in draws.values()}) == len(keys)
    assert {key: draw(*key) for key in reversed(keys)} == draws
