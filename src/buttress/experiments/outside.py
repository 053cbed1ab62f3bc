r"""Remedies that act on a loss from outside: what a training function of the user's own is told, and as lines of code.

With K the KL of each example and group, (B, G), and $\bar K_g$ its mean over the batch, the rate becomes

$$ w(t) \sum_g \max(\lambda, \bar K_g) \quad\text{or}\quad w(t) \sum_g \overline{\max(\lambda, K_g)}, $$

and a learned variance turns a squared error into the negative log-likelihood of a Gaussian whose variance is at its
optimum, $\frac{D}{2} (\log 2 \pi s^2 + 1)$ with $s^2$ the mean squared error of the batch (Rybkin et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["OUTSIDE", "Outside", "TrainingWishes", "lines_of"]


@dataclass(frozen=True)
class Outside:
    """A remedy as it acts on the loss of somebody's own training function.

    Args:
        hold: Share of the steps, from the first, in which the rate costs nothing.
        ramp: Share of the steps, after that, in which its weight rises from 0 to 1.
        cycles: How often hold and ramp begin anew; each takes its share of a cycle.
        floor: Nats that each group may cost for free.
        per_example: Whether each example's own rate is compared with the floor, not the mean over the batch.
        variance: Whether a squared error becomes a Gaussian with a learned variance.
    """

    hold: float = 0.0
    ramp: float = 0.0
    cycles: int = 1
    floor: float = 0.0
    per_example: bool = False
    variance: bool = False

    def weight(self, step: int, steps: int) -> float:
        """The weight of the rate at a step of so many.

        Example:
            >>> [Outside(hold=0.25, ramp=0.5).weight(step, 100) for step in (0, 50, 75, 99)]
            [0.0, 0.5, 1.0, 1.0]
        """
        share = self.cycles * step / steps % 1.0
        if share < self.hold:
            return 0.0
        return 1.0 if self.ramp == 0 else min(1.0, (share - self.hold) / self.ramp)


OUTSIDE = {
    "kl_annealing": Outside(ramp=0.3),
    "cyclical_annealing": Outside(ramp=0.5, cycles=4),
    "free_bits": Outside(floor=0.25),
    "calibrated_variance": Outside(variance=True),
    "pretrained_autoencoder": Outside(hold=0.3, ramp=0.3, floor=0.5, per_example=True),
}
"""By the names of the catalogue. ``pretrained_autoencoder`` keeps the decoder of the first phase, since from outside it
is not known how to draw it anew; the remedy of the catalogue resets it."""


@dataclass(frozen=True)
class TrainingWishes:
    """What a training function is told: how long to train, and what becomes of the two terms of its loss.

    Args:
        steps: Steps to make.
        remedy: One of :data:`OUTSIDE`, or "none", under which both terms stay what they are.

    Example:
        >>> import torch
        >>> kl = torch.full((8, 2), 0.1)
        >>> TrainingWishes(100, "free_bits").rate(kl, step=0), TrainingWishes(100).rate(kl, step=0)
        (tensor(0.5000), tensor(0.2000))
    """

    steps: int
    remedy: str = "none"

    @property
    def outside(self) -> Outside:
        """What acts."""
        return OUTSIDE.get(self.remedy, Outside())

    def batches(self, loader: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """(step, batch) for every step, over and over the loader.

        Errors:
            ValueError: The loader is empty.
        """
        step = 0
        while step < self.steps:
            before = step
            for batch in loader:
                if step == self.steps:
                    return
                yield step, batch
                step += 1
            if step == before:
                raise ValueError("the loader gave no batch; wanted at least one")

    def rate(self, kl: Float[Tensor, "..."], step: int) -> Float[Tensor, ""]:
        """The rate as the loss should have it: the mean over examples of the sum over groups, under the remedy.

        Args:
            kl: Of each example and each dimension of z, in nats, neither summed nor averaged.
            step: From 0.

        Errors:
            ValueError: It was averaged or summed to one number already.
        """
        if kl.dim() == 0:
            raise ValueError(
                "settings.rate: got one number, wanted the KL of each example and dimension of z, (B, G), neither "
                "summed nor averaged"
            )
        each, how = kl.reshape(len(kl), -1), self.outside
        if how.floor:
            paid = each.clamp_min(how.floor).mean(0) if how.per_example else each.mean(0).clamp_min(how.floor)
        else:
            paid = each.mean(0)
        return how.weight(step, self.steps) * paid.sum()

    def distortion(self, own: Float[Tensor, ""], recon: Shaped[Tensor, " *x"], x: Tensor) -> Float[Tensor, ""]:
        """The distortion as the loss should have it.

        Args:
            own: The loss of the reconstruction as the training function has it.
            recon: The reconstruction.
            x: What was to be reconstructed, (B, ...).
        """
        if not self.outside.variance:
            return own
        square = (recon.reshape(x.shape) - x).square().mean()
        return 0.5 * x[0].numel() * (square.clamp_min(1e-12).log() + 1 + math.log(2 * math.pi))


def lines_of(name: str, steps: int) -> str:
    """The lines of code that put a remedy into a loss.

    Args:
        name: One of :data:`OUTSIDE`.
        steps: Of training.

    Example:
        >>> print(lines_of("kl_annealing", 1000))
        # kl: (B, G), the KL of each example and dimension of z; step counts from 0
        weight = min(1.0, step / 300)
        loss = distortion + weight * kl.mean(0).sum()
    """
    how = OUTSIDE[name]
    lines = ["# kl: (B, G), the KL of each example and dimension of z; step counts from 0"]
    if how.variance:
        lines += [
            "square = (recon - x).square().mean()  # the variance of the likelihood is at its optimum",
            "distortion = 0.5 * x[0].numel() * (square.log() + 1 + math.log(2 * math.pi))",
        ]
    paid = "kl.mean(0)"
    if how.floor:
        paid = f"kl.clamp_min({how.floor:g}).mean(0)" if how.per_example else f"kl.mean(0).clamp_min({how.floor:g})"
    if not how.ramp:
        return "\n".join([*lines, f"loss = distortion + {paid}.sum()"])
    cycle = steps // how.cycles
    hold, ramp = round(how.hold * cycle), max(1, round(how.ramp * cycle))
    now = "step" if how.cycles == 1 else f"step % {cycle}"
    past = f"({now} - {hold})" if hold else (f"({now})" if how.cycles > 1 else now)
    weight = f"min(1.0, {past} / {ramp})"
    lines.append(f"weight = max(0.0, {weight})" if hold else f"weight = {weight}")
    return "\n".join([*lines, f"loss = distortion + weight * {paid}.sum()"])
