"""To start from the weights and the tokenizers of another run."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.data.base import DataModule
from seqlab.errors import UserError
from seqlab.training.freezing import matching

MOST_NAMED = 3


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The settings that two runs do not share, by dotted name, sorted.

    What is not set, off or none is the same: a setting may be newer than a run.
    """
    return [name for name in sorted({**one, **other}) if (one.get(name) or None) != (other.get(name) or None)]


def used_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Parameters and buffers of a checkpoint as they are used: an average in place of each weight that has one.

    A shared weight has one average but several names, all of which get it.
    """
    weights: dict[str, Tensor] = checkpoint["state_dict"]
    averages = {_place(weights[name]): average for name, average in checkpoint.get("averaged", {}).items()}
    return {name: averages.get(_place(weight), weight) for name, weight in weights.items()}


def misfits(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """What keeps weights from taking the place of a module's own, in words; nothing if they fit.

    Args:
        own: The module's parameters and buffers by name.
        weights: Those that are to take their place.
    """
    wrong = [f"{name} is not in this model" for name in weights if name not in own]
    shared: dict[Any, str] = {}
    for name, value in own.items():
        first = shared.setdefault(_place(value), name)
        if name not in weights:
            wrong.append(f"{name} is not in it")
        elif weights[name].shape != value.shape:
            wrong.append(f"{name} is {_spelled(weights[name])} in it and {_spelled(value)} here")
        elif first != name and first in weights and not _same(weights[first], weights[name]):
            wrong.append(f"{name} and {first} differ in it and are one here")
    return wrong


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, and are no numbers in the same places."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


@torch.no_grad()
def take_over(module: nn.Module, weights: Mapping[str, Tensor], patterns: Sequence[str], source: str) -> list[str]:
    """Gives a module the parameters and buffers of another run, by name.

    Args:
        module: The module, whose values are overwritten in place.
        weights: The other run's, by :func:`used_weights`.
        patterns: Which of the module's are taken over; all if empty.
        source: What the other run is called, for the message.

    Returns:
        The names of those that were taken over.

    Raises:
        UserError: A pattern matches none of the module's; the run lacks one or has it in another shape; without
            patterns also, it has one that the module lacks.
    """
    own = module.state_dict()
    names = matching(own, patterns, "training.init_only") if patterns else list(own)
    wrong = misfits({name: own[name] for name in names}, weights if not patterns else _part(weights, names))
    if wrong:
        raise UserError(
            f"training.init_from: the weights of {source} do not fit: {first_few(wrong)}; give the settings of its "
            "model, or take over a part of it with training.init_only"
        )
    for name in names:
        own[name].copy_(weights[name])
    return names


class Source:
    """Another run, to start from.

    Args:
        name: What it is called in messages.
        checkpoint: What its checkpoint holds.
        settings: Its settings by dotted name.
    """

    def __init__(self, name: str, checkpoint: Mapping[str, Any], settings: Mapping[str, Any]):
        self.name, self.checkpoint, self.settings = name, checkpoint, settings
        self._given: dict[str, Tensor] = {}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Makes sure that it has the same task, and tokenizers as they are configured here.

        What only changes how a tokenizer splits text in training, such as a dropout, may differ.

        Args:
            settings: Those of the run that is to start, by dotted name.

        Raises:
            UserError: They do not go together.
        """
        for key, what in (("task", "task"), ("data_module", "data module")):
            if self.settings.get(key) != settings[key]:
                raise UserError(
                    f"training.init_from: {self.name} is a run of the {what} {self.settings.get(key)}, "
                    f"not {settings[key]}"
                )
        other = [
            f"{key} is {self.settings.get(key)} in it and {settings.get(key)} here"
            for key in differing(settings, self.settings)
            if key.startswith("data.") and "tokenizer" in key and not key.endswith("dropout")
        ]
        if other:
            raise UserError(
                f"training.init_from: the vocabulary of {self.name} comes with its weights, but {first_few(other)}; "
                "give the same settings"
            )

    def has_started(self, settings: Mapping[str, Any]) -> bool:
        """Whether the run has already given its model the start that some settings ask for, such as word vectors: they
        take all of its weights over, and are its own as far as they are the model's.

        Args:
            settings: Those of the run that is to start, by dotted name.
        """
        same = not any(name.startswith("model.") for name in differing(settings, self.settings))
        return same and not settings.get("training.init_only")

    def give_tokenizers(self, data: DataModule) -> None:
        """Gives a data module what the run learned from its text, without its position in it.

        Raises:
            UserError: The checkpoint lacks it.
        """
        try:
            data.load_state_dict({**self.checkpoint[type(data).__qualname__], **DataModule.state_dict(data)})
        except KeyError as error:
            raise UserError(f"training.init_from: {self.name} holds no {error} for this data module") from error

    def give_weights(self, module: nn.Module, patterns: Sequence[str]) -> str:
        """Gives a module the run's parameters and buffers, by name, and says in a line how many.

        Args:
            module: The module, whose values are overwritten in place.
            patterns: Which of the module's are taken over; all if empty.

        Raises:
            UserError: They do not fit; see :func:`take_over`.
        """
        taken = take_over(module, used_weights(self.checkpoint), patterns, self.name)
        own = module.state_dict()
        self._given = {name: own[name].clone() for name in taken}
        averaged = ", averaged" if self.checkpoint.get("averaged") else ""
        return (
            f"weights: {len(taken)} of {len(own)} tensors taken over from {self.name} (step "
            f"{self.checkpoint['global_step']:,}{averaged}), and its tokenizers"
        )

    def check_kept(self, module: nn.Module) -> None:
        """Makes sure that what :meth:`give_weights` gave has not been given another start since.

        Raises:
            UserError: It has, such as from a file of word vectors.
        """
        own = module.state_dict()
        changed = [name for name, value in self._given.items() if not torch.equal(own[name], value)]
        if changed:
            raise UserError(
                f"training.init_from takes {first_few(changed)} over from {self.name}, but another setting of the "
                "model gives it its start, such as from word vectors; leave one of the two out, or take over less with "
                "training.init_only"
            )


def first_few(wrong: Sequence[str]) -> str:
    """The first of some things in words, and how many more there are."""
    rest = f", and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    return ", ".join(wrong[:MOST_NAMED]) + rest


def _part(weights: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    return {name: weights[name] for name in names if name in weights}


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Where the values of a tensor lie, the same for two names of one parameter."""
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride()


def _spelled(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
