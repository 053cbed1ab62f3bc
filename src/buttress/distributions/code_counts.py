r"""How often each place takes each of K codes, and how evenly.

$$ p_{jk} = \frac{1}{N} \sum_n [c_{nj} = k], \qquad H_j = -\sum_k p_{jk} \log p_{jk}, \qquad
   \text{perplexity}_j = \exp H_j $$

Perplexity is 1 where a place always takes the same code, and K where it takes all equally often.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.runtime import distributed

__all__ = ["UNCOUNTED", "CodeCounts", "entropy"]

UNCOUNTED = -1
"""Stands for a code that is left out, such as one behind the true end of an example."""


class CodeCounts:
    """How often each of J places takes each code, a batch at a time.

    Args:
        classes: K, where it is known; else the table is as wide as the largest code that came.

    Example:
        >>> counts = CodeCounts().add(torch.tensor([[0, 2], [0, 1]])).add(torch.tensor([[0, 2], [0, 1]]))
        >>> counts.n, counts.table.tolist(), counts.perplexities.tolist()
        (4, [[4, 0, 0], [0, 2, 2]], [1.0, 2.0])
    """

    def __init__(self, classes: int = 0) -> None:
        self.n = 0
        self.table: Int[Tensor, "J K"] = torch.zeros(1, classes, dtype=torch.int64)

    def add(self, codes: Int[Tensor, "B J"]) -> CodeCounts:
        """Count the codes of some more examples; those that are ``UNCOUNTED`` are left out."""
        codes = codes.cpu().long()
        places = codes.shape[1]
        k = max(self.table.shape[1], int(codes.max()) + 1, 1)
        kept = (codes + k * torch.arange(places))[codes >= 0]
        found = torch.bincount(kept, minlength=places * k).reshape(places, k)
        found[:, : self.table.shape[1]] += self.table
        self.table, self.n = found, self.n + len(codes)
        return self

    def of_all_processes(self, device: torch.device) -> CodeCounts:
        """The counts of all processes together, each of which must know K; they meet on ``device``."""
        whole = CodeCounts()
        whole.table = distributed.total(self.table.to(device, copy=True)).cpu()
        whole.n = int(whole.table.sum(1).max())  # some place lies within the true length of every example
        return whole

    @property
    def difference(self) -> Float[Tensor, " J"]:
        """The chance that two different examples differ at a place that both have: the variance of its one-hot code."""
        n = self.table.sum(1).double()
        share = self.table / n.clamp(min=1)[:, None]
        return torch.where(n > 0, (1 - share.square().sum(1)).clamp(min=0), 0.0) * n / (n - 1).clamp(min=1)

    @property
    def perplexities(self) -> Float[Tensor, " J"]:
        """The perplexity of each place alone."""
        return entropy(self.table).exp()

    @property
    def used(self) -> int:
        """How many codes are taken at all, by whatever place."""
        return int((self.table.sum(0) > 0).sum())


def entropy(table: Int[Tensor, "*rest K"]) -> Float[Tensor, "*rest"]:
    """H of counts in the last dimension, in nats.

    Example:
        >>> entropy(torch.tensor([[5, 0], [2, 2]])).exp().tolist()
        [1.0, 2.0]
    """
    share = table.double() / table.sum(-1, keepdim=True).clamp(min=1)
    return -torch.xlogy(share, share).sum(-1)
