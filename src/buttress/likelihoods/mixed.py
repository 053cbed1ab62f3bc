r"""p(x) = prod over numbers N(y_i; m_i, sigma_i^2) / unit_i, times prod over categories softmax(l_j)[x_j]: tables.

$$ y_i = \frac{x_i - \mathrm{offset}_i}{\mathrm{unit}_i}, \qquad
   \log p(x) = -\tfrac12 \sum_{i \text{ there}} \left[ \frac{(y_i - m_i)^2}{\sigma_i^2} + \log 2\pi\sigma_i^2 \right]
   - \sum_{i \text{ there}} \log \mathrm{unit}_i + \sum_j \log \mathrm{softmax}(l_j)_{x_j} $$

A missing number (NaN) adds nothing, so log p(x) is that of the values that are there: values missing at random need no
filling in (Nazabal, Olmos, Ghahramani and Valera, Handling incomplete heterogeneous data using VAEs, 2020). A missing
word is a category of its own. Offset and unit are mean and standard deviation of the training data; numbers that are
constant there have no density and are left out.

A row is one place with D values: the decoder gives the means of the numbers, then the logits of each category.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, Layout, Likelihood
from buttress.core.likelihood import COLDEST
from buttress.distributions.sites import SiteLikelihood, refuse
from buttress.likelihoods.categorical import choose
from buttress.nn.layers import bounded, full, unbounded

__all__ = ["Mixed"]


@dataclass(frozen=True)
class Mixed(Likelihood):
    """Tables with columns of categories, and with missing values: a normal density or a softmax for each column.

    An encoder reads a number as its standardised value (0 where it is missing) and, where the data lack some, a 1 for
    each that is missing; a category as as many numbers as it has values, of which one is 1.

    Args:
        variance: sigma^2 of the standardised numbers, or where learning starts.
        learned: "fixed"; "scalar", one learned sigma^2; "per_column", one for each column of numbers.
        min_log_variance: Lower bound of a learned log sigma^2.
        max_log_variance: Upper bound of the same.

    Errors:
        ValueError: A variance outside its bounds; only constant columns.

    Example:
        >>> spec = DataSpec(Layout.table(2), categories=(0, 3))
        >>> p = Mixed(variance=1.0, learned="fixed").build(spec)(torch.zeros(1, 1, 4))
        >>> nan = float("nan")
        >>> [round(value, 4) for value in p.log_prob(torch.tensor([[0.0, 2.0], [nan, 2.0]])).tolist()]
        [-2.0176, -1.0986]
    """

    variance: float = 0.1
    learned: Literal["fixed", "scalar", "per_column"] = "scalar"
    min_log_variance: float = -14.0
    max_log_variance: float = 8.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        low, high = math.exp(self.min_log_variance), math.exp(self.max_log_variance)
        if not low < self.variance < high or not low < 1 < high:
            raise ValueError(
                f"mixed likelihood: variance is {self.variance}, wanted a number between its bounds {low:.3g} and "
                f"{high:.3g}, one below 1 and one above"
            )

    @classmethod
    def tiny(cls) -> tuple[Mixed, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(), cls(learned="per_column"), cls(learned="fixed", variance=0.5))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "it needs a table" if layout.axes else ""

    def build(self, spec: DataSpec) -> MixedModule:
        """See :class:`buttress.core.Likelihood`."""
        return MixedModule(self, spec)


class MixedModule(SiteLikelihood):
    """The module of :class:`Mixed`.

    ``numbers`` are the positions of the n columns of numbers, ``categories`` those of the others and their sizes.
    """

    numbers: Tensor
    offset: Tensor
    unit: Tensor
    varying: Tensor

    def __init__(self, part: Mixed, spec: DataSpec) -> None:
        super().__init__(spec)
        sizes = spec.categories or (0,) * spec.layout.channels
        self.part, self.spec = part, spec
        self.values = self.draws = len(sizes)
        self.categories = [(i, size) for i, size in enumerate(sizes) if size]
        numbers = torch.tensor([i for i, size in enumerate(sizes) if not size], dtype=torch.long)
        offset, unit, varying = _scaling(spec, numbers)
        for name, value in (("numbers", numbers), ("offset", offset), ("unit", unit), ("varying", varying)):
            self.register_buffer(name, value, persistent=False)
        self.channels = len(numbers) + sum(size for _, size in self.categories)
        raw = torch.full(
            (len(numbers) if part.learned == "per_column" else 1,),
            unbounded(math.log(part.variance), part.min_log_variance, part.max_log_variance),
        )
        self.raw_log_variance = nn.Parameter(raw) if part.learned != "fixed" and len(numbers) else None

    @property
    def log_variance(self) -> Float[Tensor, " V"]:
        """log sigma^2 of the standardised numbers: one for all, or one for each."""
        if self.raw_log_variance is None:
            return self.unit.new_full((1,), math.log(self.part.variance))
        return bounded(self.raw_log_variance, self.part.min_log_variance, self.part.max_log_variance)

    def places(self, layout: Layout) -> tuple[int, ...]:
        """See :class:`buttress.core.LikelihoodModule`: a row is one place."""
        return (1,)

    def feature_layout(self, layout: Layout) -> Layout:
        """See :class:`buttress.core.LikelihoodModule`."""
        masks = len(self.numbers) * self.spec.missing
        return Layout.table(self.channels + masks)

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        advice = "drop or fill in the examples concerned"
        refuse(raw, raw.isinf(), "finite numbers, or NaN for what is missing", advice)
        for i, size in self.categories:
            codes = raw[..., i]
            bad = (codes != codes.round()) | (codes < 0) | (codes >= size)
            refuse(codes, bad & ~codes.isnan(), f"codes 0 to {size - 1} in column {i}", advice)

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return raw.float()

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        y, there = self.standardised(x)
        masks = [1 - there] if self.spec.missing else []
        return torch.cat([y, *masks, *(_one_hot(x[..., i], size) for i, size in self.categories)], -1)

    def standardised(self, x: Tensor) -> tuple[Float[Tensor, "*rest"], Float[Tensor, "*rest"]]:
        """The numbers (..., n) with 0 for those that are missing, and 1 where they are there."""
        values = x[..., self.numbers]
        there = (~values.isnan()).to(values.dtype)
        return (values.nan_to_num(0.0) - self.offset) / self.unit * there * self.varying, there

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        means, logits = self.split(parameters.squeeze(-2))
        y, there = self.standardised(x)
        log_variance = self.log_variance
        nats = (y - means).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi)
        total = (-(0.5 * nats + self.unit.log()) * there * self.varying).sum(-1)
        for (i, _), scores in zip(self.categories, logits, strict=True):
            total = total + _mass(scores, x[..., i])
        return total

    def split(self, parameters: Float[Tensor, "*rest"]) -> tuple[Tensor, list[Tensor]]:
        """Means of the numbers (..., n), and the logits of each category (..., K)."""
        sizes = [len(self.numbers), *(size for _, size in self.categories)]
        means, *logits = full(parameters).split(sizes, -1)
        return means, list(logits)

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`. A sample lacks no value."""
        means, logits = self.split(parameters)
        noise = torch.special.ndtri(uniforms[..., self.numbers].clamp(2**-25, 1 - 2**-24))
        y = means + (0.5 * self.log_variance).exp() * noise
        codes = [
            choose(scores, uniforms[..., i : i + 1]) for (i, _), scores in zip(self.categories, logits, strict=True)
        ]
        return self.row(y, codes)

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`: the noise of numbers, and the logits of categories."""
        count = len(self.numbers)
        means, logits = full(parameters).split([count, self.channels - count], -1)
        noise = torch.special.ndtri(uniforms[..., self.numbers].clamp(2**-25, 1 - 2**-24))
        cooled = uniforms.index_copy(-1, self.numbers, torch.special.ndtr(temperature * noise))
        return torch.cat([means, logits / max(temperature, COLDEST)], -1), cooled

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """Means of numbers, and the likeliest categories."""
        means, logits = self.split(parameters)
        return self.row(means, [scores.argmax(-1, keepdim=True) for scores in logits])

    def row(self, y: Float[Tensor, "*rest"], codes: list[Tensor]) -> Float[Tensor, "*rest2"]:
        """Standardised numbers (..., n) and codes (..., 1) as rows (..., D) in the units of the data."""
        row = y.new_empty(*y.shape[:-1], self.values)
        row[..., self.numbers] = y * self.varying * self.unit + self.offset
        for (i, _), code in zip(self.categories, codes, strict=True):
            row[..., i] = code.squeeze(-1).to(row.dtype)
        return row

    def to_x(self, values: Tensor) -> Tensor:
        """(..., 1, D) -> (..., D)."""
        return values.squeeze(-2)

    def to_places(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., 1, D)."""
        return x.unsqueeze(-2)

    def start(self) -> None:
        """Zero: the mean of what is standardised, and categories that are alike."""


def _scaling(spec: DataSpec, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offset and unit of the numbers, and 1 for those that vary."""
    if spec.mean is None or spec.std is None:
        return torch.zeros(len(numbers)), torch.ones(len(numbers)), torch.ones(len(numbers))
    mean, std = spec.mean.float()[numbers], spec.std.float()[numbers]
    varying = std > 0
    if len(numbers) == spec.layout.channels and not varying.any():
        raise ValueError("mixed likelihood: every column is constant, which has no density; try: other data")
    return mean, torch.where(varying, std, 1.0), varying.float()


def _one_hot(codes: Tensor, size: int) -> Float[Tensor, "*rest"]:
    """(...) codes, NaN where missing -> (..., K), all 0 where missing."""
    return (codes[..., None] == torch.arange(size, device=codes.device)).float()


def _mass(logits: Float[Tensor, "*rest"], codes: Tensor) -> Float[Tensor, "*batch"]:
    """log softmax at the codes, 0 where they are missing."""
    shape = torch.broadcast_shapes(logits.shape[:-1], codes.shape)
    codes = codes.expand(shape)
    target = torch.where(codes.isnan(), -100, codes.nan_to_num(0.0)).long()
    scores = logits.expand(*shape, logits.shape[-1]).reshape(-1, logits.shape[-1])
    return -F.cross_entropy(scores, target.reshape(-1), ignore_index=-100, reduction="none").view(shape)
