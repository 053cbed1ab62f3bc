r"""The largest eigenvalue of a covariance, with what a sample's own largest eigenvalue gets wrong.

Among N examples of M numbers the largest eigenvalue of the sample's covariance is too large, by about $B / N$ with
$B = \sum_{j > 1} \lambda_1 \lambda_j / (\lambda_1 - \lambda_j)$, since its direction was chosen where these examples
spread most. The variance of *other* examples along that direction is too small, by the same amount: so the direction
is found on four fifths of the examples and the variance measured on the last fifth, in turn. The estimate is the middle
of the two, and two of its errors reach to either, where the standard error of the variance is small.

All of it needs only the products of pairs of examples, $K = X X^\top$: N x N numbers however large M is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Eigenvalue", "eigenvalues_above", "lanczos", "largest_eigenvalue"]

FOLDS = 5
STEPS = 40
"""Of Lanczos: more than enough for the largest eigenvalue, which converges first."""


@dataclass(frozen=True)
class Eigenvalue:
    """An estimate of the largest eigenvalue.

    Args:
        value: The middle of the two below.
        error: Standard error of the variance along the direction, and a quarter of the distance of the two below.
        held_out: Variance of other examples along the direction; below the truth on average.
        in_sample: Largest eigenvalue of the examples that the direction is from; above the truth on average.

    Example:
        >>> x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1.0, 1.0])
        >>> found = largest_eigenvalue(x)
        >>> abs(found.value - 4) < 3 * found.error
        True
    """

    value: float
    error: float
    held_out: float
    in_sample: float


def largest_eigenvalue(x: Float[Tensor, "N M"], seed: int = 0) -> Eigenvalue:
    """The largest eigenvalue of the covariance that N examples are drawn from.

    Args:
        x: N examples, at least 10.
        seed: Of the folds.

    Errors:
        ValueError: There are fewer than 10 examples.
    """
    n = len(x)
    if n < 2 * FOLDS:
        raise ValueError(f"largest eigenvalue: got {n} examples, wanted at least {2 * FOLDS}")
    centred = x - x.mean(0)
    products = centred @ centred.T
    order = torch.from_numpy(np.random.default_rng([seed, n]).permutation(n)).to(x.device)
    squares, inside = [], []
    for held_out in order.chunk(FOLDS):
        own = order[~torch.isin(order, held_out)]
        top, scores = _fold(products, own, held_out)
        squares.append(scores.square() * len(own) / (len(own) + 1))  # the mean of ``own`` varies too
        inside.append(top / (len(own) - 1))
    each = torch.cat(squares).double()
    below, above = each.mean().item(), sum(inside) / FOLDS
    error = math.hypot((each.std() / math.sqrt(n)).item(), (above - below) / 4)
    return Eigenvalue((below + above) / 2, error, below, above)


def eigenvalues_above(x: Float[Tensor, "N M"], threshold: float, seed: int = 0) -> tuple[int, int]:
    """How many eigenvalues of the covariance that N examples are drawn from exceed a threshold: at least, and at most.

    The examples are halved. Along the eigenvectors of one half the variances of the other are too small, and the
    eigenvalues of all examples are too far apart, so that those near the top are too large.

    Args:
        x: N examples, at least 10.
        threshold: In squared units of x.
        seed: Of the halves.

    Errors:
        ValueError: There are fewer than 10 examples.

    Example:
        >>> own = torch.Generator().manual_seed(0)
        >>> eigenvalues_above(torch.randn(1000, 4, generator=own) * torch.tensor([3.0, 2.0, 1.0, 0.5]), 1.5)
        (2, 2)
    """
    n = len(x)
    if n < 2 * FOLDS:
        raise ValueError(f"eigenvalues: got {n} examples, wanted at least {2 * FOLDS}")
    order = torch.from_numpy(np.random.default_rng([seed, n]).permutation(n)).to(x.device)
    held = [_held_out(x[a], x[b], threshold) for a, b in permutations(order.chunk(2))]
    whole = torch.linalg.eigvalsh(_smaller(x - x.mean(0)).double()) / (n - 1)
    most = int((whole > threshold).sum())
    return min(most, round(sum(held) / 2)), most


def _smaller(x: Float[Tensor, "N M"]) -> Float[Tensor, "K K"]:
    """The products of columns or of rows, whichever are fewer: they have the same eigenvalues above 0."""
    return x.T @ x if x.shape[1] <= len(x) else x @ x.T


def _held_out(own: Float[Tensor, "A M"], other: Float[Tensor, "B M"], threshold: float) -> int:
    """How many eigenvectors of ``own`` have a variance of ``other`` above the threshold along them."""
    middle, (n, m) = own.mean(0), own.shape
    values, vectors = torch.linalg.eigh(_smaller(own - middle).double())
    some = values > 1e-6 * values[-1]  # the others are rounding
    along = vectors[:, some].to(own)
    if m > n:
        along = (own - middle).T @ along / values[some].sqrt().to(own)
    variances = ((other - middle) @ along).square().mean(0) * n / (n + 1)  # the mean of ``own`` varies too
    return int((variances > threshold).sum())


def _fold(products: Tensor, own: Tensor, held_out: Tensor) -> tuple[float, Float[Tensor, " H"]]:
    """n times the largest eigenvalue of ``own``, and where ``held_out`` lie along its direction."""
    block = products[own][:, own]
    rows = block.mean(0)
    top, u = lanczos(block - rows - rows[:, None] + rows.mean())
    if not top > 0:
        return 0.0, products.new_zeros(len(held_out))
    u = u - u.mean()
    return top, (products[held_out][:, own] @ u - (block @ u).mean()) / math.sqrt(top)


def lanczos(matrix: Float[Tensor, "N N"], steps: int = STEPS) -> tuple[float, Float[Tensor, " N"]]:
    """The largest eigenvalue of a symmetric matrix and its eigenvector, by Lanczos with full orthogonalisation.

    Example:
        >>> value, vector = lanczos(torch.diag(torch.tensor([1.0, 5.0, 2.0])))
        >>> round(value, 4), [round(abs(v), 4) for v in vector.tolist()]
        (5.0, [0.0, 1.0, 0.0])
    """
    n = len(matrix)
    start = np.random.default_rng(n).standard_normal(n)
    v = torch.from_numpy(start).to(matrix)
    basis: list[Tensor] = []
    diagonal: list[float] = []
    beside: list[float] = []
    size = matrix.norm().item() or 1.0
    length = v.norm()
    while len(basis) < min(steps, n) and (not basis or length > 1e-5 * size):
        basis.append(v / length)
        w = matrix @ basis[-1]
        diagonal.append((w @ basis[-1]).item())
        known = torch.stack(basis)
        for _ in range(2):
            w = w - known.T @ (known @ w)
        v, length = w, w.norm()
        beside.append(length.item())
    off = torch.tensor(beside[:-1], dtype=torch.float64)
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(off, 1) + torch.diag(off, -1)
    values, vectors = torch.linalg.eigh(tridiagonal)
    return values[-1].item(), vectors[:, -1].to(matrix) @ torch.stack(basis)
