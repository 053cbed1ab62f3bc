r"""Which examples make up the batch of a step: a pure function of (seed, step), so that resuming needs no saved state.

Epoch $e = \lfloor \mathrm{step} / E \rfloor$ has $E = \lfloor N / B \rfloor$ batches of exactly B; the N - EB examples
left over are other ones in every epoch. Sentences are sorted by length before they are cut into batches (pairs by the
longer of the two), and the batches are shuffled: a batch is then of similar lengths and has little padding.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["BatchSampler"]


class BatchSampler:
    """Which training examples make up the batch of each step.

    Args:
        n: Number of examples.
        batch_size: Examples in every batch.
        seed: Another seed gives another order.
        lengths: Lengths of sentences, shape (n,); None for data whose examples have one size.
        same_length: Whether all sentences of a batch must have exactly one length. Each length then gets batches in
            proportion to its share; where a length has fewer sentences than ``batch_size`` its batch repeats some, and
            over epochs every sentence is still seen once an epoch on average.

    Errors:
        ValueError: There is less than one batch of examples.

    Example:
        >>> sampler = BatchSampler(10, 3, seed=0)
        >>> sampler.epoch_steps, len(sampler.indices(7)), bool((sampler.indices(7) == sampler.indices(7)).all())
        (3, 3, True)
    """

    def __init__(
        self, n: int, batch_size: int, seed: int, lengths: Tensor | None = None, same_length: bool = False
    ) -> None:
        if not 0 < batch_size <= n:
            raise ValueError(
                f"batch_size is {batch_size} and there are {n} training examples; "
                f"wanted a batch of 1 to {n}; try a smaller batch_size or more data"
            )
        if same_length and lengths is None:
            raise ValueError("batches of one length need the lengths of the examples, which only sentences have")
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.lengths, self.same_length = lengths, same_length
        self.epoch_steps = n // batch_size
        self._made = (-1, torch.empty(0, dtype=torch.int64))

    def indices(self, step: int) -> Int[Tensor, " B"]:
        """The examples of a step, counted from 0; int64, shape (batch_size,)."""
        epoch, within = divmod(step, self.epoch_steps)
        if self._made[0] != epoch:
            self._made = (epoch, self._epoch(torch.Generator().manual_seed(_mix(self.seed, epoch))))
        return self._made[1][within]

    def _epoch(self, generator: torch.Generator) -> Int[Tensor, "E B"]:
        shuffled = torch.randperm(self.n, generator=generator)
        if self.same_length:
            batches = self._exact(shuffled, generator)
        else:
            batches = self._similar(shuffled[: self.epoch_steps * self.batch_size], generator)
        return batches[torch.randperm(self.epoch_steps, generator=generator)] if self.lengths is not None else batches

    def _similar(self, kept: Int[Tensor, " K"], generator: torch.Generator) -> Int[Tensor, "E B"]:
        if self.lengths is not None:
            # 5 % of noise: lengths below 20 stay apart, longer ones do not meet the same neighbours every epoch
            noisy = self.lengths[kept] * (1 + 0.05 * torch.rand(len(kept), generator=generator))
            kept = kept[noisy.argsort(stable=True)]
        return kept.view(self.epoch_steps, self.batch_size)

    def _exact(self, shuffled: Int[Tensor, " N"], generator: torch.Generator) -> Int[Tensor, "E B"]:
        assert self.lengths is not None
        by_length = shuffled[self.lengths[shuffled].argsort(stable=True)]
        _, group, counts = self.lengths[by_length].unique_consecutive(return_inverse=True, return_counts=True)
        starts = counts.cumsum(0) - counts
        # Systematic sampling: evenly spaced places in the sorted order fall on each length in proportion to its share.
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        places = (torch.arange(self.epoch_steps) + offset) * (self.n / self.epoch_steps)
        chosen = group[places.long().clamp(max=self.n - 1)]
        # One window after the other, so that those of a length overlap only where its sentences do not suffice.
        turn = torch.arange(self.epoch_steps) * self.batch_size
        within = (turn[:, None] + torch.arange(self.batch_size)) % counts[chosen][:, None]
        return by_length[starts[chosen][:, None] + within]


def _mix(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 2_654_435_761 + 97) % (2**63 - 1)
