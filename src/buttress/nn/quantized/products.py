r"""Products of two activations, both rounded; and attention, in which every number that is stored is.

$$ e = Q(\exp(\ell - \max \ell)), \quad d = Q(\textstyle\sum e), \quad P = Q(e / d), \quad a = P \, Q(v), \qquad
   \ell = Q(q) Q(k)^T / \sqrt D $$

What is masked has e = 0, which stays zero as zero is a level. d is at least one step, so that nothing is divided by
zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from buttress.nn.quantized.layers import Rounded
from buttress.nn.quantized.ranges import Ranges

__all__ = ["QuantizedAttention", "QuantizedMatrixProduct"]


class QuantizedMatrixProduct(Rounded):
    """a @ b of rounded numbers."""

    def prepare(self, ranges: Ranges) -> None:
        """See :class:`buttress.nn.quantized.layers.Rounded`."""
        super().prepare(ranges)
        self.sites = (ranges.site(), ranges.site())

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The product."""
        return self.sites[0](a, self.training) @ self.sites[1](b, self.training)


class QuantizedAttention(Rounded):
    """Attention of rounded numbers; see :class:`buttress.nn.attention.Attend`."""

    def prepare(self, ranges: Ranges) -> None:
        """See :class:`buttress.nn.quantized.layers.Rounded`."""
        super().prepare(ranges)
        self.sites = (ranges.site(), ranges.site(), ranges.site())
        self.numerator, self.denominator, self.share = ranges.site(0.0), ranges.site(0.0), ranges.site(0.0)

    def forward(
        self,
        q: Float[Tensor, "N A Q D"],
        k: Float[Tensor, "N A K D"],
        v: Float[Tensor, "N A K D"],
        seen: Bool[Tensor, "*rest"] | None = None,
        causal: bool = True,
    ) -> Float[Tensor, "N A Q D"]:
        """a of every query."""
        q, k, v = (site(t, self.training) for site, t in zip(self.sites, (q, k, v), strict=True))
        logits = q @ k.mT * q.shape[-1] ** -0.5
        if seen is None and causal:
            seen = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).tril()
        if seen is not None:
            logits = logits.masked_fill(~seen, -torch.inf)
        return self.softmax(logits) @ v

    def softmax(self, logits: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """P."""
        e = self.numerator((logits - logits.detach().amax(-1, keepdim=True)).exp(), self.training)
        d = self.denominator(e.sum(-1, keepdim=True), self.training)
        if self.denominator.ready:
            d = d.clamp(min=self.denominator.levels.step)
        return self.share(e / d, self.training)
