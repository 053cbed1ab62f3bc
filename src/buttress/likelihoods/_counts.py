r"""What likelihoods of counts share: log means, what an encoder reads, refusals, and quantiles for sampling.

A decoder gives l, the log of the mean of every column, bent smoothly into (-30, 30) so that no mean overflows. Sums are
taken in float64: at a count of a million the terms of log p are 10^7 and cancel to a few nats.

An encoder reads log(1 + x), shifted and scaled by what mean m and standard deviation s of the training data give where
1 + x is log-normal:

$$ v = \log\left(1 + \frac{s^2}{(1 + m)^2}\right), \qquad
   h = \frac{\log (1 + x) - \log (1 + m) + v / 2}{\sqrt v} $$
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import DataSpec
from buttress.distributions.sites import SiteLikelihood
from buttress.nn.layers import bounded

__all__ = ["CountsModule", "gamma_quantile", "poisson_quantile"]

LIMIT = 30.0
"""Bound of |l|: means of up to 10^13."""
LARGEST = 1e15
"""The mean to which larger ones are lowered for drawing: above it float64 does not hold every whole number."""
RAREST = 1e-3
"""The mean at which a column starts that holds less in the training data."""


class CountsModule(SiteLikelihood):
    """A mass over whole numbers from 0 for every column of a table, whose mean the decoder gives.

    x is kept as it is stored: a large count may have had an offset subtracted, which :meth:`counts` adds again.

    Args:
        name: Of the likelihood, for refusals.
        spec: What the data are made of.

    Errors:
        ValueError: The table has columns of categories.
    """

    offset: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, name: str, spec: DataSpec) -> None:
        super().__init__(spec)
        columns = spec.layout.channels
        self.name, self.channels = name, 1
        self.columns = spec.columns or tuple(f"column{i}" for i in range(columns))
        if words := [column for column, size in zip(self.columns, spec.categories, strict=False) if size]:
            raise ValueError(
                f"{name} likelihood: column {words[0]!r} holds categories, wanted counts; try choosing columns with "
                "--data.columns, or the mixed likelihood"
            )
        offset = torch.tensor(spec.offset or (0.0,) * columns, dtype=torch.float64)
        self.data_mean = None if spec.mean is None else (spec.mean.double() + offset).clamp(min=0)
        middle, spread = torch.zeros(columns), torch.ones(columns)
        if self.data_mean is not None and spec.std is not None:
            v = (spec.std.double() / (1 + self.data_mean)).square().log1p()
            middle, spread = self.data_mean.log1p() - v / 2, torch.where(v > 0, v.sqrt(), 1)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("middle", middle.float(), persistent=False)
        self.register_buffer("spread", spread.float(), persistent=False)

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        counts = self.counts(raw)
        bad = ~((counts >= 0) & (counts == counts.round()) & counts.isfinite())
        if not bad.any():
            return
        *_, column = where = tuple(bad.nonzero()[0].tolist())
        value = counts[where].item()
        advice = "--data.missing set_aside" if value != value else "the gaussian likelihood"
        raise ValueError(
            f"{self.name} likelihood: column {self.columns[column]!r} holds {value:.10g}, wanted whole numbers from 0; "
            f"try {advice}"
        )

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return raw.float()

    def counts(self, x: Tensor) -> Float[Tensor, "*batch D"]:
        """The counts, in float64."""
        return x.double() + self.offset

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`: h of the formula above."""
        return (self.counts(x).log1p().to(x.dtype) - self.middle) / self.spread

    def log_mean(self, parameters: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """l in float64, of the shape of the parameters."""
        return bounded(parameters.double(), -LIMIT, LIMIT)

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        nats = self.log_mass(self.log_mean(parameters).squeeze(-1), self.counts(x)).sum(-1)
        return nats if parameters.dtype == torch.float64 else nats.float()

    @abstractmethod
    def log_mass(self, log_mean: Float[Tensor, "*rest"], counts: Float[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """log p of every count, in float64; the two broadcast."""

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`: the normal noise behind the uniforms; 0 gives medians."""
        return parameters, torch.special.ndtr(temperature * torch.special.ndtri(uniforms.clamp(2**-25, 1 - 2**-24)))

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """See :class:`SiteLikelihood`."""
        return self.stored(self.log_mean(parameters).exp(), parameters)

    def stored(self, counts: Float[Tensor, "*rest"], parameters: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """Counts (..., D, 1) as the data are stored."""
        x = counts - self.offset[:, None]
        return x if parameters.dtype == torch.float64 else x.float()

    def start(self) -> Tensor | None:
        """The log of the data's mean, of a thousandth at least."""
        if self.data_mean is None:
            return None
        log_mean = self.data_mean.clamp(RAREST, 1e12).log()
        return self.to_places((LIMIT * (log_mean / LIMIT).atanh()).float())


def poisson_quantile(mean: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
    r"""The smallest k with F(k) > u, where F(k) = Q(k + 1, mean) is the regularised incomplete gamma function.

    Found by bisection within eight standard deviations.

    Args:
        mean: Of the Poisson distributions, float64.
        uniforms: u in [0, 1).

    Example:
        >>> poisson_quantile(torch.tensor([2.0, 2.0, 2.0]).double(), torch.tensor([0.1, 0.5, 0.99]))
        tensor([0., 2., 6.], dtype=torch.float64)
    """
    mean, uniforms = torch.broadcast_tensors(mean.clamp(max=LARGEST), uniforms.double())
    reach = 8 * mean.sqrt()
    below, above = (mean - reach - 10).floor().clamp(min=-1), (mean + reach + 40).ceil()
    while bool((above - below).max() > 1):
        k = (below + above + 1) // 2
        enough = torch.special.gammaincc(k + 1, mean) > uniforms
        below, above = torch.where(enough, below, k), torch.where(enough, k, above)
    return above


def gamma_quantile(shape: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
    r"""The g with P(shape, g) = u: quantiles of the gamma distribution with that shape and scale one.

    Found by bisection of log g, from $g^r / \Gamma(r + 1) = u$ (which bounds P from above) to r + 8 sqrt(r) + 40.

    Args:
        shape: r of the gamma distributions, float64.
        uniforms: u in [0, 1).

    Example:
        >>> gamma_quantile(torch.tensor([1.0]).double(), torch.tensor([0.5]))  # log 2
        tensor([0.6931], dtype=torch.float64)
    """
    shape, uniforms = torch.broadcast_tensors(shape, uniforms.double().clamp(2**-25, 1 - 2**-24))
    below, above = (uniforms.log() + (shape + 1).lgamma()) / shape, (shape + 8 * shape.sqrt() + 40).log()
    for _ in range(50):
        middle = (below + above) / 2
        enough = torch.special.gammainc(shape, middle.exp()) > uniforms
        below, above = torch.where(enough, below, middle), torch.where(enough, middle, above)
    return above.exp()
