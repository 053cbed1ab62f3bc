r"""The FactorVAE score: does the coordinate that stays still tell which factor was held fixed?

Draw a factor k and L examples that share its value. Of the coordinates of v, the means of q, that vary over the data,

$$ d^* = \arg\min_j \operatorname{Var}_{l}(v_{lj}) / s_j^2 $$

is the one that varies least among these L, in units of its variance over all data. A classifier learns for each
$d^*$ the factor that it votes for most often; the score is how often that is right for new draws. It is 1 where each
factor has a coordinate of its own, and 1/F by chance.

A factor spread over several coordinates costs nothing, as long as one of them is still when it is; nor does a
coordinate that no factor moves, if it is not still by itself. The score is generous: it asks which coordinate moves
least, not that others move more, and of random rotations of five factors half score 0.87 and more.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Factors
from buttress.diagnostics.estimate import Estimate, share, short
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.representation import SameValue, moving, seen

__all__ = ["FEW", "factor_vae_score"]

VOTES, OBSERVATIONS = 5000, 64
"""Of the classifier, and again of the score; and examples in each."""
CHUNK = 500
"""Votes at a time."""
FEW = "a factor has no value that enough examples share"


def factor_vae_score(
    z: Float[Tensor, "N D"],
    factors: Factors,
    *,
    votes: int = VOTES,
    observations: int = OBSERVATIONS,
    seed: int = 0,
) -> Estimate:
    """The score of any representation.

    Its error is that of the votes; another set of examples would add to it.

    Source: Kim and Mnih, Disentangling by Factorising, 2018; 64 examples in a vote and coordinates left out as in
    disentanglement_lib.

    Args:
        z: The representation, such as means of q; coordinates that do not vary are left out.
        factors: Of the same N examples.
        votes: Draws for the classifier, and as many for the score.
        observations: L.
        seed: Of the draws.

    Example:
        >>> factors = Factors.of([[a, b, c] for a in range(4) for b in range(4) for c in range(4)])
        >>> factor_vae_score(factors.values.double(), factors).value
        1.0
    """
    generator, f = torch.Generator().manual_seed(seed), len(factors.names)
    method, still = f"{votes} votes of {observations} examples", moving(z)
    same = SameValue(factors)
    if not same.possible:
        return Estimate(None, None, len(z), method, 1.0, FEW)
    chance = f"{short(1 / f)} by chance, of {f} factors"
    if not still.shape[1]:
        return Estimate(1 / f, None, len(z), method, 1.0, f"no coordinate moves; {chance}")
    k = torch.randint(f, (2 * votes,), generator=generator)
    least = torch.cat([still[same.draw(part, observations, generator)].var(1).argmin(1) for part in k.split(CHUNK)])
    table = torch.bincount(least[:votes] * f + k[:votes], minlength=still.shape[1] * f).view(-1, f)
    right = table.argmax(1)[least[votes:]] == k[votes:]
    return replace(share(right, method, f"{chance}; the error is that of the votes"), n=len(z), ceiling=1.0)


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The score, where the data have known factors."""
    found = seen(subject)
    return {} if found is None else {"factor_vae_score": factor_vae_score(found.z, found.factors, seed=subject.seed)}
