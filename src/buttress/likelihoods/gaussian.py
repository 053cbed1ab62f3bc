r"""p(x) = prod_i N(x_i; unit_i m_i + offset_i, (unit_i sigma)^2), in the units of the stored data.

Decoders speak of the scaled variable y; its density and that of x differ by the Jacobian of the scaling.

$$ y_i = \frac{x_i - \mathrm{offset}_i}{\mathrm{unit}_i}, \qquad
   \log p(x) = -\tfrac12 \sum_i \left[ \frac{(y_i - m_i)^2}{\sigma^2} + \log \sigma^2 + \log 2\pi \right]
               - \sum_i \log \mathrm{unit}_i $$

8-bit images: x = r + u with u uniform on [0, 1), y = x / 256. By Jensen E_u log p(r + u) is a lower bound on the log
mass of the stored image r, so bits per dimension computed from it are honest. Images of real numbers: offset and unit
are the mean and standard deviation of all pixels of the training data, so that no result depends on their unit. Tables:
the same for each column; a column that is constant in the training data has no density and is left out of the sum.

The variance at its optimum is the mean square of what the decoder leaves unexplained, over examples and sites,

$$ \sigma^{2*} = \frac1D \mathbb{E}\, |y - m(z)|^2, \qquad
   -\log p(x) = \tfrac D2 (\log 2 \pi \sigma^{2*} + 1) + \sum_i \log \mathrm{unit}_i, $$

and its gradient that of a $\sigma^2$ held constant at $\sigma^{2*}$. So ``learned="optimal"`` needs no parameter: a
step of training takes $\sigma^2$ as a constant, and after it $\sigma^2$ moves to a running mean of the mean squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from buttress.core import DataSpec, Layout, Likelihood
from buttress.distributions.sites import SiteLikelihood, refuse_not_finite, refuse_not_levels
from buttress.nn.layers import bounded, full, unbounded
from buttress.runtime import distributed
from buttress.runtime.randomness import draw

__all__ = ["WINDOW", "GaussianLikelihood"]

WINDOW = 20
"""Steps over which the optimal variance is averaged: all steps up to here, then with exponentially falling weights. A
batch of 64 rows of 4 columns knows it to 9 %, so this many know it to 2 %, which costs no more than 0.0001 nats a
site."""


@dataclass(frozen=True)
class GaussianLikelihood(Likelihood):
    """A normal density at every site, with a variance that is fixed, learned, at its optimum, or given by the decoder.

    Densities are those of the stored data (grey levels 0 to 255 with uniform noise; a table's own units). Papers that
    treat pixels as numbers in [0, 1] report log p + D log 256, where D is the number of sub-pixels: add 4347.4 nats for
    28 x 28. Without dequantisation some do not even have a bounded density, because some pixels are constant.

    Source: one learned variance and what it does to collapse: Lucas, Tucker, Grosse and Norouzi, Don't Blame the ELBO!,
    2019. One variance at its optimum: Rybkin, Daniilidis and Levine, Simple and Effective VAE Training with Calibrated
    Decoders, 2021; theirs is that of the batch, ours a running mean over the steps of training, so that no example
    depends on its neighbours and evaluation uses the same number. Dequantisation: Theis, van den Oord and Bethge, A
    Note on the Evaluation of Generative Models, 2016.

    Args:
        variance: sigma^2 of the scaled variable (grey levels in [0, 1], real numbers standardised), or where learning
            starts.
        learned: "fixed"; "scalar", one sigma^2 learned by gradient; "optimal", one sigma^2 that follows the mean square
            of what the decoder leaves unexplained; "per_site", a sigma^2 for every site from the decoder.
        dequantize: Images are whole numbers 0 to 255 and get uniform noise. If False they are floats in any unit, and
            densities are in that unit. Tables ignore it.
        min_log_variance: Lower bound of a learned or optimal log sigma^2.
        max_log_variance: Upper bound of the same.

    Errors:
        ValueError: A variance outside its bounds; a table of constant columns, or one of categories.

    Example:
        >>> likelihood = GaussianLikelihood(variance=1.0, learned="fixed", dequantize=False)
        >>> p = likelihood.build(DataSpec(Layout.image(1, 1, 2)))
        >>> round(p(torch.zeros(1, 2, 1)).log_prob(torch.zeros(1, 1, 2)).item(), 4)
        -1.8379
    """

    variance: float = 0.1
    learned: Literal["fixed", "scalar", "optimal", "per_site"] = "scalar"
    dequantize: bool = True
    min_log_variance: float = -14.0
    max_log_variance: float = 8.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not self.min_log_variance < 0 < self.max_log_variance:
            raise ValueError(
                f"gaussian likelihood: log-variance bounds are {self.min_log_variance} and {self.max_log_variance}; "
                "wanted one below 0 and one above"
            )
        low, high = math.exp(self.min_log_variance), math.exp(self.max_log_variance)
        if not low < self.variance < high:
            raise ValueError(f"gaussian likelihood: variance is {self.variance}, wanted {low:.3g} to {high:.3g}")

    @classmethod
    def tiny(cls) -> tuple[GaussianLikelihood, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(), cls(learned="fixed", variance=0.5), cls(learned="per_site"), cls(learned="optimal"))

    def counts_bits(self, layout: Layout) -> bool:
        """See :class:`buttress.core.Likelihood`.

        Example:
            >>> image = Layout.image(1, 28, 28)
            >>> GaussianLikelihood().counts_bits(image), GaussianLikelihood(dequantize=False).counts_bits(image)
            (True, False)
        """
        return layout.axes == 2 and self.dequantize

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.numeric else "it needs numbers, and these are symbols"

    def build(self, spec: DataSpec) -> GaussianLikelihoodModule:
        """See :class:`buttress.core.Likelihood`."""
        return GaussianLikelihoodModule(self, spec)


class GaussianLikelihoodModule(SiteLikelihood):
    """The module of :class:`GaussianLikelihood`: channels are the means and, with "per_site", the log-variances.

    With "optimal", ``running_variance`` is sigma^2 and ``updates`` the number of steps that it was averaged over, in
    checkpoints as weights are.
    """

    running_variance: Tensor | None
    updates: Tensor | None
    offset: Tensor
    unit: Tensor
    varying: Tensor | None

    def __init__(self, part: GaussianLikelihood, spec: DataSpec) -> None:
        super().__init__(spec)
        self.part, self.spec = part, spec
        self.channels = self.values * (2 if part.learned == "per_site" else 1)
        offset, unit, varying = _scaling(part, spec)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("unit", unit, persistent=False)
        self.register_buffer("varying", varying, persistent=False)
        self.fractions = part.dequantize or spec.mean is None
        self.still = 0 if varying is None else int((varying == 0).sum())
        raw = torch.tensor(unbounded(math.log(part.variance), part.min_log_variance, part.max_log_variance))
        self.raw_log_variance = nn.Parameter(raw) if part.learned == "scalar" else None
        optimal = part.learned == "optimal"
        self.register_buffer("running_variance", torch.tensor(part.variance) if optimal else None)
        self.register_buffer("updates", torch.tensor(0) if optimal else None)
        self.seen: Tensor | None = None

    @property
    def log_variance(self) -> Float[Tensor, ""]:
        """log sigma^2 of the scaled variable, where it is one number: fixed, learned or optimal."""
        if self.running_variance is not None:
            return self.running_variance.log()
        if self.raw_log_variance is None:
            return self.unit.new_tensor(math.log(self.part.variance))
        return bounded(self.raw_log_variance, self.part.min_log_variance, self.part.max_log_variance)

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        if self.layout.axes != 2:
            table = self.layout.axes == 0
            refuse_not_finite(raw, *["the mixed likelihood, which takes missing values"] * table)
        elif self.part.dequantize:
            refuse_not_levels(raw, "dequantize: false for images of floats")
        elif not raw.is_floating_point():
            raise ValueError(
                f"got {raw.dtype} images, wanted floats; try: dequantize: true, for whole numbers 0 to 255"
            )
        else:
            refuse_not_finite(raw)

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        if self.layout.axes != 2 or not self.part.dequantize:
            return raw.float()
        return draw(torch.rand, raw.shape).to(raw.device) + raw

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        y = (x - self.offset) / self.unit
        return y if self.varying is None else y * self.varying

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        mean, log_variance = self.split(parameters)
        error = (self.features(x) - self.to_x(mean)).square()
        sites = math.prod(x.shape[-len(self.layout.shape) :])
        varying = sites - self.still
        if log_variance.dim() == 0:  # one number: keep it out of the loop over sites
            squares = self.total(self._weighed(error))
            self._note(squares, varying * squares.numel())
            scaled = squares * (-log_variance).exp() + varying * log_variance
        else:
            log_variance = self.to_x(log_variance)
            scaled = self.total(self._weighed(error * (-log_variance).exp() + log_variance))
        return -0.5 * (scaled + varying * math.log(2 * math.pi)) - self.log_units(sites)

    def _weighed(self, per_site: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """The same without columns that are constant."""
        return per_site if self.varying is None else per_site * self.varying

    def masked_log_prob(
        self, parameters: Float[Tensor, "*rest"], x: Tensor, valid: Bool[Tensor, "*rest2"]
    ) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        mean, log_variance = self.split(parameters)
        error = (self.features(x) - mean).square()
        self._note(torch.where(valid[..., None], error, 0), valid.expand(error.shape[:-1]).sum() * error.shape[-1])
        nats = -0.5 * (error * (-log_variance).exp() + log_variance + math.log(2 * math.pi)) - self.unit.log()
        return torch.where(valid[..., None], nats, 0).flatten(-2).sum(-1)

    def _note(self, squares: Float[Tensor, "*rest"], count: int | Tensor) -> None:
        """Keep the sum of squares and their number in the step's last batch, for :meth:`after_step`."""
        if self.running_variance is not None and self.training and squares.requires_grad:
            total = squares.detach().sum()
            self.seen = torch.stack([total, torch.as_tensor(count).to(total)])

    @torch.no_grad()
    def after_step(self) -> None:
        """See :class:`buttress.core.LikelihoodModule`: move sigma^2, over the batch of all processes."""
        if self.seen is None or self.running_variance is None or self.updates is None:
            return
        (squares, count), self.seen = distributed.total(self.seen), None
        bounds = math.exp(self.part.min_log_variance), math.exp(self.part.max_log_variance)
        self.updates += 1
        weight = 1 / self.updates.clamp(max=WINDOW)
        self.running_variance.lerp_((squares / count).clamp(*bounds).to(self.running_variance), weight)

    def shared_variance(self) -> float | None:
        """See :class:`buttress.core.LikelihoodModule`; of the scaled variable."""
        return None if self.part.learned == "per_site" else self.log_variance.exp().item()

    def varying_sites(self) -> Bool[Tensor, " D"]:
        """Which sites the density counts, laid in a row: all but the constant columns of a table."""
        if self.varying is not None:
            return self.varying > 0
        return torch.ones(math.prod(self.layout.shape), dtype=torch.bool)

    def squares(
        self, parameters: Float[Tensor, "*rest"], x: Tensor, valid: Bool[Tensor, "*rest2"] | None = None
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """|y - m|^2 of each example over the sites that its density counts, and how many these are.

        Args:
            parameters: A decoder's output.
            x: The examples; their batch broadcasts to that of the parameters.
            valid: Which places (*batch, T) lie within the true length of their example; None for all.
        """
        error = (self.features(x) - self.to_x(self.split(parameters)[0])).square()
        if valid is None:
            squares = self.total(self._weighed(error))
            return squares, torch.full_like(squares, int(self.varying_sites().sum()))
        inside = valid[..., None].expand_as(error)
        return (error * inside).flatten(-2).sum(-1), inside.to(error).flatten(-2).sum(-1)

    def scores(self, x: Tensor) -> Float[Tensor, "N M"] | None:
        """See :class:`buttress.core.LikelihoodModule`: of means and log-variances, where the decoder gives both."""
        if self.part.learned != "per_site":
            return None
        y = self.features(x).flatten(1)
        variance, mean = torch.var_mean(y, 0, correction=0)
        unit = torch.where(variance > 0, variance.rsqrt(), 0) * (y - mean)
        return torch.cat([unit, (unit.square() - 1) / math.sqrt(2) * (variance > 0)], 1)

    def log_units(self, sites: int) -> Float[Tensor, ""]:
        """log |dx / dy|: the sum of log units over the sites."""
        return self.unit.log().sum() * (sites // self.unit.numel())

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`. A table's places must come all at once: each has its unit."""
        mean, log_variance = self.split(parameters)
        noise = torch.special.ndtri(uniforms.clamp(2**-25, 1 - 2**-24))
        return self.to_data(mean + (0.5 * log_variance).exp() * noise)

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`."""
        return parameters, torch.special.ndtr(temperature * torch.special.ndtri(uniforms.clamp(2**-25, 1 - 2**-24)))

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """See :class:`SiteLikelihood`."""
        return self.to_data(self.split(parameters)[0])

    def start(self) -> Tensor:
        """The mean of the data, and the variance of the description."""
        x = self.spec.mean
        if x is None:
            x = self.offset + 0.5 * self.unit if self.layout.axes == 2 else self.offset
        elif self.layout.axes == 2 and self.part.dequantize:
            x = x + 0.5
        mean = self.to_places(self.features(x.to(self.unit)).expand(self.layout.shape))
        if self.part.learned != "per_site":
            return mean
        low, high = self.part.min_log_variance, self.part.max_log_variance
        return torch.cat([mean, torch.full_like(mean, unbounded(math.log(self.part.variance), low, high))], -1)

    def split(self, parameters: Float[Tensor, "*rest"]) -> tuple[Tensor, Tensor]:
        """Means (..., values) and log-variances, (..., values) or one number, of the scaled variable."""
        parameters = full(parameters)
        if self.part.learned != "per_site":
            return parameters, self.log_variance
        mean, raw = parameters.chunk(2, -1)
        return mean, bounded(raw, self.part.min_log_variance, self.part.max_log_variance)

    def to_data(self, y: Tensor) -> Tensor:
        """From the scaled variable, channels last, to the units of the data."""
        if self.layout.axes == 0:
            y = y if self.varying is None else y * self.varying[:, None]
            return y * self.unit[:, None] + self.offset[:, None]
        return y * self.unit + self.offset


def _scaling(part: GaussianLikelihood, spec: DataSpec) -> tuple[Tensor, Tensor, Tensor | None]:
    """Offset and unit, one number each for images and one a column for tables; 0 for columns that are constant."""
    image, table = spec.layout.axes == 2, spec.layout.axes == 0
    if any(spec.categories):
        raise ValueError("gaussian likelihood: the table has columns of categories; try: the mixed likelihood")
    if image and part.dequantize:
        return torch.zeros(()), torch.tensor(256.0), None
    if spec.mean is None or spec.std is None:
        sites = () if image else (spec.layout.channels,)
        return torch.zeros(sites), torch.ones(sites), None
    mean, std = spec.mean.float(), spec.std.float()
    if image:
        middle = mean.double().mean()
        spread = (std.double().square() + (mean.double() - middle).square()).mean().sqrt()
        return middle.float(), spread.float(), None
    varying = (std > 0).float()
    if table and not varying.any():
        raise ValueError("gaussian likelihood: every column is constant, which has no density; try: other data")
    return mean, torch.where(std > 0, std, 1), varying if table and not varying.all() else None
