"""Lower case and normal forms, before whatever tokenizer there is."""

import base64
import json
from collections.abc import Callable, Iterable

from seqlab.data.tokenizer import DroppingEncoder, Tokenizer, prepare, to_json

PREPARED = "prepared"


class Prepared(Tokenizer):
    """A tokenizer with something done to text before it; what it decodes is as it was encoded.

    Args:
        tokenizer: The tokenizer.
        lowercase: Put text into lower case.
        form: Put it into a Unicode normal form first: ``nfc``, ``nfkc``, or None.
    """

    def __init__(self, tokenizer: Tokenizer, lowercase: bool, form: str | None):
        self.tokenizer, self.lowercase, self.form = tokenizer, lowercase, form
        inner = base64.b64encode(tokenizer.model).decode()
        self.model = to_json(kind=PREPARED, lowercase=lowercase, form=form, tokenizer=inner)

    @property
    def kind_name(self) -> str:
        return self.tokenizer.kind_name

    @property
    def keeps_text(self) -> bool:
        return not self.lowercase and self.form is None and self.tokenizer.keeps_text

    def encode(self, line: str) -> list[int]:
        return self.tokenizer.encode(prepare(line, self.lowercase, self.form))

    def dropping(self, name: str = "data.tokenizer") -> DroppingEncoder:
        encode = self.tokenizer.dropping(name)
        return lambda line, kept: encode(prepare(line, self.lowercase, self.form), kept)

    def decode(self, tokens: Iterable[int]) -> str:
        return self.tokenizer.decode(tokens)

    def pieces(self) -> list[str]:
        return self.tokenizer.pieces()

    def __len__(self) -> int:
        return len(self.tokenizer)


def load_prepared(model: bytes, load: Callable[[bytes], Tokenizer]) -> Prepared:
    """The tokenizer of these bytes.

    Args:
        model: A :class:`Prepared` one's.
        load: What makes the tokenizer behind it from its own bytes.
    """
    values = json.loads(model)
    return Prepared(load(base64.b64decode(values["tokenizer"])), values["lowercase"], values["form"])
