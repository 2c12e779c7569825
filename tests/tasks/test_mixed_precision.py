"""Both tasks in bf16-mixed and 16-mixed: what is in single precision all the same, for every cell and engine.

Lightning turns ``trainer.precision=16-mixed`` into bf16-mixed on a CPU; here the trainer is given its plugin, which
does what a GPU gets. Shape suffixes: S, T = source and target steps, B = sentences, N = real tokens, V = vocabulary.
"""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

from seqlab import registry
from seqlab.data.encoded_text import Sizes
from seqlab.data.pairs import Batch
from seqlab.data.streams import StreamBatch
from seqlab.data.tokenizers import PAD
from seqlab.data.words import Words
from seqlab.metrics import Perplexity
from seqlab.recurrence.choice import why_not
from seqlab.recurrence.engines import ENGINES
from seqlab.recurrence.stack import RecurrentStack
from seqlab.tasks import LanguageModel, Translation

SIZE = 6  # one for all: a cell may need its input as wide as its state
UNIT = {"bf16-mixed": 2**-8, "16-mixed": 2**-11}
"""How far off one rounding is, in proportion: the unit that tolerances are told in."""
LOSS, TOKENS, GRADIENT = 2, 4, 20
"""A mean over tokens averages roundings out; a token's loss has those of a few layers; a gradient has those of all
steps that it went back through. The most that any cell has shown is 0.5, 1.3 and 10 units."""
RATE = 1e-3  # of SGD, unless told
TASKS = ("translation", "language model")


def make(kind, vocabulary=11, size=SIZE, **options):
    torch.manual_seed(4)
    words = Words([f"w{number}" for number in range(vocabulary - 4)])
    options |= {"metrics": {"perplexity": Perplexity()}, "optimizer": torch.optim.SGD, "embedding_size": size}
    if kind == "translation":
        return Translation(words, words, encoder_size=size, decoder_size=size, **options)
    return LanguageModel(words, hidden_size=size, **options)


def make_batch(kind, vocabulary=11):
    draw = torch.Generator().manual_seed(1)
    if kind == "language model":
        inputs_TB, targets_TB = (torch.randint(4, vocabulary, (7, 3), generator=draw) for _ in range(2))
        inputs_TB[-2:, -1] = targets_TB[-2:, -1] = PAD
        return StreamBatch(inputs_TB, targets_TB, None, None, True, 1.0, 19, 19, torch.arange(3), 6, Sizes())
    source_SB, target_TB = (torch.randint(4, vocabulary, (steps, 3), generator=draw) for steps in (5, 8))
    target_TB[0] = 2
    for b, (source, target) in enumerate(((5, 4), (2, 6), (3, 2))):
        source_SB[source - 1, b], source_SB[source:, b] = 3, PAD
        target_TB[target + 1, b], target_TB[target + 2 :, b] = 3, PAD
    return Batch(torch.arange(3), source_SB, torch.tensor([5, 2, 3]), target_TB, 15, 15, [])


def in_precision(precision):
    return MixedPrecision(precision, "cpu").forward_context() if precision else nullcontext()


def outcome(task, batch, precision=None):
    """Training loss, the gradient as one vector, and the token losses that metrics see."""
    scaler = torch.amp.GradScaler("cpu", 2.0**10, enabled=precision == "16-mixed")
    task._trainer, task.log = SimpleNamespace(accumulate_grad_batches=1, world_size=1), lambda *values, **options: None
    task.zero_grad()
    with in_precision(precision):
        loss = task.train().training_step(batch, 0)
        with torch.no_grad():
            nll_N = task.eval().outputs(batch, {"tokens"}, fitting=True)["tokens"]["nll"]
    scaler.scale(loss).backward()
    gradients = [parameter.grad for parameter in task.parameters() if parameter.grad is not None]
    assert {part.dtype for part in (loss, nll_N, *gradients)} == {torch.float32}
    return loss.detach(), torch.cat([part.flatten() for part in gradients]) / scaler.get_scale(), nll_N


def force(task, engine):
    """Lets an engine run every cell of a task; False if it cannot."""
    stacks = [module for module in task.modules() if isinstance(module, RecurrentStack)]
    if engine and any(why_not(engine, cell) for stack in stacks for cell in stack.cells):
        return False
    for stack in stacks:
        stack.engine = engine
    return True


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("cell", registry.names(registry.CELLS))
def test_a_training_step_of_every_cell(cell, kind):
    """By the engine of the table and by each that can run it: the loss of float32, its gradient and token losses."""
    task, batch = make(kind, cell=cell), make_batch(kind)
    exact = outcome(task, batch)
    assert all(part.isfinite().all() for part in exact)
    for engine in (None, *ENGINES):
        if not force(task, engine):
            continue
        for precision, unit in UNIT.items():
            found = outcome(task, batch, precision)
            for one, other, units in zip(found, exact, (LOSS, GRADIENT, TOKENS), strict=True):
                assert 0 < (one - other).norm() / other.norm() < units * unit, (engine, precision)


def test_every_engine_has_run():
    task = make("language model", cell="gru")
    assert {engine for engine in ENGINES if force(task, engine)} == {*ENGINES} - {"sequence"}
    assert force(make("language model", cell="mingru"), "sequence")


@pytest.mark.parametrize("precision", UNIT)
@pytest.mark.parametrize("kind", TASKS)
def test_perplexity_is_of_float32_probabilities(kind, precision):
    """That of a softmax in float64 over the same logits; one of their own type would be off."""
    task, batch, kept = make(kind, 300, cell="lstm").eval(), make_batch(kind, 300), []
    task.network.output.register_forward_hook(lambda layer, inputs, logits: kept.append(logits))
    with torch.no_grad(), in_precision(precision):
        task.update_metrics(batch)
        found = task.compute_metrics()["perplexity"]
    (logits_NV,) = kept
    targets_TB = batch.target_TB[1:] if kind == "translation" else batch.targets_TB
    targets_N1 = targets_TB[targets_TB != PAD][:, None]
    exact, rounded = (
        float(-scores_NV.log_softmax(-1).double().gather(1, targets_N1).mean())
        for scores_NV in (logits_NV.double(), logits_NV)
    )
    assert (logits_NV.dtype.itemsize, found.dtype) == (2, torch.float64)
    assert float(found.log()) == pytest.approx(exact, rel=1e-6)
    assert abs(rounded - exact) > 1e-5 * exact


@pytest.mark.parametrize("precision", UNIT)
def test_an_adaptive_softmax_is_in_float32(precision):
    task = make("language model", 300, 16, cell="lstm", tying=False, cutoffs=[40, 90]).eval()
    batch = make_batch("language model", 300)
    real_TB = batch.targets_TB != PAD
    with torch.no_grad(), in_precision(precision):
        nll_N = task.outputs(batch, {"tokens"}, fitting=True)["tokens"]["nll"]
        features_TBE, _, _ = task.network(batch.inputs_TB)
    assert (features_TBE.dtype.itemsize, nll_N.dtype) == (2, torch.float32)
    scores_NV = task.network.output.layer.double().log_prob(features_TBE[real_TB].double())
    exact_N = -scores_NV.gather(1, batch.targets_TB[real_TB][:, None])[:, 0]
    torch.testing.assert_close(nll_N.double(), exact_N, rtol=1e-5, atol=0)


class Watch(Callback):
    """The norm of the gradient that clipping is given."""

    def __init__(self):
        self.norms = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.norms.append(self._norm(pl_module))

    @staticmethod
    def _norm(module):
        return float(
            torch.nn.utils.get_total_norm([part.grad for part in module.parameters() if part.grad is not None])
        )


def fit(kind, folder, *, scale=None, resume=None, steps=1, **options):
    """A real trainer on batches that are all the same."""
    plugins = [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", scale))] if scale else []
    watch, task = Watch(), make(kind, cell="gru")
    trainer = Trainer(
        **{"accelerator": "cpu", "max_steps": steps, "default_root_dir": folder, "callbacks": [watch], **options},
        plugins=plugins,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False),
    )
    before = [parameter.detach().clone() for parameter in task.parameters()]
    batches = DataLoader([make_batch(kind)] * 9, batch_size=None)
    trainer.fit(task, batches, batches, ckpt_path=resume, weights_only=True)
    moved = [parameter.detach() - start for parameter, start in zip(task.parameters(), before, strict=True)]
    return trainer, watch.norms, torch.cat([part.flatten() for part in moved])


@pytest.mark.parametrize("kind", TASKS)
def test_a_gradient_is_clipped_after_its_scale_is_undone(kind, tmp_path):
    """16-mixed multiplies the loss by 16,384; the norm that clipping sees, and what it does to it, are those of
    float32."""
    clipped = {"gradient_clip_val": 0.1}
    _, (exact, *_), step = fit(kind, tmp_path, **clipped)
    assert exact > 0.2, "there is something to clip, to 0.1"
    trainer, (found, *_), moved = fit(kind, tmp_path, scale=2.0**14, **clipped)
    assert trainer.precision_plugin.scaler.get_scale() == 2.0**14, "nothing has overflowed"
    assert found == pytest.approx(exact, rel=GRADIENT * UNIT["16-mixed"]) and found != exact
    assert (moved - step).norm() < GRADIENT * UNIT["16-mixed"] * step.norm()
    assert float(moved.norm()) == pytest.approx(0.1 * RATE, rel=1e-4)


@pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step:UserWarning", "ignore:You're resuming:UserWarning"
)
def test_a_scale_that_is_too_large_is_halved_and_saved(tmp_path):
    """A step whose gradient overflows changes no weight; a resumed run knows the scale that was found."""
    trainer, _, moved = fit("language model", tmp_path, scale=2.0**40)
    assert not moved.any() and trainer.precision_plugin.scaler.get_scale() == 2.0**39
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    trainer, _, _ = fit("language model", tmp_path, scale=2.0**10, resume=tmp_path / "last.ckpt", steps=2)
    assert trainer.precision_plugin.scaler.get_scale() == 2.0**38


def test_16_mixed_on_a_cpu_is_bf16_mixed():
    with pytest.warns(UserWarning, match="AMP with fp16 is not supported on CPU. Using `precision='bf16-mixed'`"):
        trainer = Trainer(accelerator="cpu", precision="16-mixed", logger=False, enable_checkpointing=False)
    assert trainer.precision == "bf16-mixed"
