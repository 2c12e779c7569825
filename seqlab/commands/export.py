"""``seqlab export``: the model of a run in a folder of its own, which needs no run."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.terminal import columns, folded


def main(argv: list[str]) -> None:
    """Writes a model and says what to type next."""
    parser = Arguments(
        prog="seqlab export",
        description="Writes the model of a run into a new folder DIR: its weights as safetensors (the averaged ones "
        "where it has them), its configuration, its tokenizers and a README with its scores. What takes a run takes "
        "DIR as well: seqlab translate, generate, score, evaluate, and seqlab.load.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of a run")
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder to write; an empty one may be there")
    options = parser.parse_args(argv)
    run, folder = options.run, options.folder
    run.checkpoint()
    check_free(folder)
    files = export(run, folder)
    told = f"written: {', '.join(str(folder / name) for name in files)}"
    print(*folded(told, columns(sys.stdout), len("written: ")), sep="\n")


def check_free(folder: Path) -> None:
    """Makes sure that a folder can be written anew.

    Raises:
        UserError: There is something there, or no folder that it could be in.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is no folder: an export is one of its own; take another DIR")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; it was left as it is: take another DIR")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"there is no folder {folder.parent} to write {folder.name} into")


def export(run: Run, folder: Path) -> list[str]:
    """Writes the model of a run into a folder: all of it or nothing.

    Args:
        run: The run, or another export.
        folder: The folder.

    Returns:
        The names of the files.

    Raises:
        UserError: The run cannot be loaded, or the folder cannot be written.
    """
    from seqlab.evaluation.cards import model_card
    from seqlab.evaluation.records import read_records
    from seqlab.runs import restore
    from seqlab.training.exports import write_export

    records = read_records(run)
    task, data, checkpoint = restore(run)
    place = folder.absolute()
    try:
        with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as temporary:
            draft = Path(temporary, place.name)
            draft.mkdir()
            config = run.config.read_text(encoding="utf-8")
            files = write_export(draft, checkpoint, config, type(data).__qualname__)
            if records:
                shutil.copyfile(run.scores, draft / run.scores.name)
                files.append(run.scores.name)
            card = model_card(place.name, task, checkpoint, records, files)
            (draft / "README.md").write_text(card, encoding="utf-8")
            draft.rename(place)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    return [*files, "README.md"]
