r"""The amortisation gap: what the encoder loses by not finding the best q of its family for each example.

$$ \Delta(x) = \max_{\lambda} \mathrm{ELBO}(x; q_\lambda) - \mathrm{ELBO}(x; q(z|x)) $$

Cremer et al. 2018. The decoder and the prior are frozen. q is refined by Adam from where the encoder put it, with fresh
antithetic noise at every step and a step size that falls to zero. Whether the refined q is kept is decided, for each
example and for all together, on other samples than those that measure the gain: so the gain is not optimistic, and zero
where there is nothing to gain. It is a lower bound of the gap, since the search may not have arrived.

If the decoder ignores z nothing is gained but rate; if it would use z but q does not tell it, the gap is large and the
decoder gains: then inference lags behind (He et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from buttress.diagnostics.estimate import NO_DENSITY, Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.rate import exact_kl
from buttress.diagnostics.evaluation import at, choose, decode, draw, evaluating
from buttress.diagnostics.passes import Block, count, passes
from buttress.diagnostics.protocol import Batches, Conditional, Model
from buttress.distributions.inspect import factors, log_density, normal, point
from buttress.runtime.memory import pairs_at_once
from buttress.runtime.randomness import noise

__all__ = ["RefinementGain", "amortisation_gap", "refinement"]

SMALLEST_UNIT = 0.1
"""In prior standard deviations: the mean of a very narrow q must be able to move too."""
FLAT = 1e-3
"""Adam's epsilon, in nats: slopes below it are noise, not news, and must not be blown up to full steps."""


@dataclass(frozen=True)
class RefinementGain:
    """What refining q for each example changes, in nats per example.

    Args:
        gap: ELBO gained.
        decoder_gain: Distortion saved: what the decoder makes of the better q.
        rate: Rate of the refined q.

    Example:
        >>> nothing = Estimate(0.0, 0.0, 10, "closed form")
        >>> print(RefinementGain(gap=Estimate(1.5, 0.1, 10, "Adam"), decoder_gain=nothing, rate=nothing).gap)
        1.5 ± 0.1
    """

    gap: Estimate
    decoder_gain: Estimate
    rate: Estimate


def refinement(
    model: Model,
    batches: Batches,
    *,
    steps: int = 100,
    examples: int | None = 200,
    learning_rate: float = 0.1,
    samples: int = 16,
    seed: int = 0,
) -> RefinementGain:
    """Refine q for each example and measure the gain.

    Args:
        model: Keeps the protocol; q a product of normals or a multivariate normal.
        batches: Held-out data.
        steps: Of Adam, with one antithetic pair of samples each.
        examples: At most so many: a random choice of the data where there is more. None for all.
        learning_rate: First step size, in standard deviations of q.
        samples: Fresh samples per example, in antithetic pairs, that measure the gain, and as many that decide what
            to keep.
        seed: Of the choice and the noise.

    Errors:
        ValueError: steps is below 1, or samples is not an even number.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> lagging = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0).lagging()  # q = p(z)
        >>> x, _ = lagging.model.sample(50)
        >>> found = refinement(lagging, [x], steps=40)
        >>> print(found.gap, "of", round(lagging.amortisation_gap(x).mean().item(), 2))  # in closed form
        1.29 ± 0.2 of 1.26
    """
    if steps < 1 or samples < 2 or samples % 2:
        raise ValueError(
            f"amortisation gap: got {steps} steps and {samples} samples, wanted 1 or more steps and 2, 4, 6 ... samples"
        )
    rows: list[tuple[Tensor, ...]] = []
    with evaluating(model, seed) as asked, torch.backends.cudnn.flags(enabled=False):  # no backward in eval mode
        n = count(batches)
        chosen = choose(n, examples, seed)
        blocks = passes(asked, batches, keep=chosen, joined=True)
        for block in (part for whole in blocks for part in whole.split(max(1, pairs_at_once(whole.x) // 2))):
            search = _Search(asked, block, seed)
            if search.obstacle:
                return _none(n if chosen is None else len(chosen), search.obstacle)
            rows.append(search.measure(search.run(steps, learning_rate), samples))
    hint, saved, rate, refined = (torch.cat(column).cpu() for column in zip(*rows, strict=True))
    keep = (hint > 0) & _convincing(hint)
    saved, refined = torch.where(keep, saved, 0), torch.where(keep, refined, rate)
    method = f"Adam, {steps} steps of {learning_rate} on {len(rate)} examples; {samples} fresh samples"
    return RefinementGain(
        mean(saved + rate - refined, method, note="a lower bound: the search may not have arrived"),
        mean(saved, method, note="distortion that the decoder saves with the refined q"),
        mean(refined, method, note="rate of the refined q"),
    )


def _convincing(gain: Float[Tensor, " N"]) -> bool:
    """Whether the search gained anything at all: more than two standard errors."""
    return bool(gain.mean() > (2 * gain.std() / len(gain) ** 0.5 if len(gain) > 1 else 0))


def amortisation_gap(model: Model, batches: Batches, **settings: Any) -> Estimate:
    """The ELBO gained by refining q for each example; the settings are those of :func:`refinement`.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> print(amortisation_gap(model.vae(), [model.sample(20)[0]], steps=5))  # q is exact: nothing to gain
        0 ± 0
    """
    return refinement(model, batches, **settings).gap


def _none(n: int, why: str) -> RefinementGain:
    nothing = Estimate(None, None, n, "Adam", note=why)
    return RefinementGain(nothing, replace(nothing), replace(nothing))


class _Search:
    """The search of a few examples for their own q."""

    def __init__(self, model: Conditional, block: Block, seed: int) -> None:
        self.model, self.x, self.given, self.index, self.seed = model, block.x, block.given, block.index, seed
        self.start, self.prior = block.q, block.prior
        self.unit = _unit(self.start, self.prior)
        self.obstacle = self._obstacle()

    def _obstacle(self) -> str:
        """Why this q cannot be refined, or nothing."""
        if point(self.start) is not None:
            return (
                "q is a point on codes: no gradient leads from one code to a better one, and trying all codes at all "
                "places is too costly"
            )
        if normal(self.start) is None and type(self.start) is not MultivariateNormal:
            return f"a q of type {type(factors(self.start)).__name__} cannot be refined; only Gaussian families can"
        with torch.enable_grad():
            z = draw(self.start, self.index, 2, self.seed, "probe").detach().requires_grad_()
            value = decode(self.model, self.x, z, self.given)
        if value.requires_grad or torch.equal(value, decode(self.model, self.x, z.detach().roll(1, 0), self.given)):
            return ""
        return "log_likelihood depends on z but gives no gradient for it; remove torch.no_grad or detach inside"

    def run(self, steps: int, learning_rate: float) -> Distribution:
        """The q after ``steps`` of Adam."""
        moving = [torch.zeros_like(t).requires_grad_() for t in _shifts(self.start)]
        averages = [torch.zeros_like(shift) for shift in moving]
        adam = torch.optim.Adam(moving, lr=learning_rate, eps=FLAT)
        for step in range(steps):
            adam.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
            with torch.enable_grad():
                gradients = torch.autograd.grad(self._loss(moving, step), moving, allow_unused=True)
            for shift, gradient in zip(moving, gradients, strict=True):
                shift.grad = gradient
            adam.step()
            for average, shift in zip(averages, moving, strict=True):  # of the last half: what is left of the noise
                average += shift.detach() * (step >= steps // 2) / (steps - steps // 2)
        return _shifted(self.start, averages, self.unit)

    def _loss(self, moving: list[Tensor], step: int) -> Float[Tensor, ""]:
        """The negative ELBO at an antithetic pair: for a quadratic decoder noise leaves the mean's slope alone."""
        q = _shifted(self.start, moving, self.unit)
        e = noise(self.index, 1, q.event_shape, self.seed, f"refine {step}")
        z = at(q, torch.cat([e, -e]))
        # without a closed form the rate falls along z alone: the slope of log q itself is zero on average, pure noise
        distortion, rate = self._halves(q, z, _shifted(self.start, [shift.detach() for shift in moving], self.unit))
        return (distortion + rate).mean(0).sum()

    def _halves(self, q: Distribution, z: Tensor, density: Distribution | None = None) -> tuple[Tensor, Tensor]:
        """Distortion (S, B) and rate, (B,) or (S, B); ``density`` is q, where its gradient must be another."""
        exact = exact_kl(q, self.prior)
        rate = (
            (density or q).log_prob(z) - log_density(self.prior, z)
            if exact is None
            else exact.reshape(len(self.x), -1).sum(1)
        )
        return -decode(self.model, self.x, z, self.given), rate.double()

    def measure(self, end: Distribution, samples: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gain by samples that only decide, then by others: distortion saved, rate at the start, rate at the end."""
        hints = [sum(self._fresh(q, samples, "keep")) for q in (self.start, end)]
        (before, rate), (after, refined) = (self._fresh(q, samples, "gain") for q in (self.start, end))
        rate, refined = (r.expand_as(before).mean(0) for r in (rate, refined))
        return torch.as_tensor(hints[0] - hints[1]).mean(0), (before - after).mean(0), rate, refined

    def _fresh(self, q: Distribution, samples: int, stream: str) -> tuple[Tensor, Tensor]:
        """Distortion and rate at antithetic samples."""
        e = noise(self.index, samples // 2, q.event_shape, self.seed, stream)
        return self._halves(q, at(q, torch.cat([e, -e])))


def _unit(q: Distribution, p: Distribution) -> Tensor:
    """How far one unit of shift moves the mean: a standard deviation of q, if that is not tiny beside the prior's."""
    base, prior = normal(q), normal(p)
    scale = (
        base.scale if base is not None else q.variance.sqrt() if isinstance(q, MultivariateNormal) else torch.ones(())
    )
    wide = prior.scale if prior is not None else torch.ones_like(scale)
    return torch.maximum(scale, SMALLEST_UNIT * wide)


def _shifts(q: Distribution) -> list[Tensor]:
    """What can be shifted: mean and log-scale; of a multivariate normal also the triangle below."""
    if isinstance(q, MultivariateNormal):
        return [q.loc, q.loc, q.scale_tril]
    base = normal(q)
    assert base is not None  # the caller has looked
    return [base.loc, base.scale]


def _shifted(q: Distribution, shifts: list[Tensor], unit: Tensor) -> Distribution:
    """q with its parameters shifted; at zero it is q."""
    if isinstance(q, MultivariateNormal):
        root = q.scale_tril * shifts[1].exp()[..., None] + torch.tril(shifts[2], -1) * unit[..., None]
        return MultivariateNormal(q.loc + unit * shifts[0], scale_tril=root, validate_args=False)
    base = normal(q)
    assert base is not None
    moved = Normal(base.loc + unit * shifts[0], base.scale * shifts[1].exp(), validate_args=False)
    return Independent(moved, len(q.event_shape), validate_args=False)


@estimator("amortisation gap")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What refining q for each example gains."""
    steps, examples = subject.settings["gap_steps"], subject.settings["gap_examples"]
    if not steps:
        return {}
    if not subject.model.density:
        return {"amortisation_gap": NO_DENSITY}
    found = refinement(subject.model, subject.data, steps=steps, examples=examples, seed=subject.seed)
    return {"amortisation_gap": found.gap, "decoder_gain": found.decoder_gain, "refined_rate": found.rate}
