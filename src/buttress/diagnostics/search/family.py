r"""Families of Gaussian q for many examples, as a search moves them.

$$ z = \mu + L \epsilon, \qquad
   LL^\top = \mathrm{diag}(\sigma^2) \;\text{or}\; \Sigma \;\text{or}\; WW^\top + \mathrm{diag}(d) $$

Fitted to a quadratic $\tfrac12 (z - \mu)^\top H (z - \mu)$, the best q has $\sigma_j^2 = 1 / H_{jj}$ or
$\Sigma = H^{-1}$; the best W and d minimise $\mathrm{tr}(H \Sigma) - \ln \det \Sigma$.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from buttress.distributions.inspect import factors

__all__ = ["Family", "family"]


@dataclass(frozen=True)
class Family(ABC):
    """A Gaussian q for each of B examples.

    Args:
        loc: mu, (B, *event).
        root: What L is made of.
        wrapped: Dimensions that the family itself takes for a batch and q for one event.
    """

    loc: Float[Tensor, "B *event"]
    root: tuple[Tensor, ...]
    wrapped: int

    probes = 64
    """Most directions in which it pays to know how -log p(x, z) is curved."""

    @property
    @abstractmethod
    def base(self) -> Distribution:
        """q without what it is wrapped in."""

    @abstractmethod
    def at(self, e: Float[Tensor, "S B *noise"]) -> Float[Tensor, "S B *event"]:
        """z at noise of shape (S, B, *noise)."""

    @abstractmethod
    def turned(self, shifts: list[Tensor], unit: Tensor) -> Family:
        """With L shifted; by zeros it is the same."""

    @abstractmethod
    def scaled(self, factor: Float[Tensor, "B *event"]) -> Family:
        """With each coordinate of z - mu times a factor."""

    @property
    def noise(self) -> tuple[int, ...]:
        """Shape of the noise of one z."""
        return tuple(self.loc.shape[1:])

    @property
    def q(self) -> Distribution:
        """The distribution: batch shape (B,)."""
        return Independent(self.base, self.wrapped, validate_args=False) if self.wrapped else self.base

    @property
    def std(self) -> Float[Tensor, "B *event"]:
        """Standard deviation of each coordinate."""
        return self.base.variance.sqrt()

    @property
    def still(self) -> list[Tensor]:
        """Shifts of zero, of mu and of what L is made of."""
        return [torch.zeros_like(self.loc), *(torch.zeros_like(part) for part in self.root)]

    def shifted(self, shifts: list[Tensor], unit: Tensor) -> Family:
        """With all of it shifted; mu in units."""
        return replace(self.turned(shifts[1:], unit), loc=self.loc + unit * shifts[0])

    def moved(self, loc: Tensor) -> Family:
        """The same elsewhere."""
        return replace(self, loc=loc)

    def fitted(self, curvature: Tensor) -> Family:
        """With the best L for a quadratic of these H, (B, D) of its diagonal or (B, D, D)."""
        diagonal = curvature if curvature.dim() == 2 else curvature.diagonal(dim1=-2, dim2=-1)
        return self.scaled((diagonal.reshape(self.loc.shape) ** -0.5).to(self.loc) / self.std)

    def take(self, rows: Int[Tensor, " R"]) -> Family:
        """The same for some of the examples."""
        return replace(self, loc=self.loc[rows], root=tuple(part[rows] for part in self.root))

    def put(self, rows: Int[Tensor, " R"], other: Family) -> Family:
        """With some of the examples replaced."""
        pairs = zip((self.loc, *self.root), (other.loc, *other.root), strict=True)
        loc, *root = (mine.index_copy(0, rows, new.to(mine)) for mine, new in pairs)
        return replace(self, loc=loc, root=tuple(root))


class _Diagonal(Family):
    """Independent normals; the root is their scale."""

    probes = 16

    @property
    def base(self) -> Distribution:
        return Normal(self.loc, self.root[0], validate_args=False)

    def at(self, e: Tensor) -> Tensor:
        return self.loc + self.root[0] * e.to(self.loc)

    def turned(self, shifts: list[Tensor], unit: Tensor) -> Family:
        return replace(self, root=(self.root[0] * shifts[0].exp(),))

    def scaled(self, factor: Tensor) -> Family:
        return replace(self, root=(self.root[0] * factor,))


class _Full(Family):
    """A multivariate normal; the root is the logarithm of what the rows of L are scaled by, here 1, and L."""

    @property
    def base(self) -> Distribution:
        return MultivariateNormal(self.loc, scale_tril=self.root[1], validate_args=False)

    def at(self, e: Tensor) -> Tensor:
        return self.loc + (self.root[1] @ e.to(self.loc)[..., None]).squeeze(-1)

    def turned(self, shifts: list[Tensor], unit: Tensor) -> Family:
        lower = (
            self.root[1] * shifts[0].exp()[..., None]
            + torch.tril(shifts[1], -1) * unit[..., None] / unit.shape[-1] ** 0.5
        )
        return replace(self, root=(self.root[0], lower))

    def scaled(self, factor: Tensor) -> Family:
        return replace(self, root=(self.root[0], self.root[1] * factor[..., None]))

    def fitted(self, curvature: Tensor) -> Family:
        if curvature.dim() == 2 or self.wrapped:
            return super().fitted(curvature)
        root = torch.linalg.cholesky(torch.linalg.inv(curvature)).to(self.loc)
        return replace(self, root=(self.root[0], root))


class _LowRank(Family):
    """Of low rank and a diagonal: the root is W and the square root of d."""

    @property
    def base(self) -> Distribution:
        return LowRankMultivariateNormal(self.loc, self.root[0], self.root[1].square(), validate_args=False)

    @property
    def noise(self) -> tuple[int, ...]:
        return (*self.loc.shape[1:-1], self.loc.shape[-1] + self.root[0].shape[-1])

    def at(self, e: Tensor) -> Tensor:
        own, shared = e.to(self.loc).split([self.loc.shape[-1], self.root[0].shape[-1]], -1)
        return self.loc + self.root[1] * own + (self.root[0] @ shared[..., None]).squeeze(-1)

    def turned(self, shifts: list[Tensor], unit: Tensor) -> Family:
        return replace(self, root=(self.root[0] + unit[..., None] * shifts[0], self.root[1] * shifts[1].exp()))

    def scaled(self, factor: Tensor) -> Family:
        return replace(self, root=(self.root[0] * factor[..., None], self.root[1] * factor))

    def fitted(self, curvature: Tensor) -> Family:
        first = super().fitted(curvature)
        if curvature.dim() == 2 or self.wrapped:
            return first
        scale = curvature.diagonal(dim1=-2, dim2=-1) ** -0.5  # with it the curvature has a diagonal of 1
        unit = curvature * scale[..., None] * scale[..., None, :]
        w, raw = _low_rank(unit, first.root[0].double() / scale[..., None], (first.root[1].double() / scale).log())
        return replace(first, root=((w * scale[..., None]).to(self.loc), (raw.exp() * scale).to(self.loc)))


def _low_rank(h: Float[Tensor, "B D D"], w: Float[Tensor, "B D R"], raw: Float[Tensor, "B D"]) -> tuple[Tensor, Tensor]:
    """The W and log sqrt d that minimise tr(H S) - ln det S, searched by L-BFGS: no decoder is asked for it."""
    directions = torch.linalg.eigh(h)[1][..., : w.shape[-1]]  # the flattest: there S is longest
    flat = torch.linalg.eigvalsh(h)[..., : w.shape[-1]].rsqrt()
    moving = [(directions * flat[..., None, :]).requires_grad_(), torch.zeros_like(raw).sub(0.5).requires_grad_()]
    search = torch.optim.LBFGS(moving, max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-8)

    def loss() -> Any:
        search.zero_grad()
        with torch.enable_grad():
            whole = moving[0] @ moving[0].mT + torch.diag_embed((2 * moving[1]).exp())
            value = ((h * whole).sum((-1, -2)) - torch.logdet(whole)).sum()
            for part, slope in zip(moving, torch.autograd.grad(value, moving), strict=True):
                part.grad = slope
        return value

    search.step(loss)
    return moving[0].detach(), moving[1].detach()


def family(q: Distribution) -> Family | None:
    """The Gaussian family of q with its parameters, or None where q is of no such family.

    Example:
        >>> q = Independent(Normal(torch.zeros(3, 2), 2.0), 1)
        >>> family(q).std.tolist()[0], family(torch.distributions.Laplace(0.0, 1.0)) is None
        ([2.0, 2.0], True)
    """
    base = factors(q)
    wrapped = len(q.event_shape) - len(base.event_shape)
    if type(base) is Normal:
        return _Diagonal(base.loc, (base.scale,), wrapped)
    if type(base) is MultivariateNormal:
        return _Full(base.loc, (torch.zeros_like(base.loc), base.scale_tril), wrapped)
    if type(base) is LowRankMultivariateNormal:
        return _LowRank(base.loc, (base.cov_factor, base.cov_diag.sqrt()), wrapped)
    return None
