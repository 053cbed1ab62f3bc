r"""The amortisation gap: what the encoder loses by not finding the best q of its family for each example.

$$ \Delta(x) = \max_{\lambda} \mathrm{ELBO}(x; q_\lambda) - \mathrm{ELBO}(x; q(z|x)) $$

Cremer et al. 2018. The decoder and the prior are frozen. How q is searched for depends on its family:
:mod:`buttress.diagnostics.search.gaussian` and :mod:`buttress.diagnostics.search.discrete`. The search of an example
ends when it gains nothing more; where the last step allowed came first, that is said, and the gap is at least what
was found.

Whether the refined q is kept is decided, for each example by itself, on other samples than those that measure the
gain: so the gain is not optimistic. It is a lower bound of the gap in any case.

If the decoder ignores z nothing is gained but rate; if it would use z but q does not tell it, the gap is large and the
decoder gains: then inference lags behind (He et al. 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import NO_DENSITY, Estimate, mean, quantile, share
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, decode, draw, evaluating
from buttress.diagnostics.passes import Block, Encoded, count, passes
from buttress.diagnostics.protocol import Batches, Conditional, Model
from buttress.diagnostics.search.discrete import DiscreteSearch, codes
from buttress.diagnostics.search.family import family
from buttress.diagnostics.search.gaussian import GaussianSearch
from buttress.diagnostics.search.task import Found, Task
from buttress.diagnostics.telling import prefixed, silent
from buttress.diagnostics.thresholds import LAG_NATS
from buttress.distributions.inspect import factors, point
from buttress.runtime.memory import pairs_at_once

__all__ = ["REPORTED", "RefinementGain", "amortisation_gap", "refinement"]


@dataclass(frozen=True)
class RefinementGain:
    """What refining q changes for each of N examples, in nats.

    Args:
        gain: ELBO gained.
        error: Monte Carlo error of it.
        saved: Distortion saved: what the decoder makes of the better q.
        refined_rate: Rate of the refined q.
        ended: Whether the search ended by itself.
        steps: Most steps it might take.
        method: How it was measured.
        obstacle: Why nothing was, or nothing.

    Example:
        >>> one, none = torch.ones(4), torch.zeros(4)
        >>> found = RefinementGain(1.5 * one, none, one, one, torch.tensor([True, True, True, False]), 100, "Adam")
        >>> print(found.gap, "|", found.gap.note)
        1.5 | at least: the search had not ended for 25 % of the examples after 100 steps
    """

    gain: Float[Tensor, " N"]
    error: Float[Tensor, " N"]
    saved: Float[Tensor, " N"]
    refined_rate: Float[Tensor, " N"]
    ended: Bool[Tensor, " N"]
    steps: int
    method: str
    obstacle: str = ""

    @property
    def gap(self) -> Estimate:
        """ELBO gained."""
        return self.estimates["amortisation_gap"]

    @property
    def decoder_gain(self) -> Estimate:
        """Distortion saved."""
        return self.estimates["decoder_gain"]

    @property
    def rate(self) -> Estimate:
        """Rate of the refined q."""
        return self.estimates["refined_rate"]

    @property
    def note(self) -> str:
        """How far the search came."""
        unfinished = 1 - self.ended.double().mean().item()
        if not unfinished:
            return "a lower bound; the search ended by itself for every example"
        return (
            f"at least: the search had not ended for {unfinished:.0%} of the examples after {self.steps} steps".replace(
                "%", " %"
            )
        )

    @property
    def estimates(self) -> dict[str, Estimate]:
        """All that is reported of it, by name."""
        if self.obstacle:
            return {name: Estimate(None, None, len(self.saved), "search", note=self.obstacle) for name in REPORTED}
        gain, method, note = self.gain, self.method, self.note
        certain = gain - 2 * self.error > LAG_NATS
        spread = f"{note}; the gains of single examples are spread by their Monte Carlo error too"
        lag = f"not nats: share of the examples whose gain is above {LAG_NATS} nats by two Monte Carlo errors"
        found = (
            mean(gain, method, note=note),
            quantile(gain, 0.5, method, note),
            quantile(gain, 0.05, method, spread),
            quantile(gain, 0.95, method, spread),
            share(certain, method, lag),
            share(~self.ended, method, f"not nats: share of the examples still searching after {self.steps} steps"),
            mean(self.saved, method, note="distortion that the decoder saves with the refined q"),
            quantile(self.saved, 0.5, method, "distortion that the decoder saves with the refined q"),
            mean(self.refined_rate, method, note="rate of the refined q"),
        )
        return dict(zip(REPORTED, found, strict=True))


REPORTED = (
    "amortisation_gap",
    "amortisation_gap_median",
    "amortisation_gap_p05",
    "amortisation_gap_p95",
    "amortisation_gap_share",
    "gap_unfinished",
    "decoder_gain",
    "decoder_gain_median",
    "refined_rate",
)
"""Names of the estimates."""


def refinement(
    model: Model,
    batches: Batches,
    *,
    steps: int = 100,
    examples: int | None = 200,
    learning_rate: float = 0.1,
    samples: int = 16,
    seed: int = 0,
    weight: float = 1.0,
) -> RefinementGain:
    """Refine q for each example and measure the gain.

    Args:
        model: Keeps the protocol; q of a Gaussian family (a product of normals, a multivariate normal, one of low
            rank) or a product of categoricals.
        batches: Held-out data.
        steps: At most so many gradients, with one antithetic pair of samples each. Most searches end earlier.
        examples: At most so many: a random choice of the data where there is more. None for all.
        learning_rate: First step size of Adam, in standard deviations of q.
        samples: Fresh samples per example, in antithetic pairs, that measure the gain, and as many that decide what
            to keep.
        seed: Of the choice and the noise.
        weight: Of the rate: the best q of distortion + weight rate is searched for. What is gained is that sum over the
            weight, what the decoder saves stays in nats.

    Errors:
        ValueError: steps is below 1, or samples is not an even number.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> lagging = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0).lagging()  # q = p(z)
        >>> x, _ = lagging.model.sample(50)
        >>> found = refinement(lagging, [x])
        >>> print(found.gap, "of", round(lagging.amortisation_gap(x).mean().item(), 2))  # in closed form
        1.3 ± 0.2 of 1.26
    """
    if steps < 1 or samples < 2 or samples % 2:
        raise ValueError(
            f"amortisation gap: got {steps} steps and {samples} samples, wanted 1 or more steps and 2, 4, 6 ... samples"
        )
    rows: list[Found] = []
    tell = batches.tell if isinstance(batches, Encoded) else silent
    with evaluating(model, seed) as asked, torch.backends.cudnn.flags(enabled=False):  # no backward in eval mode
        n = count(batches)
        chosen = choose(n, examples, seed)
        blocks = passes(asked, batches, keep=chosen, joined=True)
        for block in (part for whole in blocks for part in whole.split(max(1, pairs_at_once(whole.x) // 2))):
            wanted, done = n if chosen is None else len(chosen), sum(len(row.hint) for row in rows)
            which = f"the best q of examples {done + 1:,} to {done + len(block):,} of {wanted:,}"
            search = _search(Task(asked, block, seed, weight, prefixed(tell, which)), steps, learning_rate)
            if isinstance(search, str):
                return _none(wanted, search)
            rows.append(search.run(samples))
    exact = isinstance(search, DiscreteSearch) and search.small
    how = "every value of z tried" if exact else f"at most {steps} steps"
    method = f"{how}, {sum(len(row.hint) for row in rows)} examples; {samples} fresh samples"
    return _kept(rows, steps, method, weight)


def _kept(rows: list[Found], steps: int, method: str, weight: float) -> RefinementGain:
    """The gain where the refined q is kept, and nothing elsewhere."""
    hint, gain, error, saved, rate, refined, ended = (
        torch.cat([getattr(row, name) for row in rows]).cpu()
        for name in ("hint", "gain", "error", "saved", "rate", "refined", "ended")
    )
    keep = hint > 0
    gain, error, saved = (torch.where(keep, value, 0) for value in (gain, error, saved))
    return RefinementGain(gain, error, weight * saved, torch.where(keep, refined, rate), ended, steps, method)


def amortisation_gap(model: Model, batches: Batches, **settings: Any) -> Estimate:
    """The ELBO gained by refining q for each example; the settings are those of :func:`refinement`.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> print(amortisation_gap(model.vae(), [model.sample(20)[0]], steps=5))  # q is exact: nothing to gain
        0
    """
    return refinement(model, batches, **settings).gap


def _none(n: int, why: str) -> RefinementGain:
    nothing = torch.full((n,), math.nan)
    return RefinementGain(nothing, nothing, nothing, nothing, torch.zeros(n, dtype=torch.bool), 0, "", why)


def _search(task: Task, steps: int, learning_rate: float) -> GaussianSearch | DiscreteSearch | str:
    """The search that fits q, or why there is none."""
    q = task.block.q
    if point(q) is not None:
        return (
            "q is a point on codes: no gradient leads from one code to a better one, and trying all codes at all "
            "places is too costly"
        )
    if (product := codes(q)) is not None:
        search = DiscreteSearch(task, product, steps)
        return search.obstacle or search
    if (place := family(q)) is None:
        name = type(factors(q)).__name__
        return f"a q of type {name} cannot be refined; only Gaussian families and products of categoricals can"
    return _blind(task.model, task.block, q, task.seed) or GaussianSearch(task, place, steps, learning_rate)


def _blind(model: Conditional, block: Block, q: Distribution, seed: int) -> str:
    """Whether the decoder hides its gradient."""
    with torch.enable_grad():
        z = draw(q, block.index, 2, seed, "probe").detach().requires_grad_()
        value = decode(model, block.x, z, block.given)
    if value.requires_grad or torch.equal(value, decode(model, block.x, z.detach().roll(1, 0), block.given)):
        return ""
    return "log_likelihood depends on z but gives no gradient for it; remove torch.no_grad or detach inside"


@estimator("amortisation gap")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What refining q for each example gains."""
    steps, examples = subject.settings["gap_steps"], subject.settings["gap_examples"]
    if not steps:
        return {}
    if not subject.model.density:
        return {"amortisation_gap": NO_DENSITY}
    return refinement(subject.model, subject.data, steps=steps, examples=examples, seed=subject.seed).estimates
