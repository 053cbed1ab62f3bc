"""What a search is about: some examples, and the ELBO of a q for each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimators.rate import exact_kl
from buttress.diagnostics.evaluation import decode
from buttress.diagnostics.passes import Block
from buttress.diagnostics.protocol import Conditional
from buttress.diagnostics.telling import Tell, silent
from buttress.distributions.inspect import log_density
from buttress.distributions.rows import in_double
from buttress.runtime.randomness import noise

__all__ = ["ENOUGH", "Found", "Look", "Task", "found", "gained", "paired"]

ENOUGH = 0.01
"""In nats: a search that gains less has arrived."""


@dataclass(frozen=True)
class Task:
    """Some examples that look for their own q.

    Args:
        model: Every callable takes ``given``.
        block: The examples.
        seed: Of the noise.
        weight: Of the rate, by which the distortion is divided in its place.
        tell: Is told what the search is at.
    """

    model: Conditional
    block: Block
    seed: int
    weight: float = 1.0
    tell: Tell = silent

    def take(self, rows: Int[Tensor, " R"]) -> Task:
        """The same for some of the examples."""
        if len(rows) == len(self.block):
            return self
        part = Block(self.block.data, [], self.block.index[rows.cpu()], self.block.batch.take(rows))
        return replace(self, block=part)

    def distortion(self, z: Tensor) -> Float[Tensor, "S B"]:
        """-log p(x|z) over the weight, z of shape (S, B, *event); infinite where it is NaN: no search goes there."""
        return -decode(self.model, self.block.x, z, self.block.given, lost=True) / self.weight

    def energy(self, z: Tensor) -> Float[Tensor, "S B"]:
        """-log p(x, z), that of p(x|z) over the weight."""
        return self.distortion(z) - log_density(self.block.prior, z).double()

    def halves(
        self, q: Distribution, z: Tensor, density: Distribution | None = None
    ) -> tuple[Float[Tensor, "S B"], Float[Tensor, "S B"]]:
        """Distortion and rate at z; ``density`` is q, where the gradient of log q must be another."""
        distortion, exact = self.distortion(z), exact_kl(q, self.block.prior)
        if exact is None:
            rate = (density or q).log_prob(z).double() - log_density(self.block.prior, z).double()
        else:
            rate = exact.reshape(len(self.block), -1).sum(1).expand_as(distortion)
        return distortion, rate

    def noise(
        self, event: tuple[int, ...], samples: int, stream: str, level: bool = False
    ) -> Float[Tensor, "S B *event"]:
        """Standard normal noise of each example; the second half mirrors the first, whose directions are orthogonal.

        Each sample alone is as any other noise; together they miss no direction (Yu et al. 2016).

        Args:
            event: Shape of the noise of one sample.
            samples: S, an even number.
            stream: What it is for: other purposes get other noise.
            level: All of the length that is usual: right for quadratics only, but with less noise of its own.
        """
        raw = noise(self.block.index, samples // 2, event, self.seed, stream)
        columns = raw.flatten(2).permute(1, 2, 0)  # (B, n, S / 2)
        ways = torch.cat([torch.linalg.qr(some)[0] for some in columns.split(columns.shape[1], -1)], -1)
        length = columns.shape[1] ** 0.5 if level else columns.norm(dim=1, keepdim=True)
        e = (ways * length).permute(2, 0, 1).reshape(raw.shape)
        return torch.cat([e, -e])

    def look(self, q: Distribution, z: Tensor) -> Look:
        """The negative ELBO at z."""
        distortion, rate = self.halves(q, z)
        if exact_kl(q, self.block.prior) is None:
            return Look(distortion, rate, torch.zeros_like(rate))
        log_q = in_double(q).log_prob(z.double() if z.is_floating_point() else z)
        varies = log_q - log_density(self.block.prior, z).double() - rate
        return Look(distortion, rate, varies.nan_to_num(0, 0, 0))


def gained(before: Look, after: Look) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """What the ELBO gains and its standard error, with one b for each look or one that fits their difference."""
    fall = Look(before.distortion - after.distortion, before.rate - after.rate, before.bracket - after.bracket)
    gains, errors = zip(
        *(paired(*two) for two in ((before.value(), after.value()), (fall.value(), 0 * fall.rate))), strict=True
    )
    error, which = torch.stack(errors).min(0)
    gain = torch.stack(gains).take_along_dim(which[None], 0)[0]
    return gain.nan_to_num(-torch.inf, torch.finfo(gain.dtype).max, -torch.inf), error


def paired(
    before: Float[Tensor, "S B"], after: Float[Tensor, "S B"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """What the mean falls by and its standard error, on the same S / 2 antithetic pairs of noise.

    Example:
        >>> paired(torch.tensor([[3.0], [5.0]]), torch.tensor([[2.0], [2.0]]))
        (tensor([2.]), tensor([0.]))
    """
    fall = _pairs(before - after)
    spread = fall.std(0) if len(fall) > 1 else torch.zeros_like(fall[0])
    return fall.mean(0), (spread / len(fall) ** 0.5).nan_to_num(torch.inf, torch.inf)


@dataclass(frozen=True)
class Look:
    r"""The negative ELBO of a q at S samples for each of B examples, in nats; half of the noise mirrors the other half.

    $$ D(z) + R + b \bigl( \ln q(z) - \ln p(z) - R \bigr) $$

    The bracket is zero on average, so any b is right. With b = 1 nothing varies where q is the posterior; with b = 0
    little does where q is too narrow.

    Args:
        distortion: D.
        rate: R, in closed form where there is one; else the bracket is zero.
        bracket: What varies of the rate.

    Example:
        >>> varies = torch.tensor([[1.0], [-1.0], [3.0], [-2.0]])
        >>> Look(5 - varies, torch.zeros(4, 1), varies).value().flatten().tolist()
        [5.0, 5.0, 5.0, 5.0]
    """

    distortion: Float[Tensor, "S B"]
    rate: Float[Tensor, "S B"]
    bracket: Float[Tensor, "S B"]

    @property
    def b(self) -> Float[Tensor, " B"]:
        """The best b, between 0 and 1."""
        cost, part = (_pairs(value) - _pairs(value).mean(0) for value in (self.distortion, self.bracket))
        weight = -(cost * part).sum(0) / part.square().sum(0)
        return weight.nan_to_num(0, 0, 0).clamp(0, 1)

    def value(self, b: Tensor | None = None) -> Float[Tensor, "S B"]:
        """Of each sample; b is chosen by the same samples unless it is given."""
        return self.distortion + self.rate + (self.b if b is None else b) * self.bracket


def _pairs(value: Tensor) -> Tensor:
    return torch.stack(value.chunk(2)).mean(0)


@dataclass(frozen=True)
class Found:
    """What a search found for each of some examples, in nats.

    Args:
        hint: ELBO gained, by samples that decide whether the refined q is kept.
        gain: ELBO gained, by other samples.
        error: Monte Carlo error of it.
        saved: Distortion saved, by the same samples.
        rate: Of the encoder's q.
        refined: Rate of the refined q.
        ended: Whether the search ended by itself, before the last step that it may take.
    """

    hint: Float[Tensor, " B"]
    gain: Float[Tensor, " B"]
    error: Float[Tensor, " B"]
    saved: Float[Tensor, " B"]
    rate: Float[Tensor, " B"]
    refined: Float[Tensor, " B"]
    ended: Bool[Tensor, " B"]


def found(keep: tuple[Look, Look], gain: tuple[Look, Look], ended: Bool[Tensor, " B"]) -> Found:
    """What was found, by looks at the encoder's q and at the refined one.

    Args:
        keep: Samples that decide.
        gain: Samples that measure.
        ended: Of each example.
    """
    hint = paired(keep[0].value(), keep[1].value())[0]
    gained, error = paired(*(look.value(first.b) for look, first in zip(gain, keep, strict=True)))
    before, after = gain
    saved = (before.distortion - after.distortion).mean(0)
    return Found(hint, gained, error, saved, before.rate.mean(0), after.rate.mean(0), ended)
