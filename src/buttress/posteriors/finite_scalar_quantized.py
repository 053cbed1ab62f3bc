r"""q(z|x) = one point on a fixed grid: every number of z_e is bounded and rounded; there is no codebook to learn.

$$ z_d = \frac{1}{\lfloor L_d / 2 \rfloor} \operatorname{round}(h_d \tanh(u_d + s_d) - o_d), \qquad
   h_d = \tfrac12 (L_d - 1)(1 + \epsilon), \quad o_d = \tfrac12 [L_d \text{ even}], \quad
   s_d = \operatorname{artanh}(o_d / h_d) $$

u is what the encoder gives, $\epsilon = 10^{-3}$ keeps rounding away from the bounds, and the shift s makes u = 0 the
middle of the grid. The gradient passes through the rounding as if it were not there. The code of a place is the
mixed-radix number of its D digits, so there are $\prod_d L_d$ codes, none of which can die.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from buttress.core import Posterior, PosteriorModule, Space
from buttress.core.posterior import group_names
from buttress.core.records import Latent
from buttress.distributions.point import Point
from buttress.nn.layers import full
from buttress.posteriors._codebook import latent_of, spread, within

__all__ = ["FiniteScalarQuantized"]

MARGIN = 1e-3
"""epsilon."""
EXACT = 2**24
"""Whole numbers below it are exact in float32."""


@dataclass(frozen=True)
class FiniteScalarQuantized(Posterior):
    """Numbers rounded to a few values each; together they are one code at each place, or several.

    Source: Mentzer et al., Finite Scalar Quantization: VQ-VAE Made Simple, 2023.

    Args:
        levels: Values L_d that each number can take. The paper's choices: 8, 6, 5 for 240 codes; 8, 5, 5, 5 for 1,000;
            7, 5, 5, 5, 5 for 4,375.
        slots: Codes at each place; where the encoder gives one h for all of x, codes of the whole example.

    Errors:
        ValueError: No level, a level below 2, or no slot.

    Example:
        >>> module = FiniteScalarQuantized(levels=(3, 2)).build(features=5)
        >>> module.space.classes, module.embed(torch.arange(6)[:, None]).tolist()
        (6, [[-1.0, -1.0], [0.0, -1.0], [1.0, -1.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    """

    discrete: ClassVar[bool] = True

    levels: tuple[int, ...] = (8, 6, 5)
    slots: int = 1

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not self.levels or min(self.levels) < 2 or self.slots < 1:
            raise ValueError(
                f"finite_scalar_quantized posterior: levels are {self.levels} and slots {self.slots}, wanted levels of "
                "2 or more, such as 8,5,5,5, and at least 1 slot"
            )

    @classmethod
    def tiny(cls) -> tuple[FiniteScalarQuantized, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(levels=(3, 2)), cls(levels=(2, 2), slots=2))

    def build(self, features: int, places: tuple[int, ...] = ()) -> FiniteScalarQuantizedModule:
        """See :class:`buttress.core.Posterior`."""
        return FiniteScalarQuantizedModule(self, features, places)


class FiniteScalarQuantizedModule(PosteriorModule):
    """The module of :class:`FiniteScalarQuantized`."""

    sizes: Tensor
    radix: Tensor

    def __init__(self, part: FiniteScalarQuantized, features: int, places: tuple[int, ...]) -> None:
        super().__init__()
        self.part, width = part, len(part.levels)
        self.z_shape, self.codes_shape = (*places, part.slots * width), (*places, part.slots)
        self.linear = nn.Linear(features, part.slots * width)
        self.groups = group_names(self.codes_shape)
        sizes = torch.tensor(part.levels)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("radix", torch.cat([torch.ones(1).long(), sizes[:-1].cumprod(0)]), persistent=False)

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return Space(self.codes_shape, classes=math.prod(self.part.levels))

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        digits = value[..., None] // self.radix % self.sizes
        return ((digits - self.sizes // 2) / (self.sizes // 2)).flatten(-2)

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Point(within(self.rounded(h)[1], valid)), len(self.codes_shape))

    def inside(self, valid: Bool[Tensor, "B *places"]) -> Bool[Tensor, "B *event"]:
        """See :class:`buttress.core.PosteriorModule`."""
        return spread(valid, self.part.slots)

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        read, codes = self.rounded(h)
        if valid is not None:
            codes = within(codes, valid)
            read = torch.where(valid[..., None], read, self.embed(codes))
        return latent_of(read, codes, {}, prior, samples)

    def rounded(
        self, h: Float[Tensor, "B *places F"]
    ) -> tuple[Float[Tensor, "B *places D"], Int[Tensor, "B *places slots"]]:
        """z and its codes, in float32 at least, whatever the precision around it."""
        with torch.autocast(h.device.type, enabled=False):
            u = self.linear(full(h))
            digits, z = _Grid.apply(u.view(-1, len(self.sizes)), self.sizes)
            digits = digits if (self.space.classes or 0) < EXACT else digits.long()
            codes = (digits * self.radix[:, None].to(digits)).sum(0).long()
            return z.view(u.shape), codes.view(*u.shape[:-1], self.part.slots)


class _Grid(torch.autograd.Function):
    """All levels at once, each a row: what is wide runs fast, and nothing but the tanh is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, u: Float[Tensor, "N D"], sizes: Int[Tensor, " D"]) -> Any:
        """The digits (D, N), whole numbers from 0, and z (N, D)."""
        half = (sizes[:, None] - 1).to(u) * ((1 + MARGIN) / 2)
        offset = torch.where(sizes[:, None] % 2 == 0, 0.5, 0.0).to(u)
        width = (sizes[:, None] // 2).to(u)
        bound = u.t().contiguous().add_((offset / half).atanh_()).tanh_()
        whole = (bound * half).sub_(offset).round_()
        z = (whole / width).t().contiguous()
        digits = whole.add_(width)
        ctx.save_for_backward(bound, half / width)
        ctx.mark_non_differentiable(digits)
        return digits, z

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """As if nothing had been rounded."""
        bound, slope = ctx.saved_tensors
        through = gradients[1].t().contiguous().mul_(slope)
        return torch.ops.aten.tanh_backward(through, bound).t(), None
