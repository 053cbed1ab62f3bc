"""What the parts must know of the data they are for, and of the z they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

__all__ = ["BOS", "EOS", "PAD", "UNK", "DataSpec", "Kind", "Space"]

Kind = Literal["image", "text", "table"]
PAD, BOS, EOS, UNK = 0, 1, 2, 3
"""Token ids with a fixed meaning. A stored sentence is its words and then EOS; BOS is added by the decoder."""


@dataclass(frozen=True)
class DataSpec:
    """What the parts must know about the data.

    Args:
        kind: "image", "text" or "table".
        shape: Of one example: (C, H, W), (longest T,) or (D,).
        vocabulary: Number of token ids; of an image's symbols, where it is made of codes and not of grey levels.
        mean: Mean of the training data per site, float, shape ``shape``; None for text or where unknown.
        std: Standard deviation of the same.
        columns: Names of a table's columns.
        tokenizer: JSON of the ``tokenizers.Tokenizer`` that made the ids, text only.

    Example:
        >>> DataSpec("text", (20,), vocabulary=1000).kind, DataSpec("image", (1, 28, 28)).shape
        ('text', (1, 28, 28))
    """

    kind: Kind
    shape: tuple[int, ...]
    vocabulary: int = 0
    mean: Tensor | None = None
    std: Tensor | None = None
    columns: tuple[str, ...] = ()
    tokenizer: str | None = None


@dataclass(frozen=True)
class Space:
    """Where the latent variable lives: what a prior must know of it.

    Args:
        shape: Of one value: (D,), (H', W', D), or the places and slots of discrete codes, as (H', W', slots).
        classes: Number K of values each coordinate can take, integers from 0; None for real numbers.

    Example:
        >>> Space((16,)), Space((7, 7, 1), classes=64)  # real z; a map of codes
        (Space(shape=(16,), classes=None), Space(shape=(7, 7, 1), classes=64))
    """

    shape: tuple[int, ...]
    classes: int | None = None
