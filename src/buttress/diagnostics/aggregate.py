r"""The mixture of the posteriors of N examples, and its density at samples of each.

$$ q_N(z) = \frac1N \sum_m q(z|x_m) $$

Where all q are products of normals, all pairs are compared by matrix products,
$-z^2/2v + z \mu/v - (\mu^2/v + \log 2 \pi v)/2$ in float64 and centred. That loses digits where $\mu^2/v$ is beyond
some $10^9$: such coordinates are compared by differences, $z_n - \mu_m = (\mu_n - \mu_m) + \sigma_n e_n$ with the noise
e that made z, which are exact. So are multivariate normals, $(\mu_n - \mu_m) + L_n e_n$. Any other family whose
parameters are known is compared in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from buttress.diagnostics.passes import Block
from buttress.distributions.inspect import log_density, normal, point
from buttress.distributions.rows import in_double

__all__ = ["Aggregate"]

NUMBERS = 2**22
"""Most numbers held at once while all pairs are compared."""
DIGITS = 2**30
"""Largest (mu/sigma)^2 of a coordinate for which float64 leaves a millionth of a nat."""


class Aggregate:
    """q_N of some blocks; memory stays flat as N grows, but for the parameters of q.

    Args:
        blocks: The examples, N in all.
        group: Number of each, to mix each group by itself; None for one group.

    Example:
        >>> from buttress.diagnostics.passes import passes
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> Aggregate(list(passes(model.vae(), [torch.zeros(5, 3)]))).ceiling == math.log(5)
        True
    """

    def __init__(self, blocks: Sequence[Block], group: Int[Tensor, " N"] | None = None) -> None:
        self.blocks, self.group = blocks, group
        self.n = sum(len(block) for block in blocks)
        points = [value for block in blocks if (value := point(block.q)) is not None]
        self.sizes = _sizes(group, self.n)
        self.counts = _counts(points, group) if len(points) == len(blocks) else None
        self.normals = _gaussian(blocks)

    @property
    def ceiling(self) -> float:
        """log N, or its mean over the groups: what no information measured here exceeds."""
        return self.sizes.log().mean().item()

    @property
    def groups(self) -> int:
        """Number of groups."""
        return 1 if self.group is None else len(self.group.unique())

    def log_prob(
        self, z: Shaped[Tensor, "S B *event"], own: Int[Tensor, " B"], log_q: Float[Tensor, "S B"], e: Tensor | None
    ) -> Float[Tensor, "S B"]:
        """log q_N(z), within the group of each.

        Args:
            z: Samples.
            own: Places of their examples among the N.
            log_q: log q(z|x) of their own examples.
            e: Noise that made z, where q is normal.
        """
        if self.counts is not None:
            return (self.counts[own] / self.sizes[own]).log().expand(z.shape[:2])
        places = own.repeat(len(z))
        flat = (z if e is None else e).flatten(0, 1)
        step = max(1, NUMBERS // (self.n if type(self.normals) is _Normals else self.n * max(1, z[0, 0].numel())))
        found = [
            self._mixed(some, at, mine)
            for some, at, mine in zip(flat.split(step), places.split(step), log_q.flatten().split(step), strict=True)
        ]
        return torch.cat(found).reshape(z.shape[:2])

    def _mixed(self, z: Tensor, at: Int[Tensor, " C"], log_q: Float[Tensor, " C"]) -> Float[Tensor, " C"]:
        """log of the mean over the group; the own term is exact, whatever the digits of z."""
        pairs = self._pairs(z, at).scatter(1, at[:, None].to(log_q.device), log_q[:, None])
        if self.group is not None:
            same = self.group[at][:, None] == self.group[None]
            pairs = pairs.masked_fill(~same.to(pairs.device), -torch.inf)
        return pairs.logsumexp(1) - self.sizes[at].log().to(pairs.device)

    def _pairs(self, z: Tensor, at: Int[Tensor, " C"]) -> Float[Tensor, "C N"]:
        """log q(z_c|x_n) of all pairs: of normals from the noise, else whatever the family is."""
        if self.normals is not None:
            return self.normals.pairs(z, at)
        return torch.cat([log_density(in_double(block.q), z[:, None]).double() for block in self.blocks], 1)


def _gaussian(blocks: Sequence[Block]) -> _Normals | _Whole | None:
    """All q where they are products of normals, or all multivariate normals; else None."""
    normals = [base for block in blocks if (base := normal(block.q)) is not None]
    whole = [block.q for block in blocks if type(block.q) is MultivariateNormal]
    if len(normals) == len(blocks):
        return _Normals(normals)
    return _Whole(whole) if len(whole) == len(blocks) else None


def _sizes(group: Int[Tensor, " N"] | None, n: int) -> Float[Tensor, " N"]:
    """The number of examples in the group of each."""
    if group is None:
        return torch.full((n,), float(n), dtype=torch.float64)
    _, which, often = group.unique(return_inverse=True, return_counts=True)
    return often[which].double()


def _counts(points: Sequence[Int[Tensor, "_ *event"]], group: Int[Tensor, " N"] | None) -> Float[Tensor, " N"]:
    """How many of the N examples, or of those in one's group, have the same codes as each of them."""
    codes = torch.cat([value.reshape(len(value), -1).cpu() for value in points])
    rows = codes if group is None else torch.cat([codes, group[:, None].to(codes)], 1)
    _, which, often = rows.unique(dim=0, return_inverse=True, return_counts=True)
    return often[which].double()


class _Normals:
    """Products of normals, all pairs of them."""

    def __init__(self, normals: Sequence[Normal]) -> None:
        self.loc = torch.cat([q.loc.flatten(1) for q in normals]).double()
        self.scale = torch.cat([q.scale.flatten(1) for q in normals]).double()
        self.loc = self.loc - self.loc.mean(0)
        far = (self.loc.abs().amax(0) + 6 * self.scale.amax(0)).square() / self.scale.amin(0).square()
        self.rough, self.exact = (far < DIGITS).nonzero()[:, 0], (far >= DIGITS).nonzero()[:, 0]
        loc, precision = self.loc[:, self.rough], self.scale[:, self.rough].pow(-2)
        self.square, self.linear = -0.5 * precision.T, (loc * precision).T
        self.constant = -0.5 * (loc.square() * precision).sum(1) - (self.scale.log() + 0.5 * math.log(2 * math.pi)).sum(
            1
        )

    def pairs(self, e: Float[Tensor, "C *event"], at: Int[Tensor, " C"]) -> Float[Tensor, "C N"]:
        """log q(z_c|x_n) for z made of noise e by example ``at``."""
        e = e.flatten(1).to(self.loc)
        moved = self.scale[at] * e
        z = (self.loc[at] + moved)[:, self.rough]
        found = z.square() @ self.square + z @ self.linear + self.constant
        for j in self.exact.tolist():
            apart = (self.loc[at, j][:, None] - self.loc[:, j]) + moved[:, j][:, None]
            found -= 0.5 * (apart / self.scale[:, j]).square()
        return found


class _Whole:
    """Multivariate normals, all pairs of them by differences."""

    def __init__(self, normals: Sequence[MultivariateNormal]) -> None:
        self.loc = torch.cat([q.loc for q in normals]).double()
        self.tril = torch.cat([q.scale_tril for q in normals]).double()
        size = self.tril.diagonal(dim1=-2, dim2=-1).log().sum(1)
        self.constant = -size - 0.5 * self.loc.shape[1] * math.log(2 * math.pi)

    def pairs(self, e: Float[Tensor, "C D"], at: Int[Tensor, " C"]) -> Float[Tensor, "C N"]:
        """log q(z_c|x_n) for z made of noise e by example ``at``."""
        moved = (self.tril[at] @ e.to(self.loc)[..., None]).squeeze(-1)
        apart = (self.loc[at][:, None] - self.loc) + moved[:, None]
        solved = torch.linalg.solve_triangular(self.tril, apart.permute(1, 2, 0), upper=False)
        return (self.constant[:, None] - 0.5 * solved.square().sum(1)).T
