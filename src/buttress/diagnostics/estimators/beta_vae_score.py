r"""The beta-VAE score: how well a linear classifier tells which factor pairs of examples share.

Draw a factor k and L pairs of examples, both of a pair having one value of k; from

$$ b = \frac1L \sum_l |v_l - v'_l| $$

the mean difference of the means of q, a logistic regression learns k. The score is its accuracy on new draws: 1 where
the coordinates of v follow the factors, 1/F by chance. Easier than the FactorVAE score: a representation that keeps one
factor in none of its coordinates may still score 1, since what remains is that factor.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Factors
from buttress.diagnostics.estimate import Estimate, share, short
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.factor_vae_score import FEW
from buttress.diagnostics.representation import SameValue, moving, seen

__all__ = ["beta_vae_score"]

POINTS, OBSERVATIONS = 3000, 64
"""Of the classifier, and again of the score; and pairs in each."""
CHUNK = 500
ITERATIONS = 500


def beta_vae_score(
    z: Float[Tensor, "N D"],
    factors: Factors,
    *,
    points: int = POINTS,
    observations: int = OBSERVATIONS,
    seed: int = 0,
) -> Estimate:
    """The score of any representation.

    Its error is that of the draws; another set of examples would add to it.

    Source: Higgins et al., beta-VAE, 2017; 64 pairs as in disentanglement_lib.

    Args:
        z: The representation, such as means of q; coordinates that do not vary are left out.
        factors: Of the same N examples.
        points: Draws for the classifier, and as many for the score.
        observations: L.
        seed: Of the draws.

    Example:
        >>> factors = Factors.of([[a, b, c] for a in range(4) for b in range(4) for c in range(4)])
        >>> beta_vae_score(factors.values.double(), factors).value
        1.0
    """
    generator, f = torch.Generator().manual_seed(seed), len(factors.names)
    method, v, same = f"{points} draws of {observations} pairs, logistic regression", moving(z), SameValue(factors)
    if not same.possible:
        return Estimate(None, None, len(z), method, 1.0, FEW)
    chance = f"{short(1 / f)} by chance, of {f} factors"
    if f < 2 or not v.shape[1]:
        return Estimate(1 / f, None, len(z), method, 1.0, f"no coordinate moves; {chance}" if f > 1 else chance)
    k = torch.randint(f, (2 * points,), generator=generator)
    parts = []
    for part in k.split(CHUNK):
        one, other = v[same.draw(part, 2 * observations, generator)].split(observations, 1)
        parts.append((one - other).abs().mean(1))
    right = _right(torch.cat(parts), k, points)
    return replace(share(right, method, f"{chance}; the error is that of the draws"), n=len(z), ceiling=1.0)


def _right(b: Float[Tensor, "V M"], k: Tensor, points: int) -> Tensor:
    """For each draw after the first ``points`` whether a regression on these finds its factor."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(b[:points].numpy(), k[:points].numpy())
    return torch.from_numpy(regression.predict(b[points:].numpy())) == k[points:]


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The score, where the data have known factors."""
    found = seen(subject)
    return {} if found is None else {"beta_vae_score": beta_vae_score(found.z, found.factors, seed=subject.seed)}
