"""Every cell of torchrecurrent: seqlab's own checks, and the numbers of torchrecurrent itself.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import inspect
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch
import torchrecurrent
from seqlab_torchrecurrent.adapter import TorchRecurrentCell
from torchrecurrent.base import DecoupledDoubleStateCellBase, DecoupledSingleStateCellBase

from seqlab import UserError, registry, unroll
from seqlab.tasks.cells import cell_factory
from seqlab.testing import check_cell, examine

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}
CLASSES = {name[:-4].lower(): name[:-4] for name in torchrecurrent.__all__ if name.endswith("Cell")}
SEPARATE = (DecoupledSingleStateCellBase, DecoupledDoubleStateCellBase)
LEARNING = "it learns: loss as a share of a guess's"

SLOW = {
    "antisymmetricrnn": "epsilon=0.1",
    "gatedantisymmetricrnn": "epsilon=0.1",
    "cornn": "dt=0.5",
    "unicornn": "dt=0.5",
}
"""Cells that learn too slowly by default, with an option that mends it: the length of their steps."""
OTHER_WIDTH = {"intersectionrnn": "input_projection=true"}
"""Cells that refuse an input of another width than their state, with an option that mends it."""


def spec(name, *options):
    return f"torchrecurrent/{name}" + ":" * any(options) + ",".join(filter(None, options))


def randomised(cell):
    """The cell in float64, with every weight and bias random, so that none is 0 or special."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.double))
    return cell


def random_inputs(cell):
    generator = torch.Generator().manual_seed(2)
    shapes = [(T, B, cell.input_size), *((B, size) for size in cell.state_sizes)]
    x_TBI, *state = (torch.randn(s, generator=generator, dtype=torch.double).requires_grad_() for s in shapes)
    return x_TBI, tuple(state)


def gradients(results, inputs):
    generator = torch.Generator().manual_seed(3)
    factors = [torch.randn(part.shape, generator=generator, dtype=torch.double) for part in results]
    return torch.autograd.grad(results, inputs, factors, materialize_grads=True)


def test_every_cell_of_torchrecurrent_is_offered():
    """A new release of torchrecurrent with another cell fails here."""
    points = distribution("seqlab-torchrecurrent").entry_points.select(group="seqlab.cells")
    offered = {point.name: point.value.partition(":")[2] for point in points}
    assert offered == {spec(name): title for name, title in CLASSES.items()}
    assert len(offered) == 41


@pytest.mark.parametrize("name", CLASSES)
def test_a_name_is_its_class_with_a_description(name):
    cell = registry.load(registry.CELLS, spec(name))
    assert issubclass(cell, TorchRecurrentCell)
    assert cell.original is getattr(torchrecurrent, f"{CLASSES[name]}Cell")
    described = registry.describe(registry.CELLS, registry.find(registry.CELLS, spec(name)))
    assert re.search(r"\(.* (19|20)\d\d", described)


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in SLOW | OTHER_WIDTH])
def test_seqlabs_own_checks_pass(name):
    check_cell(spec(name))


@pytest.mark.parametrize(("name", "option"), (SLOW | OTHER_WIDTH).items())
def test_seqlabs_own_checks_pass_with_an_option(name, option):
    check_cell(spec(name, option))


@pytest.mark.parametrize("name", SLOW)
def test_what_fails_by_default_is_learning_alone(name):
    results = {result.check: result for result in examine(spec(name)).results}
    assert results.pop(LEARNING).measured > 0.75
    assert all(result.passed for result in results.values())


@pytest.mark.parametrize("name", OTHER_WIDTH)
def test_what_fails_by_default_is_an_input_of_another_width(name):
    with pytest.raises(ValueError, match="requires input_size == hidden_size"):
        getattr(torchrecurrent, f"{CLASSES[name]}Cell")(I, H)
    with pytest.raises(UserError, match=f"one width, not {I} and {H}; input_projection=true maps the input first"):
        cell_factory(spec(name))(I, H)
    equal = cell_factory(spec(name, OTHER_WIDTH[name]))(H, H)
    assert equal.state_dict().keys() == cell_factory(spec(name))(H, H).state_dict().keys()  # no map where none is due


def by_the_module(title, cell, x_TBI, state):
    """Outputs and last state of a new module of torchrecurrent with the cell's weights, step by step."""
    module = getattr(torchrecurrent, f"{title}Cell")(cell.module.input_size, H).double()
    weights, outputs = dict(cell.module.named_parameters()), []
    if title == "tauGRU":
        state = (state[0], *state[1].split(H, 1))  # of the delayed ones the oldest first
    for x_BI in cell.project(x_TBI):
        if title == "tauGRU":
            h, *delayed = state
            output = torch.func.functional_call(module, weights, (x_BI, h, delayed[0]))
            state = (output, *delayed[1:], h)
        else:
            new = torch.func.functional_call(module, weights, (x_BI, state if len(state) > 1 else state[0]))
            output, new = new if isinstance(module, SEPARATE) else (new if torch.is_tensor(new) else new[0], new)
            state = (new,) if torch.is_tensor(new) else new
        outputs.append(output)
    if title == "tauGRU":
        state = (state[0], torch.cat(state[1:], 1))
    return torch.stack(outputs), state


@pytest.mark.parametrize("engine", ["plain", "deferred"])
@pytest.mark.parametrize(
    ("name", "option"), [*((name, OTHER_WIDTH.get(name, "")) for name in CLASSES), ("taugru", "delay=3")]
)
def test_it_is_torchrecurrents_module(name, option, engine):
    """Outputs, last state and all gradients; no weight is without one."""
    cell = randomised(cell_factory(spec(name, option))(I, H))
    x_TBI, state = random_inputs(cell)
    output_TBH, last = unroll(cell, x_TBI, state, engine=engine)
    expected_TBH, expected_last = by_the_module(CLASSES[name], cell, x_TBI, state)
    results, expected = (output_TBH, *last), (expected_TBH, *expected_last)
    torch.testing.assert_close(results, expected, **EXACT)
    inputs = (x_TBI, *state, *cell.parameters())
    grads, expected_grads = gradients(results, inputs), gradients(expected, inputs)
    torch.testing.assert_close(grads, expected_grads, **EXACT)
    assert all(grad.abs().max() > 1e-6 for grad in expected_grads)


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in CLASSES), ("taugru", {"delay": 3})])
def test_it_is_torchrecurrents_layer(name, options):
    """From the initial state, weights under the same names."""
    size = H if name in OTHER_WIDTH else I
    layer = getattr(torchrecurrent, CLASSES[name])(size, H, **options).double()
    cell = cell_factory({"name": spec(name), **options})(size, H)
    layer.cells[0].load_state_dict(randomised(cell).module.state_dict())
    x_TBI, _ = random_inputs(cell)
    torch.testing.assert_close(unroll(cell, x_TBI)[0], layer(x_TBI)[0], **EXACT)


@pytest.mark.parametrize("name", CLASSES)
def test_it_starts_as_torchrecurrents_module_does(name):
    torch.manual_seed(4)
    original = getattr(torchrecurrent, f"{CLASSES[name]}Cell")(H, H).state_dict()
    torch.manual_seed(4)
    found = cell_factory(spec(name))(H, H).module.state_dict()
    assert found.keys() == original.keys()
    assert all(torch.equal(found[key], original[key]) for key in original)


@pytest.mark.parametrize("name", CLASSES)
def test_the_options_are_the_originals(name):
    original = inspect.signature(getattr(torchrecurrent, f"{CLASSES[name]}Cell")).parameters
    found = inspect.signature(registry.load(registry.CELLS, spec(name))).parameters
    added = {"intersectionrnn": {"input_projection"}, "taugru": {"delay"}}.get(name, set())
    assert found.keys() == original.keys() - {"device", "dtype"} | added
    assert all(found[option].default == original[option].default for option in found.keys() - added)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("atr:foo=1", "cell 'torchrecurrent/atr' of seqlab-torchrecurrent 0.1.0 has no option 'foo' (options: bias, "),
        ("atr:device=cpu", "has no option 'device'"),
        ("atr:bias=3", "option bias: expected bool, not 3"),
        ("cornn:dt=long", "option dt: expected float, not 'long'"),
        ("atr:kernel_init=3", "option kernel_init: expected str, not 3"),
        ("atr:kernel_init=foo", "Unknown initializer 'foo'."),
        ("indrnn:nonlinearity=foo", "Unknown activation 'foo'"),
        ("taugru:delay=x", "option delay: expected int, not 'x'"),
        ("taugru:delay=0", "tauGRU: delay must be positive, not 0"),
    ],
)
def test_a_wrong_option_takes_one_line(cell, expected):
    with pytest.raises(UserError) as caught:
        cell_factory(f"torchrecurrent/{cell}")(I, H)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_an_option_reaches_the_original():
    cell = cell_factory(spec("janet", "beta=2", "bias=false", "recurrent_kernel_init=zeros"))(I, H)
    assert cell.module.beta == 2.0 and "bias_ih" not in dict(cell.module.named_parameters())
    assert not cell.module.weight_hh.any() and cell.module.weight_ih.any()


@pytest.mark.parametrize("sizes", [(0, 5), (3, -1)])
def test_sizes_must_be_positive(sizes):
    with pytest.raises(UserError, match="ATR: sizes must be positive"):
        cell_factory(spec("atr"))(*sizes)


def test_weight_drop_is_refused():
    with pytest.raises(UserError, match="ATR has no recurrent map"):
        unroll(cell_factory(spec("atr"))(I, H), random_inputs(cell_factory(spec("atr"))(I, H))[0], weight_drop=0.5)


def test_where_the_originals_are_not_their_papers():
    """What the README says of torchrecurrent 0.2.5, so that it is noticed when it changes."""
    assert inspect.signature(torchrecurrent.FastGRNNCell).parameters["nonlinearity"].default == "tanh"
    lem = randomised(torchrecurrent.LEMCell(I, H))
    h, _ = lem(torch.ones(B, I).double())
    (grad,) = torch.autograd.grad(h.sum(), lem.weight_ih)
    assert [bool(part.any()) for part in grad.chunk(4)] == [True, False, False, True]  # not of those that make c(t)
    h, _ = randomised(torchrecurrent.SCRNCell(I, H))(torch.ones(B, I).double())
    assert (h < 0).any()  # a hidden layer, behind a sigmoid, has none


def test_the_names_work_in_a_recipe_and_in_a_flag(tmp_path):
    """A few steps of training, as a user would start them; the checkpoint says what supplied the cells."""
    for split, count in (("train", 12), ("val", 2)):
        for language, words in (("en", "the dog sees a cat"), ("de", "der Hund sieht die Katze")):
            rows = [" ".join(words.split()[n % 3 :]) + "\n" for n in range(count)]
            (tmp_path / f"{split}.{language}").write_text("".join(rows), encoding="utf-8")
    recipe = registry.recipe_path("translation").read_text(encoding="utf-8")
    cells = "encoder_cell: torchrecurrent/tlstm\n  decoder_cell: {name: torchrecurrent/taugru, delay: 2}"
    (tmp_path / "mine.yaml").write_text(recipe.replace("cell: gru", cells), encoding="utf-8")
    flags = "--recipe mine.yaml --run run --data.train train --data.val val --data.batch_tokens 30 "
    flags += "--data.tokenizer.vocab_size 26 --data.tokenizer.kind unigram --model.embedding_size 8 "
    flags += "--model.encoder_size 7 --model.decoder_size 5 --trainer.max_steps 3 --trainer.val_check_interval 1000 "
    flags += "--trainer.accelerator cpu --model.encoder_cell torchrecurrent/intersectionrnn:input_projection=true"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    fit = [sys.executable, "-m", "seqlab", "fit", *flags.split()]
    done = subprocess.run(fit, cwd=tmp_path, env=one_thread, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    suppliers = checkpoint["seqlab"]["suppliers"]
    assert list(suppliers) == ["cell torchrecurrent/intersectionrnn", "cell torchrecurrent/taugru"]
    assert list(suppliers.values()) == [["seqlab-torchrecurrent", "0.1.0"]] * 2


def test_the_readme_names_every_cell():
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = readme.partition("## The cells")[2].splitlines()
    assert sorted(name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row)) == sorted(
        CLASSES
    )
    exceptions = re.findall(r"^\| `(\w+)` .* \| `(\S+)` \|$", readme, re.MULTILINE)
    assert dict(exceptions) == SLOW | OTHER_WIDTH
