"""Embeddings that start from pretrained word vectors."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from seqlab.models.embedding import ScaledEmbedding, UniformEmbedding
from seqlab.models.vector_files import read_vectors

log = logging.getLogger("seqlab")

FEW = 0.1
"""Share of tokens below which it is likely that the vectors are of something else."""
SPACE = "\u2581"
"""What subwords begin with that begin a word."""


@torch.no_grad()
def load_vectors(
    embedding: ScaledEmbedding | UniformEmbedding, pieces: Sequence[str], path: str | Path, name: str
) -> int:
    """Starts the rows of an embedding from the vectors of a file, where it has the token; the others stay as drawn.

    A subword at the beginning of a word, such as ``▁the``, takes the vector of ``the`` if there is none of its own. Of
    several vectors of one token the first counts.

    Files have vectors of any length, so all are divided by one number: the root of their elements' mean square becomes
    the standard deviation that an embedding starts with. Then the vectors of a
    :class:`~seqlab.models.embedding.ScaledEmbedding`, which are multiplied by E^0.5 on their way, enter the
    first layer with unit variance as they would without a file.

    Args:
        embedding: The embedding.
        pieces: The text of every token, in the order of their ids.
        path: The file, of a format in :mod:`seqlab.models.vector_files`.
        name: What it is called in the log.

    Returns:
        How many tokens have a vector.

    Raises:
        UserError: The file is missing, empty, damaged, or of vectors of another width.
    """
    wanted: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for token, piece in enumerate(pieces):
        wanted[piece.encode()].append((token, 2))
        if piece.startswith(SPACE):
            wanted[piece.removeprefix(SPACE).encode()].append((token, 1))
    wanted.pop(b"", None)
    vectors_VE = np.zeros(embedding.weight.shape, dtype=np.float32)
    match_V = np.zeros(len(pieces), dtype=np.int8)  # 2 of its own, 1 of the word without the space, 0 none
    for text, vector_E in read_vectors(Path(path), wanted, embedding.embedding_dim):
        for token, match in wanted[text]:
            if match > match_V[token]:
                vectors_VE[token], match_V[token] = vector_E, match
    found = match_V > 0
    count, share = int(found.sum()), float(found.mean())
    said = f"{name}: {count:,} of {len(pieces):,} tokens ({share:.0%}) have a vector in {path}"
    if share < FEW:
        log.warning("%s: is it of the same language, and of words as the tokenizer cuts them?", said)
    else:
        log.info("%s", said)
    root_mean_square = np.sqrt(np.square(vectors_VE[found], dtype=np.float64).mean()) if count else 0.0
    if root_mean_square:
        vectors_VE *= embedding.std / root_mean_square
    weight = embedding.weight
    weight[torch.from_numpy(found).to(weight.device)] = torch.from_numpy(vectors_VE[found]).to(weight)
    return count
