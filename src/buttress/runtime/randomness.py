"""Random numbers that do not depend on how many processes share a batch.

Every draw that has a batch dimension goes through :func:`draw`. Inside ``shard(rank, world)`` it draws for the global
batch and keeps this process's rows, so that one process and N see the same noise. Outside it is an ordinary draw.

Noise that belongs to an example, whichever batch and process it is in, comes from :func:`noise` instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.runtime.arguments import check_whole

__all__ = ["check_seed", "draw", "noise", "seed_step", "shard", "sharing"]

MOST_SEEDS = 2**62
"""What follows from a seed by a small sum still fits into 64 bits."""
_shard = (0, 1)  # of this process, not a ContextVar: torch.compile reads the one and breaks its graph at the other


@contextmanager
def shard(rank: int, world: int) -> Iterator[None]:
    """Draw for ``world`` times the batch and keep the rows of ``rank`` while the context lasts.

    Example:
        >>> with shard(1, 2):
        ...     rows = draw(lambda shape: torch.arange(shape[0]), (3,))  # the second three of six
        >>> rows
        tensor([3, 4, 5])
    """
    global _shard
    before, _shard = _shard, (rank, world)
    try:
        yield
    finally:
        _shard = before


def sharing() -> bool:
    """Whether this process holds only its rows of a global batch.

    Example:
        >>> with shard(1, 2):
        ...     sharing()
        True
    """
    return _shard[1] > 1


def draw(sampler: Callable[[Sequence[int]], Tensor], shape: Sequence[int], batch_dim: int = 0) -> Tensor:
    """Draw a tensor of ``shape`` whose dimension ``batch_dim`` runs over this process's examples.

    Args:
        sampler: From a shape to a tensor, such as ``torch.randn`` or ``torch.rand``.
        shape: The shape wanted here.
        batch_dim: Which dimension of it is the batch.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> whole = draw(torch.randn, (4, 2))
        >>> _ = torch.manual_seed(0)
        >>> with shard(1, 2):
        ...     half = draw(torch.randn, (2, 2))
        >>> bool((whole[2:] == half).all())
        True
    """
    rank, world = _shard
    if world == 1:
        return sampler(tuple(shape))
    rows = shape[batch_dim]
    whole = [*shape]
    whole[batch_dim] = rows * world
    return sampler(tuple(whole)).narrow(batch_dim, rank * rows, rows)


def check_seed(seed: int, owner: str = "") -> None:
    """Refuse a seed that torch or NumPy would refuse in the middle of something.

    Args:
        seed: What a user gave.
        owner: Whose seed it is, for the error.

    Errors:
        ValueError: It is negative, or too large.

    Example:
        >>> check_seed(-1, "sample")
        Traceback (most recent call last):
        ValueError: sample: seed is -1, wanted 0 or more and below 2**62; try another one
    """
    check_whole("seed", seed)
    if not 0 <= seed < MOST_SEEDS:
        named = f"{owner}: " if owner else ""
        raise ValueError(f"{named}seed is {seed}, wanted 0 or more and below 2**62; try another one")


def seed_step(seed: int, step: int, inner: int = 0) -> None:
    """Make all randomness of a training step a function of (seed, step), so that resuming needs no saved state.

    Args:
        seed: Of the run.
        step: Counted from 0; negative numbers are for what is no step (initial weights, held-out noise).
        inner: Which of the step's further batches, where an algorithm has an inner loop; 0 is the step's own.

    Example:
        >>> seed_step(seed=0, step=7)
        >>> first = torch.rand(3)
        >>> seed_step(seed=0, step=7)
        >>> torch.equal(first, torch.rand(3))
        True
    """
    mixed = (seed * 1_000_003 + step * 2_654_435_761 + inner * 40_503_000_017 + 12_345) % (2**63 - 1)
    torch.default_generator.manual_seed(mixed)  # torch.manual_seed asks every backend: 0.2 ms, more than a small model
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(mixed)


def noise(
    index: Int[Tensor, " B"], samples: int, event: Sequence[int], seed: int, stream: str
) -> Float[Tensor, "S B *event"]:
    """Standard normal noise that belongs to the examples, whichever batch they are in (Philox, a counter each).

    Args:
        index: The number of each example.
        samples: S.
        event: Shape of the noise of one sample.
        seed: Of the noise.
        stream: What it is for: other purposes get other noise.

    Example:
        >>> whole = noise(torch.arange(4), 2, (3,), seed=0, stream="example")
        >>> bool((noise(torch.tensor([2]), 2, (3,), seed=0, stream="example") == whole[:, 2:3]).all())
        True
    """
    rows = np.empty((len(index), samples, *event), np.float32)
    bits = np.random.Philox(key=[seed, zlib.crc32(stream.encode())])
    own, state = np.random.Generator(bits), bits.state
    for row, number in zip(rows, index.tolist(), strict=True):
        state["state"]["counter"][3] = number  # to begin again elsewhere takes a fifth of making another generator
        bits.state = state
        own.standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(rows).movedim(1, 0).contiguous()
