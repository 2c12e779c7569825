"""GRU with each of its options against a loop over the equations of their sources."""

import pytest

from seqlab.cells.gru import GRU
from seqlab.errors import UserError

I, H = 3, 5  # noqa: E741


def test_plain_gru_is_its_equations(lab):
    """The reset gate acts after the recurrent product, as in torch.nn.GRU."""
    cell, sigmoid, tanh = lab.randomised(GRU(I, H)), lab.functions["sigmoid"], lab.functions["tanh"]
    W_xr, W_xz, W_xn = cell.input.weight.reshape(3, H, I)
    W_hr, W_hz, W_hn = cell.recurrent.weight.reshape(3, H, H)
    b_xr, b_xz, b_xn = cell.input.bias.reshape(3, H)
    b_hr, b_hz, b_hn = cell.recurrent.bias.reshape(3, H)

    def step(x, h):
        r = sigmoid(W_xr @ x + b_xr + W_hr @ h + b_hr)
        z = sigmoid(W_xz @ x + b_xz + W_hz @ h + b_hz)
        n = tanh(W_xn @ x + b_xn + r * (W_hn @ h + b_hn))
        h = (1 - z) * n + z * h
        return h, h

    lab.assert_follows(cell, step)


def test_gru_with_reset_before_is_the_equations_of_its_paper(lab):
    """Cho et al. 2014, equations 5 to 8: the reset gate acts on the old state, before the recurrent product."""
    cell, sigmoid, tanh = lab.randomised(GRU(I, H, reset="before")), lab.functions["sigmoid"], lab.functions["tanh"]
    W_xr, W_xz, W_xn = cell.input.weight.reshape(3, H, I)
    b_xr, b_xz, b_xn = cell.input.bias.reshape(3, H)
    W_hr, W_hz = cell.recurrent.weight.reshape(2, H, H)
    b_hr, b_hz = cell.recurrent.bias.reshape(2, H)
    W_hn, b_hn = cell.candidate.weight, cell.candidate.bias

    def step(x, h):
        r = sigmoid(W_xr @ x + W_hr @ h + b_xr + b_hr)
        z = sigmoid(W_xz @ x + W_hz @ h + b_xz + b_hz)
        n = tanh(W_xn @ x + b_xn + W_hn @ (r * h) + b_hn)
        h = z * h + (1 - z) * n
        return h, h

    lab.assert_follows(cell, step)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_gru_with_layer_norm_is_its_equations(lab, reset):
    """Ba et al. 2016, appendix: for each product one norm over both gates, and one over the candidate."""
    cell = lab.randomised(GRU(I, H, reset=reset, layer_norm=True))
    sigmoid, tanh = lab.functions["sigmoid"], lab.functions["tanh"]
    W_x, W_xn = cell.input.weight[: 2 * H], cell.input.weight[2 * H :]
    W_h = cell.recurrent.weight[: 2 * H]
    W_hn = cell.recurrent.weight[2 * H :] if reset == "after" else cell.candidate.weight
    (x_gates, x_candidate), (h_gates, h_candidate) = cell.input_norms, cell.recurrent_norms

    def step(x, h):
        r, z = sigmoid(lab.norm(W_x @ x, x_gates) + lab.norm(W_h @ h, h_gates)).reshape(2, H)
        if reset == "after":
            n = tanh(lab.norm(W_xn @ x, x_candidate) + r * lab.norm(W_hn @ h, h_candidate))
        else:
            n = tanh(lab.norm(W_xn @ x, x_candidate) + lab.norm(W_hn @ (r * h), h_candidate))
        h = (1 - z) * n + z * h
        return h, h

    lab.assert_follows(cell, step)


def test_options_add_only_their_own_weights():
    plain = {"input.weight", "input.bias", "recurrent.weight", "recurrent.bias"}
    norms = {f"{s}_norms.{n}.{kind}" for s in ("input", "recurrent") for n in (0, 1) for kind in ("weight", "bias")}
    maps = {"input.weight", "recurrent.weight"}
    expected = [
        ({}, plain),
        ({"reset": "before"}, {*plain, "candidate.weight", "candidate.bias"}),
        ({"layer_norm": True}, {*maps, *norms}),  # the norms' offsets are the biases
        ({"layer_norm": True, "reset": "before"}, {*maps, *norms, "candidate.weight"}),
    ]
    for options, names in expected:
        assert {name for name, _ in GRU(I, H, **options).named_parameters()} == names


def test_unknown_kind_of_reset_is_refused():
    with pytest.raises(UserError, match=r"^GRU: reset must be one of after, before, not 'between'$"):
        GRU(I, H, reset="between")
