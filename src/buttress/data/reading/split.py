r"""Which examples are held out.

By content: $h(x) / 2^{64} < p$ for a 64-bit hash h keyed with the seed. Equal examples land on one side, and an example
keeps its side whatever is appended to the data. Where there are so few that one side would be empty, the example with
the smallest hash is held out, or the one with the largest trains. By seed: a permutation of the positions, exact in
number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

from buttress.data.reading.memory import Array

__all__ = ["FEWEST", "Division"]

FEWEST = 10
"""Fewer examples than this cannot be split into something worth measuring on."""


@dataclass(frozen=True)
class Division:
    """How examples are divided.

    Args:
        method: "hash" (by content) or "seed" (by position).
        held_out: Share of examples held out, between 0 and 1.
        seed: Another seed gives another division.

    Errors:
        ValueError: The share is not strictly between 0 and 1, or the seed is negative.

    Example:
        >>> Division("seed", 0.25).drawn(8).sum()
        np.int64(2)
    """

    method: Literal["hash", "seed"] = "hash"
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}, wanted a share between 0 and 1, such as 0.1")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"split_seed is {self.seed}, wanted 0 or more")

    def digest(self, contents: Iterable[bytes | memoryview]) -> Array:
        """The hash of every example's bytes, uint64, shape (n,)."""
        salt = self.seed.to_bytes(16, "little")
        return np.frombuffer(b"".join(blake2b(c, digest_size=8, salt=salt).digest() for c in contents), "<u8")

    def hashed(self, digests: Array) -> Array:
        """True where the example of that hash is held out, shape (n,): some on both sides, unless all are copies.

        Example:
            >>> Division(held_out=0.1).hashed(np.array([7, 3, 5, 3], np.uint64) << np.uint64(60)).tolist()
            [False, True, False, True]
        """
        held = self.below(digests)
        if len(digests) and (smallest := digests.min()) < (largest := digests.max()):
            held |= digests == smallest
            held &= digests != largest
        return held

    def below(self, digests: Array) -> Array:
        """True where a hash is one of the share that is held out, whatever the others are, shape (n,)."""
        below: Array = digests < np.uint64(int(self.held_out * 2**64))
        return below

    def digest_rows(self, rows: Array) -> Array:
        """The hash of every row of an array, by its bytes, uint64, shape (n,)."""
        with np.errstate(invalid="ignore"):  # of NaN, which others refuse by name
            rows = rows + rows.dtype.type(0) if rows.dtype.kind == "f" else rows  # -0 and 0 are one number
        flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
        width = flat.shape[1] * flat.itemsize
        view = flat.view(np.uint8).reshape(-1).data
        return self.digest(view[i * width : (i + 1) * width] for i in range(len(rows)))

    def drawn(self, count: int) -> Array:
        """True at the positions held out of ``count``, by seed alone."""
        held = np.zeros(count, bool)
        number = max(1, round(self.held_out * count)) if count else 0
        held[np.random.default_rng(self.seed).permutation(count)[:number]] = True
        return held

    def enough(self, count: int, where: str) -> None:
        """Refuse data too small to divide.

        Errors:
            ValueError: There are fewer than ``FEWEST`` examples.
        """
        if count < FEWEST:
            raise ValueError(
                f"{where}: {count} example{'s' * (count != 1)}, too few to train on some and measure on others; "
                f"wanted at least {FEWEST}; try adding data"
            )

    def both_sides(self, held: Array, where: str) -> None:
        """Refuse a division with an empty side.

        Errors:
            ValueError: One side is empty.
        """
        out = int(held.sum())
        if not 0 < out < len(held):
            raise ValueError(
                f"{where}: of {len(held)} examples {out} would be held out (held_out={self.held_out}, "
                f"split={self.method!r}), and one side would be empty; try split='seed', another held_out, more data "
                "or, if all examples are copies of each other, other data"
            )

    def note(self, held: Array) -> str:
        """How the split was made, for people."""
        how = "by content hash, so that copies stay together" if self.method == "hash" else "at random by position"
        share = 100 * held.mean()
        return f"held out {int(held.sum())} of {len(held)} examples ({share:.1f} %), {how}, seed {self.seed}"
