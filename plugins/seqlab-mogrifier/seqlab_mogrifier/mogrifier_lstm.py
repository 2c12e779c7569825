"""The Mogrifier LSTM."""

from torch import Tensor, nn

from seqlab import UserError
from seqlab.cells.base import State
from seqlab.cells.lstm import LSTM


class MogrifierLSTM(LSTM):
    """LSTM whose input and state modulate each other in rounds before every step (Melis et al. 2020).

    ::

        x^{-1} = x_t,  h^0 = h_{t-1}
        x^i = 2 sigmoid(Q^i h^{i-1}) * x^{i-2}      in odd rounds i of 1 ... r
        h^i = 2 sigmoid(R^i x^{i-1}) * h^{i-2}      in even rounds i of 1 ... r

    The last x^i and h^i then take the places of x_t and h_{t-1} in the LSTM; the memory c_{t-1} stays as it is::

        i_t = sigmoid(W_xi x^i + W_hi h^i + b_i)    input gate
        f_t = sigmoid(W_xf x^i + W_hf h^i + b_f)    forget gate
        g_t = tanh(W_xg x^i + W_hg h^i + b_g)       candidate
        o_t = sigmoid(W_xo x^i + W_ho h^i + b_o)    output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    G. Melis, T. Kočiský and P. Blunsom, "Mogrifier LSTM", ICLR 2020 (arXiv 1909.01792). These are the equations as
    printed; the code of its authors also has a bias in every round, and an input gate of at most 1 - f_t.

    Since a round needs the state, no product of the input can be computed for all steps at once.

    Args:
        input_size: Width I of the inputs.
        hidden_size: Width H of the state.
        rounds: r; 0 is the LSTM itself.
        rank: Rank k of each Q = Q_left Q_right, with matrices ``[I, k]`` and ``[k, H]``, and of each R likewise; None
            for full matrices.
        init: See :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: There are fewer than 0 rounds, or the rank is not positive.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rounds: int = 5,
        rank: int | None = None,
        init: str = "orthogonal",
    ):
        super().__init__(input_size, hidden_size, init=init)
        if rounds < 0:
            raise UserError(f"MogrifierLSTM: rounds must be at least 0, not {rounds}")
        if rank is not None and rank < 1:
            raise UserError(f"MogrifierLSTM: rank must be positive, not {rank}")
        self.modulations = nn.ModuleList(self._make_modulation(i, rank) for i in range(1, rounds + 1))

    def project(self, x: Tensor) -> Tensor:
        return x if self.modulations else self.input(x)

    def step(self, gx: Tensor, state: State) -> State:
        if not self.modulations:
            return super().step(gx, state)
        x, h = self.modulate(gx, state[0])
        return self.update(self.input(x), self.recurrent(h), state)

    def modulate(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """The input ``[..., I]`` and the state ``[..., H]`` after all rounds."""
        for i, modulation in enumerate(self.modulations, start=1):
            if i % 2:
                x = 2 * modulation(h).sigmoid() * x
            else:
                h = 2 * modulation(x).sigmoid() * h
        return x, h

    def _make_modulation(self, i: int, rank: int | None) -> nn.Module:
        """Q^i, from the state to the input, in an odd round; R^i, from the input to the state, in an even one."""
        of_state = i % 2 == 1
        size, width = (self.hidden_size, self.input_size) if of_state else (self.input_size, self.hidden_size)
        if rank is None:
            return self.make_linear(size, ("q" if of_state else "r",), recurrent=of_state, bias=False, width=width)
        right = self.make_linear(size, ("right",), recurrent=of_state, bias=False, width=rank)
        return nn.Sequential(right, self.make_linear(rank, ("left",), bias=False, width=width))
