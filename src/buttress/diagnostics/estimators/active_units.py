r"""Which coordinates of z move with x.

$$ A_j = \operatorname{Var}_x\bigl(E_{q(z|x)}[z_j]\bigr), \qquad j \text{ is active} \iff A_j > 0.01 $$

Burda et al. 2016. The means of q are used: noise of samples would count dead units as active. Where
a family does not know its mean, the covariance of two independent sample means has the same expectation.

Burda's threshold is for a prior N(0, I). So z is measured in units of the prior, $(z_j - m_j) / s_j$ with the prior's
mean and standard deviation: under N(0, I) the count is the published one, and under any other prior it does not change
where z is rescaled together with it. Of a prior that depends on what is given, only what moves beyond it counts.

The number of a code is a name and no quantity, so where z is discrete its means are those of the one-hot code:

$$ A_j = \sum_k \operatorname{Var}_x\bigl(q(z_j = k|x)\bigr), \qquad
   \text{for a point c(x)} \quad A_j = \frac{N}{N - 1} \Bigl(1 - \sum_k p_k^2\Bigr) $$

with $p_k$ the share of code k at place j: the chance that two examples differ there. A place whose code never changes
has 0 and is not active, however many codes the codebook has.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, Moments
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.passes import one_hot_vectors, passes
from buttress.diagnostics.prior_scale import PriorUnits
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.thresholds import ACTIVE_VARIANCE
from buttress.distributions.code_counts import CodeCounts
from buttress.distributions.inspect import categorical, is_discrete, mean_of, point

__all__ = ["Activity", "active_units", "activity", "count_active", "discrete"]

SAMPLES = 8
"""In each of the two independent sample means, where q does not know its mean."""


@dataclass(frozen=True)
class Activity:
    """How the coordinates of z move with x.

    Args:
        variance_of_mean: A_j of every coordinate of z, flattened, (J,), beside the variance of the prior. The whole
            curve: no threshold is in it.
        n: Number of examples.
        method: "means of q", "covariance of sample means", or "one-hot codes" for a q that is a point on codes.
        codes: How often each place takes each code, where q is a point on codes.
        discrete: Whether z has finitely many values, so that it has no width.

    Example:
        >>> import torch
        >>> found = Activity(torch.tensor([0.9, 0.001]), n=100, method="means of q")
        >>> count_active(found).value, count_active(found).note
        (1.0, "coordinates, of 2, with variance > 0.01 of the prior's")
    """

    variance_of_mean: Float[Tensor, " J"]
    n: int
    method: str
    codes: CodeCounts | None = None
    discrete: bool = False


def activity(model: Model, batches: Batches, *, seed: int = 0) -> Activity:
    """Measure the variance curve over all of the data.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, all of which is used.
        seed: Matters only where q does not know its mean.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> found = activity(model, [model.sample(2000)[0]])
        >>> round(found.variance_of_mean.item(), 2)  # Var E[z|x] = 1 - Var[z|x] = 2/3
        0.66
    """
    one, other, cross, codes = Moments(), Moments(), Moments(), CodeCounts()
    exact, units = True, PriorUnits(seed)
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches):
            q = block.q
            loc, scale = (0.0, 1.0) if discrete(q) else units.of(block.prior)
            if (value := point(q)) is not None:
                codes.add(block.counted(value.reshape(len(block), -1)))
                continue
            middle = _middle(q)
            exact = exact and middle is not None
            a, b = (
                (middle, middle)
                if middle is not None
                else draw(q, block.index, 2 * SAMPLES, seed, "active").unflatten(0, (2, SAMPLES)).mean(1)
            )
            a, b = ((part - loc).div(scale).reshape(len(block), -1) for part in (a.double(), b.double()))
            one.add(a)
            other.add(b)
            cross.add(a + b)
    if codes.n:
        return Activity(codes.difference, codes.n, "one-hot codes", codes, discrete=True)
    covariance = (cross.variance - one.variance - other.variance) / 2
    curve = one.variance if exact else covariance
    if (base := categorical(q)) is not None:
        curve = curve.reshape(-1, base.logits.shape[-1]).sum(1)
    how = "means of q" if exact else "covariance of sample means"
    return Activity(curve, one.n, how, discrete=discrete(q))


def discrete(q: Distribution) -> bool:
    """Whether q is over codes, one-hot vectors or other whole numbers.

    Example:
        >>> from torch.distributions import Bernoulli, Normal
        >>> discrete(Bernoulli(0.5)), discrete(Normal(0.0, 1.0))
        (True, False)
    """
    try:
        whole = bool(getattr(q.support, "is_discrete", False))
    except (NotImplementedError, AttributeError):
        whole = False
    return whole or is_discrete(q) or one_hot_vectors(q) is not None


def _middle(q: Distribution) -> Tensor | None:
    """E_q[z], that of the one-hot code where z is discrete, or None where it is not known."""
    base = categorical(q)
    return mean_of(q) if base is None else base.probs


def active_units(model: Model, batches: Batches, *, threshold: float = ACTIVE_VARIANCE, seed: int = 0) -> Estimate:
    """The number of coordinates with A_j above a threshold.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, all of which is used.
        threshold: Beside the variance of the prior.
        seed: Matters only where q does not know its mean.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> weight = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double()  # the second coordinate of z reaches nothing
        >>> model = LinearGaussian(weight, torch.zeros(2).double(), 1.0)
        >>> active_units(model.vae(), [model.sample(100)[0]]).value
        1.0
    """
    found = activity(model, batches, seed=seed)
    return count_active(found, threshold)


def count_active(found: Activity, threshold: float = ACTIVE_VARIANCE) -> Estimate:
    """The count of a measured curve.

    Args:
        found: The curve, beside the variance of the prior.
        threshold: Beside the variance of the prior.

    Example:
        >>> import torch
        >>> count_active(Activity(torch.tensor([0.9, 0.001]), 100, "means of q"), threshold=1e-4).value
        2.0
    """
    total = len(found.variance_of_mean)
    count = int((found.variance_of_mean > threshold).sum())
    return Estimate(
        float(count),
        None,
        found.n,
        found.method,
        float(total),
        f"coordinates, of {total}, with variance > {threshold} of the prior's",
    )


@estimator("active units")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The count of active coordinates."""
    found = subject.kept["activity"] = activity(subject.model, subject.data, seed=subject.seed)
    return {"active_units": count_active(found)}
