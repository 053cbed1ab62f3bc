r"""The mutual information gap (MIG): is each factor told by one coordinate more than by any other?

$$ \mathrm{MIG} = \frac1F \sum_k \frac{I(v_{j_1}; f_k) - I(v_{j_2}; f_k)}{H(f_k)} $$

where $j_1$ and $j_2$ are the two coordinates that tell most of factor k. v are the means of q in bins of equal width,
20 or as many as the factor with most values has; entropies are those of the counts with the correction of Miller and
Madow, (cells in use − 1) / 2N, without which information of a few thousand examples is too large. 1 where each factor
has a coordinate of its own, 0 where two tell it equally well.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Factors
from buttress.diagnostics.estimate import Estimate, jackknife
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.representation import seen

__all__ = ["followed", "information_matrix", "mutual_information_gap"]

BINS = 20
LEAST = 0.1
"""Share of a factor's entropy that a coordinate must tell if it is to be called by it."""


def mutual_information_gap(z: Float[Tensor, "N D"], factors: Factors) -> Estimate:
    """The gap of any representation, with an error from leaving out a tenth of the examples in turn.

    Source: Chen, Li, Grosse and Duvenaud, Isolating Sources of Disentanglement in VAEs, 2018. Deviation: means of q in
    bins, as in disentanglement_lib, where the paper takes samples of q.

    Args:
        z: The representation, such as means of q.
        factors: Of the same N examples.

    Example:
        >>> factors = Factors.of([[a, b, c] for a in range(4) for b in range(4) for c in range(4)])
        >>> mutual_information_gap(factors.values.double(), factors).value
        1.0
    """
    bins = _bins(z, factors)

    def gap(keep: Tensor) -> Tensor:
        return _gap(_information(bins[keep], factors.take(keep)))

    n = len(z)
    whole = gap(torch.arange(n))
    error = jackknife(gap, n)
    best = ", ".join(f"{name} {share:.2f}" for name, share in zip(factors.names, whole.tolist(), strict=True))
    value = whole.mean().item()
    return Estimate(value, None if error is None else error.item(), n, "counts in bins", 1.0, best)


def information_matrix(z: Float[Tensor, "N D"], factors: Factors) -> Float[Tensor, "D F"]:
    """What each coordinate tells of each factor, as a share of the factor's entropy, between 0 and 1.

    Args:
        z: The representation, such as means of q.
        factors: Of the same N examples.

    Example:
        >>> factors = Factors.of([[a, b] for a in range(4) for b in range(4)])
        >>> information_matrix(factors.values.double(), factors).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return _information(_bins(z, factors), factors)


def followed(shares: Float[Tensor, "D F"], names: tuple[str, ...]) -> tuple[str, ...]:
    """The factor that each coordinate tells most of, with that share; "" where it tells hardly any.

    Example:
        >>> followed(torch.tensor([[0.9, 0.2], [0.01, 0.0]]), ("shape", "x"))
        ('shape 0.90', '')
    """
    best, which = shares.max(1)
    return tuple(
        f"{names[k]} {share:.2f}" if share >= LEAST else ""
        for share, k in zip(best.tolist(), which.tolist(), strict=True)
    )


def _bins(z: Float[Tensor, "N D"], factors: Factors) -> Int[Tensor, "N D"]:
    """The number of a bin for each value, all 0 where a coordinate does not vary."""
    number = max(BINS, *factors.sizes)
    low, high = z.double().aminmax(dim=0)
    width = torch.where(high > low, high - low, 1.0)
    return ((z.double() - low) / width * number).long().clamp(max=number - 1)


def _information(bins: Int[Tensor, "N D"], factors: Factors) -> Float[Tensor, "D F"]:
    n, d = bins.shape
    number = int(bins.max()) + 1
    cell = torch.arange(d) * number + bins
    own = _entropy(torch.bincount(cell.flatten(), minlength=d * number).view(d, -1), n)
    columns = []
    for values, size in zip(factors.values.cpu().T, factors.sizes, strict=True):
        both = torch.bincount((cell * size + values[:, None]).flatten(), minlength=d * number * size).view(d, -1)
        whole = _entropy(torch.bincount(values, minlength=size)[None], n)
        columns.append((own + whole - _entropy(both, n)) / whole)
    return torch.stack(columns, 1).clamp(0, 1).nan_to_num()


def _entropy(counts: Int[Tensor, "R C"], n: int) -> Float[Tensor, " R"]:
    """Of each row of counts in nats, corrected."""
    p = counts.double() / n
    return -torch.xlogy(p, p).sum(1) + ((counts > 0).sum(1) - 1) / (2 * n)


def _gap(shares: Float[Tensor, "D F"]) -> Float[Tensor, " F"]:
    best = torch.cat([shares, torch.zeros(2, shares.shape[1]).double()]).topk(2, dim=0).values
    return best[0] - best[1]


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The gap, where the data have known factors; and which of them each coordinate follows."""
    found = seen(subject)
    if found is None:
        return {}
    subject.kept["followed"] = followed(information_matrix(found.z, found.factors), found.factors.names)
    return {"mutual_information_gap": mutual_information_gap(found.z, found.factors)}
