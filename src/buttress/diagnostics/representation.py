r"""What scores of disentanglement read: the mean of q for each held-out example, beside its known factors.

$$ v_{nj} = \frac{E_{q(z|x_n)}[z_j] - m_j}{s_j} $$

in units of the prior, whose mean is m and whose standard deviation is s. A coordinate whose v moves by less than 0.05
over the data is set to 0: what a collapsed coordinate still does is noise of the encoder, not read by the decoder, yet
it may follow a factor exactly. (The threshold is that of disentanglement_lib, where a single score uses it.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Factors
from buttress.diagnostics.estimator import Subject
from buttress.diagnostics.evaluation import choose, draw, evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.prior_scale import PriorUnits
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import is_discrete, mean_of

__all__ = ["EXAMPLES", "Representation", "SameValue", "as_factors", "moving", "representation", "seen"]

STILL = 0.05
"""Standard deviation of a coordinate's means, in those of the prior, below which it is left out."""
EXAMPLES, WIDEST = 10_000, 256
"""Examples that are scored, and coordinates of z, at most."""
SAMPLES = 8
"""Averaged in place of a mean that q does not know."""
MEMBERS = 5
"""Examples that share the value of a factor, at least, if that value is to be held fixed."""


@dataclass(frozen=True)
class Representation:
    """Means of q and the factors of the same examples.

    Args:
        z: The means in units of the prior, shape (N, D); coordinates that hardly move are 0.
        factors: Of the same N examples.
    """

    z: Float[Tensor, "N D"]
    factors: Factors


def as_factors(factors: object, n: int) -> Factors:
    """Known factors in any form, for n examples.

    Args:
        factors: What :class:`buttress.core.Factors` is, or what its ``of`` reads.
        n: Number of examples.

    Errors:
        ValueError: They are no factors, or not those of n examples.

    Example:
        >>> as_factors({"size": [1, 2, 1, 2], "x": [0, 0, 5, 5]}, 4).sizes
        (2, 2)
    """
    found = factors if isinstance(factors, Factors) else Factors.of(factors)
    if len(found) != n:
        raise ValueError(f"factors: got those of {len(found):,} examples, wanted {n:,}, in the order of the batches")
    return found


def representation(
    model: Model, batches: Batches, factors: Factors, *, examples: int | None = EXAMPLES, seed: int = 0
) -> Representation | None:
    """The means of q of held-out data beside their factors; None where z is made of codes, or very large.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        factors: Of each example, in the order of ``batches``.
        examples: At most so many: a random choice of the data where there is more. None for all.
        seed: Of the choice.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> x, z = model.sample(100)
        >>> representation(model.vae(), [x], Factors.of((z > 0).long())).z.shape
        torch.Size([100, 1])
    """
    keep, rows, numbers, units = choose(count(batches), examples, seed), [], [], PriorUnits(seed)
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches, keep=keep):
            if is_discrete(block.q) or block.q.event_shape.numel() > WIDEST:
                return None
            middle = mean_of(block.q)
            middle = (
                draw(block.q, block.index, SAMPLES, seed, "means for factors").mean(0) if middle is None else middle
            )
            loc, scale = units.of(block.prior)
            rows.append(((middle.double() - loc) / scale).reshape(len(block), -1).cpu())
            numbers.append(block.index)
    z = torch.cat(rows)
    return Representation(z * (z.std(0) >= STILL), factors.take(torch.cat(numbers)))


def seen(subject: Subject) -> Representation | None:
    """The same of a diagnosis, made once; None where the data have no factors, or z none that can be scored."""
    if subject.factors is None:
        return None
    if "representation" not in subject.kept:
        subject.kept["representation"] = representation(subject.model, subject.data, subject.factors, seed=subject.seed)
    found: Representation | None = subject.kept["representation"]
    return found


def moving(z: Float[Tensor, "N D"]) -> Float[Tensor, "N M"]:
    """The coordinates that vary over the data, each divided by its standard deviation.

    Example:
        >>> moving(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).shape
        torch.Size([2, 1])
    """
    z = z.double()
    spread = z.std(0)
    return z[:, spread > 0] / spread[spread > 0]


class SameValue:
    """Draws of examples that share the value of a factor.

    Args:
        factors: Of N examples.

    Example:
        >>> same = SameValue(Factors.of([[0], [1]] * 10, ("x",)))
        >>> index = same.draw(torch.tensor([0, 0]), 4, torch.Generator().manual_seed(0))
        >>> index.shape, (index % 2).double().std(1).tolist()  # each row has one value
        (torch.Size([2, 4]), [0.0, 0.0])
    """

    def __init__(self, factors: Factors) -> None:
        values = factors.values.cpu()
        self.order = values.argsort(0)
        ranked = values.gather(0, self.order).T.contiguous()
        wanted = values.T.contiguous()
        self.first = torch.searchsorted(ranked, wanted).T
        self.count = torch.searchsorted(ranked, wanted, right=True).T - self.first
        fit = self.count >= MEMBERS
        self.anchors, self.number = (~fit).long().argsort(dim=0, stable=True), fit.sum(0)

    @property
    def possible(self) -> bool:
        """Whether each factor has a value that enough examples share."""
        return bool((self.number > 0).all())

    def draw(self, k: Int[Tensor, " V"], observations: int, generator: torch.Generator) -> Int[Tensor, "V L"]:
        """For each factor k a value of a random example, and ``observations`` random examples of that value.

        Args:
            k: Numbers of factors.
            observations: L.
            generator: Of the draws.
        """
        u = torch.rand(len(k), 1 + observations, generator=generator, dtype=torch.float64)
        anchor = self.anchors[(u[:, 0] * self.number[k]).long(), k]
        first, size = self.first[anchor, k], self.count[anchor, k]
        place = first[:, None] + (u[:, 1:] * size[:, None]).long()
        return self.order[place, k[:, None].expand_as(place)]
