r"""Separated attribute predictability (SAP): is each factor in line with one coordinate more than with any other?

$$ \mathrm{SAP} = \frac1F \sum_k (S_{j_1 k} - S_{j_2 k}), \qquad
   S_{jk} = 1 - \frac{N - 1}{N - K} \, \frac{\sum_n (v_{nj} - \bar v_j(f_{nk}))^2}{\sum_n (v_{nj} - \bar v_j)^2} $$

where $j_1$ and $j_2$ are the coordinates with the largest scores for factor k, $\bar v_j(f)$ is the mean of coordinate
j over examples whose factor has the value f, and K is the number of values. S is the share of a coordinate's variance
that the factor explains, corrected for chance.

For a factor that a coordinate follows along a line S is the paper's $R^2$. The paper scores factors that are names,
such as shapes, by a classifier with thresholds; S serves these too, and needs no fit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from buttress.core import Factors
from buttress.diagnostics.estimate import Estimate, jackknife
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.representation import moving, seen

__all__ = ["separated_attributes"]


def separated_attributes(z: Float[Tensor, "N D"], factors: Factors) -> Estimate:
    """The score of any representation, with an error from leaving out a tenth of the examples in turn.

    Source: Kumar, Sattigeri and Balakrishnan, Variational Inference of Disentangled Latent Concepts, 2018. Deviation:
    the share of variance that a factor explains stands for R^2 and for the accuracy of thresholds.

    Args:
        z: The representation, such as means of q.
        factors: Of the same N examples.

    Example:
        >>> factors = Factors.of([[a, b, c] for a in range(4) for b in range(4) for c in range(4)])
        >>> separated_attributes(factors.values.double(), factors).value
        1.0
    """

    def gap(keep: Tensor) -> Tensor:
        v, some = moving(z[keep]), factors.take(keep)
        scores = [_explained(v, f, size) for f, size in zip(some.values.cpu().T, some.sizes, strict=True)]
        best = torch.cat([torch.stack(scores), torch.zeros(len(scores), 2).double()], 1).topk(2, dim=1).values
        return best[:, 0] - best[:, 1]

    n = len(z)
    whole = gap(torch.arange(n))
    error = jackknife(gap, n)
    best = ", ".join(f"{name} {share:.2f}" for name, share in zip(factors.names, whole.tolist(), strict=True))
    method = "variance explained by each factor"
    return Estimate(whole.mean().item(), None if error is None else error.item(), n, method, 1.0, best)


def _explained(v: Float[Tensor, "N M"], f: Tensor, size: int) -> Float[Tensor, " M"]:
    """The share of the variance of each coordinate that a factor explains, corrected for chance, at least 0."""
    member = one_hot(f, size).double()
    number = member.sum(0)
    means = member.T @ v / number.clamp(min=1)[:, None]
    left = (v - means[f]).square().sum(0) / (v - v.mean(0)).square().sum(0)
    values = int((number > 0).sum())
    return (1 - left * (len(v) - 1) / max(1, len(v) - values)).clamp(min=0)


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The score, where the data have known factors."""
    found = seen(subject)
    return {} if found is None else {"separated_attributes": separated_attributes(found.z, found.factors)}
