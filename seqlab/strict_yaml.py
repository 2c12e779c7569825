"""YAML that may come from anywhere: no tags, no text that unfolds to more than it is, no key that is there twice."""

import re
from typing import Any

import yaml

from seqlab.errors import UserError

MOST_BYTES = 1 << 18
MOST_NODES = 50_000
DEEPEST = 40
"""Settings are nested in some five levels."""


class StrictLoader(yaml.SafeLoader):
    """Loads YAML; raises a YAMLError at a key that is there twice, at deep nesting, and at aliases that unfold far."""

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, counted with all that it unfolds to."""
        mark, is_alias = self.peek_event().start_mark, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"it is nested in more than {DEEPEST} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:  # what it stands for has not ended
            raise yaml.MarkedYAMLError(problem="it contains itself", problem_mark=mark)
        self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in _parts(node))
        if self._sizes[id(node)] > MOST_NODES:
            raise yaml.MarkedYAMLError(problem=f"it unfolds to over {MOST_NODES:,} values", problem_mark=mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping, whose keys are different texts."""
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name or ''!r} is no text: write it in quotes", problem_mark=key.start_mark
                )
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"{name!r} is there twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def check_bounds(text: str) -> None:
    """Makes sure that a YAML text is not nested deeply and does not unfold far; its keys may be what they like.

    Raises:
        yaml.YAMLError: It is, or it is no YAML.
    """
    loader = StrictLoader(text)
    try:
        loader.get_single_node()
    finally:
        loader.dispose()


def parse_yaml(text: str, name: str) -> Any:
    """What a YAML text says.

    Args:
        text: The text.
        name: What it is called, for the message.

    Raises:
        UserError: It is no YAML, is far too large for settings, or has something in it that settings have not.
    """
    if len(text) > MOST_BYTES:
        raise UserError(f"{name} holds no settings: it has {len(text):,} characters, settings at most {MOST_BYTES:,}")
    loader = None
    try:
        loader = StrictLoader(text)
        return loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a date in month 13
        raise UserError(f"{name} is not YAML: {_reason(error)}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _reason(error: Exception) -> str:
    """What is wrong and where, without the piece of text that PyYAML shows, which may be of any length."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return re.sub(r' in "<[\w ]+>",', ",", " ".join(str(error).split()))
    text = ": ".join(filter(None, (error.context, error.problem)))
    mark = error.problem_mark or error.context_mark
    return f"{text} (line {mark.line + 1}, column {mark.column + 1})" if mark else text


def _parts(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
