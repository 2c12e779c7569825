"""The cells of torchrecurrent that need no more than their names here and those of their state parts.

Each docstring ends with the first author and the place of its source.
"""

from seqlab_torchrecurrent.adapter import TorchRecurrentCell


class AntisymmetricRNN(TorchRecurrentCell):
    """RNN with an antisymmetric recurrent matrix, a step of an ODE (B. Chang, ICLR 2019)."""


class ATR(TorchRecurrentCell):
    """Addition-subtraction twin-gated recurrent unit (B. Zhang, EMNLP 2018)."""


class BR(TorchRecurrentCell):
    """Bistable recurrent cell (N. Vecoven, PLOS ONE 2021)."""


class CFN(TorchRecurrentCell):
    """Chaos-free network (T. Laurent, ICLR 2017)."""


class coRNN(TorchRecurrentCell):
    """Coupled oscillatory RNN (T. K. Rusch, ICLR 2021)."""

    states = ("h", "c")


class DSGU(TorchRecurrentCell):
    """Deep simple gated unit (Y. Gao, ACML 2016)."""


class FastGRNN(TorchRecurrentCell):
    """Fast gated RNN: one pair of matrices for gate and candidate (A. Kusupati, NeurIPS 2018)."""


class FastRNN(TorchRecurrentCell):
    """Fast RNN: a weighted residual connection of two scalars (A. Kusupati, NeurIPS 2018)."""


class GatedAntisymmetricRNN(TorchRecurrentCell):
    """Antisymmetric RNN with an input gate (B. Chang, ICLR 2019)."""


class IndRNN(TorchRecurrentCell):
    """Independently recurrent neural network (S. Li, CVPR 2018)."""


class JANET(TorchRecurrentCell):
    """Just another network: an LSTM with a forget gate alone (J. van der Westhuizen, arXiv 2018)."""

    states = ("h", "c")


class LEM(TorchRecurrentCell):
    """Long expressive memory (T. K. Rusch, ICLR 2022)."""

    states = ("h", "c")


class LightRU(TorchRecurrentCell):
    """Light recurrent unit (H. Ye, Electronics 2024)."""


class LiGRU(TorchRecurrentCell):
    """Light gated recurrent unit (M. Ravanelli, IEEE TETCI 2018)."""


class MGU(TorchRecurrentCell):
    """Minimal gated unit (G.-B. Zhou, IJAC 2016)."""


class MinimalRNN(TorchRecurrentCell):
    """MinimalRNN (M. Chen, arXiv 2017)."""


class MiRU1(TorchRecurrentCell):
    """Minion recurrent unit with a reset gate (A. M. Zyarah, Neurocomputing 2026)."""


class MiRU2(TorchRecurrentCell):
    """Minion recurrent unit without gates (A. M. Zyarah, Neurocomputing 2026)."""


class MultiplicativeLSTM(TorchRecurrentCell):
    """Multiplicative LSTM (B. Krause, ICLR 2017 workshop)."""

    states = ("h", "c")


class MUT1(TorchRecurrentCell):
    """Mutated unit 1, found by architecture search (R. Jozefowicz, ICML 2015)."""


class MUT2(TorchRecurrentCell):
    """Mutated unit 2, found by architecture search (R. Jozefowicz, ICML 2015)."""


class MUT3(TorchRecurrentCell):
    """Mutated unit 3, found by architecture search (R. Jozefowicz, ICML 2015)."""


class NAS(TorchRecurrentCell):
    """Cell of neural architecture search (B. Zoph, ICLR 2017)."""

    states = ("h", "c")


class NBR(TorchRecurrentCell):
    """Recurrently neuromodulated bistable recurrent cell (N. Vecoven, PLOS ONE 2021)."""


class OriginalLSTM(TorchRecurrentCell):
    """LSTM as it was first, without a forget gate (S. Hochreiter, Neural Computation 1997)."""

    states = ("h", "c")


class PeepholeLSTM(TorchRecurrentCell):
    """LSTM with peepholes (F. A. Gers, JMLR 2002)."""

    states = ("h", "c")


class RAN(TorchRecurrentCell):
    """Recurrent additive network (K. Lee, arXiv 2017)."""

    states = ("h", "c")


class ResLSTM(TorchRecurrentCell):
    """Residual LSTM (J. Kim, Interspeech 2017)."""

    states = ("h", "c")


class SCRN(TorchRecurrentCell):
    """Structurally constrained recurrent network (T. Mikolov, ICLR 2015 workshop)."""

    states = ("h", "c")


class SGRN(TorchRecurrentCell):
    """Simple gated recurrent network (IET Generation, Transmission & Distribution 2021, as torchrecurrent cites it)."""


class SGU(TorchRecurrentCell):
    """Simple gated unit (Y. Gao, ACML 2016)."""


class STAR(TorchRecurrentCell):
    """Stackable recurrent cell (M. O. Turkoglu, IEEE TPAMI 2022)."""


class TRNN(TorchRecurrentCell):
    """Strongly typed RNN: no matrix acts on the state (D. Balduzzi, ICML 2016)."""


class UGRNN(TorchRecurrentCell):
    """Update gate RNN (J. Collins, ICLR 2017)."""


class UnICORNN(TorchRecurrentCell):
    """Undamped independent controlled oscillatory RNN (T. K. Rusch, ICML 2021)."""

    states = ("h", "c")


class WMCLSTM(TorchRecurrentCell):
    """LSTM with working memory connections (F. Landi, Neural Networks 2021)."""

    states = ("h", "c")
