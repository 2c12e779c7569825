"""The state before the first step: the cells' own, with noise, or learned.

Shape suffixes: T = time steps, B = rows, I = input size.
"""

import pytest
import torch

from seqlab.models.language_model import RecurrentLanguageModel
from seqlab.recurrence.stack import RecurrentStack

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 3, 1, 5]
EXACT = {"rtol": 0, "atol": 1e-12}
NAMES = ["elman", "lstm", "lstm-narrow", "gru", "rrnn", "parallel", "learned"]


def make(lab, name, **options):
    return lab.randomised(RecurrentStack(lambda size: lab.cells[name](size, H), I, 2, **options))


def flat(state):
    return [part for cell in state for part in cell]


@pytest.mark.parametrize("engine", [None, "plain"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_learned_state_is_a_state_given_by_hand(lab, name, bidirectional, engine):
    """Outputs and gradients are those of vectors that all rows begin with; the learned ones' are sums over rows."""
    stack = make(lab, name, bidirectional=bidirectional, engine=engine, initial_state="learned")
    vectors, x_TBI = list(stack.learned.parameters()), lab.inputs()
    assert [vector.shape for vector in vectors] == [(size,) for sizes in stack.state_sizes for size in sizes]
    sizes, places = [len(cell) for cell in stack.state_sizes], iter(vectors)
    by_hand = tuple(tuple(torch.stack([next(places)] * B) for _ in range(count)) for count in sizes)
    lengths = torch.tensor(LENGTHS)
    plain = [parameter for cell in stack.cells for parameter in cell.parameters()]
    results, expected = (
        (output, *flat(last))
        for output, last in (stack(x_TBI, lengths=lengths), stack(x_TBI, by_hand, lengths=lengths))
    )
    lab.assert_same(results, expected, (x_TBI, *plain, *vectors))


@pytest.mark.parametrize("name", ["lstm", "gru", "rrnn", "learned"])
def test_a_reset_gives_the_learned_state(lab, name):
    """Where a text begins in mid-row, the row goes on as if it began there; also where a state was carried."""
    stack, x_TBI = make(lab, name, initial_state="learned"), lab.inputs()
    carried = tuple(lab.state(cell, seed=20 + 2 * k) for k, cell in enumerate(stack.cells))
    resets_TB = torch.zeros(T, B, dtype=torch.bool)
    resets_TB[3], resets_TB[5, 1] = True, True
    output_TBO, _ = stack(x_TBI, carried, resets=resets_TB)
    expected_TBO = torch.cat([stack(x_TBI[:3], carried)[0], stack(x_TBI[3:])[0]])
    torch.testing.assert_close(output_TBO[:, [0, 2, 3]], expected_TBO[:, [0, 2, 3]], **EXACT)
    expected_T1O = torch.cat([expected_TBO[:5, 1:2], stack(x_TBI[5:, 1:2])[0]])
    torch.testing.assert_close(output_TBO[:, 1:2], expected_T1O, **EXACT)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_carried_state_leaves_no_learned_vector_out_of_the_graph(lab, name):
    """Several devices wait for the gradient of every parameter; here it is 0."""
    stack, x_TBI = make(lab, name, initial_state="learned").train(), lab.inputs()
    _, carried = stack(x_TBI)
    carried = tuple(tuple(part.detach() for part in cell) for cell in carried)
    output_TBO, _ = stack(x_TBI, carried)
    for gradient in torch.autograd.grad(output_TBO.sum(), list(stack.learned.parameters())):
        assert not gradient.any()
    assert torch.equal(output_TBO, stack.eval()(x_TBI, carried)[0])


@pytest.mark.parametrize("name", ["lstm", "learned"])
def test_a_random_state_is_the_cells_own_with_noise_in_training_alone(lab, name):
    stack = make(lab, name, initial_state="random", initial_state_std=0.3)
    own = make(lab, name).initial_state(2000, torch.zeros(1, dtype=torch.double))
    torch.manual_seed(1)
    drawn = stack.train().initial_state(2000, torch.zeros(1, dtype=torch.double))
    noise = torch.cat([part - mean for part, mean in zip(flat(drawn), flat(own), strict=True)], -1)
    assert noise.std().item() == pytest.approx(0.3, rel=0.02) and noise.mean().item() == pytest.approx(0, abs=0.01)
    assert len(noise.unique()) == noise.numel()
    for part, expected in zip(flat(stack.eval().initial_state(2000, drawn[0][0])), flat(own), strict=True):
        assert torch.equal(part, expected)


def test_a_random_state_is_what_a_row_begins_with_and_a_seed_repeats_it(lab):
    stack, x_TBI = make(lab, "gru", initial_state="random", initial_state_std=2.0).train(), lab.inputs()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(stack(x_TBI)[0])
    assert torch.equal(outputs[0], outputs[1]) and not torch.allclose(outputs[0][0], outputs[2][0])
    torch.manual_seed(1)
    state = stack.initial_state(B, x_TBI)
    assert torch.equal(stack(x_TBI, state)[0], outputs[0])
    assert torch.equal(stack.eval()(x_TBI)[0], make(lab, "gru")(x_TBI)[0])


def test_a_language_model_begins_every_text_with_its_learned_state(lab):
    """Training on two texts in a row, and generation, begin where the learned vectors say."""
    model = RecurrentLanguageModel(11, lab.cells["lstm"], embedding_size=4, hidden_size=H, initial_state="learned")
    lab.randomised(model)
    tokens_TB, resets_TB = torch.arange(T * B).reshape(T, B) % 11, torch.zeros(T, B, dtype=torch.bool)
    resets_TB[3] = True
    found_TBE, _, _ = model(tokens_TB, resets=resets_TB)
    texts = [model(tokens_TB[:3])[0], model(tokens_TB[3:])[0]]
    torch.testing.assert_close(found_TBE, torch.cat(texts), **EXACT)
    state = model.start(B).layers
    assert all(torch.equal(*pair) for pair in zip(flat(state), flat(model.layers.learned(B, found_TBE)), strict=True))
    log_probs_BV, _ = model.step(tokens_TB[0], model.start(B))
    torch.testing.assert_close(log_probs_BV, model.output.log_probs(found_TBE)[0], **EXACT)
    assert model.layers.learned.cells[0][1].abs().sum() > 0


def test_a_learned_state_begins_with_the_cells_own(lab):
    torch.manual_seed(1)
    stack = RecurrentStack(lambda size: lab.cells["lstm-narrow"](size, H), I, 2, initial_state="learned")
    assert [vector.tolist() for vector in stack.learned.parameters()] == [[0.0] * 2, [0.0] * H] * 2
    assert not [name for name, _ in make(lab, "lstm").named_parameters() if "learned" in name]
