r"""How narrow q is beside the prior, in the coordinates of z that say something.

$$ r(x) = \exp \sum_j w_j \log \frac{\sigma_{q,j}(x)}{\sigma_{p,j}}, \qquad
   w_j \propto \tfrac12 \log \Bigl(1 + \frac{A_j}{E_x \sigma_{q,j}^2(x)}\Bigr) $$

The weights are what each coordinate says about x if its means are spread normally (A is the variance of these), so one
coordinate of sixteen that is in use decides, and the others, as wide as the prior, do not hide it. Where none says
anything all weigh the same. The median of r over the examples is 1 for a q as wide as the prior, and near 0 where q is
a point; in the linear-Gaussian model with one latent it is $e^{-I}$. The error is a jackknife over tenths of the
examples, since the weights are estimates too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, jackknife
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.passes import passes
from buttress.diagnostics.prior_scale import PriorUnits, variance_of
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import mean_of

__all__ = ["PosteriorScale", "posterior_scale"]

FLOOR = 1e-300
"""A relative variance below it counts as this."""
SAMPLES = 16
"""Of a q that does not know its mean."""


@dataclass(frozen=True)
class PosteriorScale:
    """How narrow q is.

    Args:
        estimate: The median over examples of sigma_q / sigma_p, weighted over coordinates; no unit.
        information: What each coordinate says about x were its means normal, (J,), in nats.

    Example:
        >>> PosteriorScale(Estimate(1.0, 0.0, 10, "known moments"), torch.zeros(2)).information.sum().item()
        0.0
    """

    estimate: Estimate
    information: Float[Tensor, " J"]


def posterior_scale(model: Model, batches: Batches, *, seed: int = 0) -> PosteriorScale:
    """Measure it over all of the data.

    Args:
        model: Keeps the protocol; z is made of real numbers.
        batches: Held-out data, all of which is used.
        seed: Matters only where q or the prior do not know their moments.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)  # Var[z|x] = 1/3
        >>> print(posterior_scale(model.vae(), [model.sample(500)[0]]).estimate)
        0.577
    """
    rows, units = [], PriorUnits(seed)
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches):
            loc, scale = units.of(block.prior)
            middle = mean_of(block.q)
            middle = draw(block.q, block.index, SAMPLES, seed, "middle of q").mean(0) if middle is None else middle
            variance = variance_of(block.q, block.index, seed) / scale.square()
            both = torch.stack([(middle - loc) / scale, variance.clamp(min=FLOOR)])
            rows.append(both.reshape(2, len(block), -1).cpu())
    means, variances = torch.cat(rows, 1)
    n = len(means)
    error = jackknife(lambda keep: _median(means[keep], variances[keep]), n)
    note = "no nats: sd of q beside that of the prior, 1 where z says nothing"
    value = _median(means, variances).item()
    return PosteriorScale(
        Estimate(value, None if error is None else error.item(), n, "median over examples", note=note),
        _information(means, variances),
    )


def _information(means: Float[Tensor, "N J"], variances: Float[Tensor, "N J"]) -> Float[Tensor, " J"]:
    """What each coordinate says about x were its means normal."""
    return 0.5 * torch.log1p(means.var(0) / variances.mean(0))


def _median(means: Float[Tensor, "N J"], variances: Float[Tensor, "N J"]) -> Tensor:
    """The median of r over some examples."""
    information = _information(means, variances)
    total = information.sum()
    weight = information / total if total > 0 else torch.full_like(information, 1 / len(information))
    return (variances.log() @ weight / 2).exp().quantile(0.5)


@estimator("active units")
def measure(subject: Subject) -> dict[str, Estimate]:
    """How narrow q is beside the prior, where z is made of real numbers."""
    if subject.kept["activity"].discrete:
        return {}
    found = posterior_scale(subject.model, subject.data, seed=subject.seed)
    subject.kept["unit information"] = found.information
    return {"posterior_scale": found.estimate}
