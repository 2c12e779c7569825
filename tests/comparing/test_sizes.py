"""The number of parameters that sizes are chosen for, of every installed cell."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from seqlab import registry
from seqlab.comparing.sizes import Counter, quick_weights, solve
from seqlab.config import parse
from seqlab.errors import UserError
from seqlab.training.summary import count_parameters

OPTIONS = {"torchrecurrent/intersectionrnn": "input_projection=true"}
"""What a cell needs to run in these models at all."""
CELLS = [f"{name}:{OPTIONS[name]}" if name in OPTIONS else name for name in registry.names(registry.CELLS)]
FLAGS = {
    "translation": ["--model.embedding_size", "32", "--model.encoder_size", "24", "--model.decoder_size", "40"],
    "language-model": [
        "--model.embedding_size",
        "32",
        "--model.layers",
        "2",
        "--model.tying",
        "false",
        "--model.weight_drop",
        "0",
    ],
}
SMALL = ["--data.tokenizer.vocab_size", "300"]
WANTED = {"translation": 400_000, "language-model": 600_000}


@pytest.fixture(scope="module")
def counters() -> dict[str, Counter]:
    return {task: Counter(parse(registry.recipe_path(task), [*FLAGS[task], *SMALL], prog="test")) for task in FLAGS}


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, marks=pytest.mark.slow) if "/" in cell else cell for cell in CELLS]
)
def test_every_cell_has_its_size(counters: dict[str, Counter], cell: str) -> None:
    """In both tasks: within 1 %, in the recipe's proportions, and counted right."""
    for task, counter in counters.items():
        found = solve(lambda sizes, counter=counter: counter(cell, sizes), counter.base, WANTED[task])  # type: ignore[misc]
        model = vars(counter.settings.built.model)
        kept = {name: model[name] for name in ("cell", *found.sizes)}
        model.update({"cell": cell, **found.sizes})
        made = counter.settings.rehearse_task()  # as a fit makes it
        model.update(kept)
        assert count_parameters(made) == found.parameters
        assert abs(found.parameters - WANTED[task]) <= 0.01 * WANTED[task]
        scales = [found.sizes[name] / size for name, size in counter.base.items()]
        assert max(scales) / min(scales) < 1.1


def parabola(sizes: Mapping[str, int]) -> int:
    return 3 * sizes["a"] ** 2 + 5 * sizes["a"] * sizes["b"] + 7 * sizes["b"] + 11_000


@pytest.mark.parametrize("base", [{"a": 128, "b": 256}, {"a": 7, "b": 5}, {"a": 100, "b": 101}])
@pytest.mark.parametrize("wanted", [50_000, 1_000_003, 77_000_000])
def test_in_few_trials(base: dict[str, int], wanted: int) -> None:
    trials = []

    def count(sizes: Mapping[str, int]) -> int:
        trials.append(dict(sizes))
        return parabola(sizes)

    found = solve(count, base, wanted)
    assert abs(found.parameters - wanted) <= 0.01 * wanted and parabola(found.sizes) == found.parameters
    assert len(trials) < 30
    assert found.sizes["a"] / found.sizes["b"] == pytest.approx(base["a"] / base["b"], rel=0.05)


def test_exact_proportions_come_first() -> None:
    found = solve(parabola, {"a": 96, "b": 192}, 300_000)
    assert found.sizes["b"] == 2 * found.sizes["a"]


def test_the_nearest_of_all() -> None:
    """Beside a search through all sizes of one argument."""
    every = [(abs(13 * n * n + 17 * n + 90 - 54_321), n) for n in range(1, 1000)]
    found = solve(lambda sizes: 13 * sizes["n"] ** 2 + 17 * sizes["n"] + 90, {"n": 3}, 54_321)
    assert found.sizes["n"] == min(every)[1]


def test_steps_and_small_sizes_that_there_are_not() -> None:
    def count(sizes: Mapping[str, int]) -> int:
        if sizes["n"] <= 20:
            raise UserError("too small for its projection")
        return 50 * (sizes["n"] // 4) ** 2 + 1000

    assert solve(count, {"n": 64}, 50 * 6**2 + 1000).sizes["n"] in (24, 25, 26, 27)
    with pytest.raises(UserError, match=r"the nearest: 2,250 \(model.n 2[1-3]\)"):
        solve(count, {"n": 64}, 500)


def test_a_number_that_no_size_has() -> None:
    with pytest.raises(UserError) as error:
        solve(lambda sizes: 1000 * sizes["n"] ** 2, {"n": 5}, 5000)
    assert str(error.value) == (
        "no size gives 5,000 parameters within 1%; the nearest: 4,000 (model.n 2) and 9,000 (model.n 3)"
    )
    with pytest.raises(UserError, match=r"within 1%; the nearest: 1,000 \(model.n 1\)$"):
        solve(lambda sizes: 1000 * sizes["n"] ** 2, {"n": 5}, 500)


def test_a_cell_that_fits_no_size_says_why(counters: dict[str, Counter]) -> None:
    counter = counters["translation"]
    with pytest.raises(UserError, match=r"cell 'gru' of seqlab .* has no option 'gates'"):
        solve(lambda sizes: counter("gru:gates=3", sizes), counter.base, 400_000)


def test_attention_that_compares_widths() -> None:
    flags = ["--model.encoder_size", "24", "--model.decoder_size", "48", "--model.attention", "dot", *SMALL]
    counter = Counter(parse(registry.recipe_path("translation"), flags, prog="test"))
    found = solve(lambda sizes: counter("lstm", sizes), counter.base, 2_000_000)
    assert found.sizes["decoder_size"] == 2 * found.sizes["encoder_size"]


def test_a_single_tied_layer_is_as_wide_as_its_embeddings() -> None:
    for layers, names in ((1, {"hidden_size", "embedding_size"}), (2, {"hidden_size"})):
        flags = ["--model.layers", str(layers), *SMALL]
        counter = Counter(parse(registry.recipe_path("language-model"), flags, prog="test"))
        assert set(counter.base) == names


def test_a_vocabulary_of_unknown_size_is_read(tmp_path: Path) -> None:
    """A word vocabulary has at most as many tokens as it is given: here 3 words and the special ones."""
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").write_text("the dog sees\n" * 50)
    flags = [part for split in ("train", "val") for part in (f"--data.{split}", str(tmp_path / f"{split}.txt"))]
    flags += ["--data.tokenizer.kind", "word", "--data.tokenizer.vocab_size", "1000", "--model.embedding_size", "7"]
    counter = Counter(parse(registry.recipe_path("language-model"), flags, prog="test"))
    count = counter("elman", {"hidden_size": 5, "embedding_size": 7})
    vocabulary = len(counter.settings.make_data().tokenizer)
    assert vocabulary < 10
    assert count == 7 * vocabulary + vocabulary + (7 * 7 + 7) * 2


def test_weights_are_not_those_of_a_fit_but_as_long() -> None:
    matrix = torch.empty(30, 20)
    with quick_weights():
        torch.nn.init.orthogonal_(matrix)
    assert not torch.allclose(matrix.T @ matrix, torch.eye(20), atol=1e-3)
    assert matrix.norm(dim=0).mean() == pytest.approx(1, abs=0.3)
