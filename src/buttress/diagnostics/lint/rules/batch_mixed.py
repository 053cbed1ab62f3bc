"""The reconstruction of one example is compared with the x of others, by broadcasting or by another order of the rows.

``(recon.unsqueeze(1) - x) ** 2`` has shape (B, B, ...) and compares each with all. Where the gradient of a likelihood
is linear in x, as that of a squared error and a cross-entropy is, its mean over all x is the gradient at their mean. A
loss scaled by statistics of the batch, or made by a network with batch norm, follows neither formula.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.fit import ALIKE, best
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted
from buttress.diagnostics.lint.terms import LIKELIHOODS

LINEAR = ("squared error", "binary cross-entropy", "binary cross-entropy of logits", "Poisson")
"""Likelihoods whose gradient is linear in x."""
ROWS = 128
"""Examples that are looked at where rows may stand in another order."""
LEAST = 8
"""Values of x from which on two rows are not alike by accident."""


@rule
def batch_mixed(subject: Linted) -> Iterator[LintFinding]:
    """Whether the gradient by the reconstruction is that of a likelihood of all x, or of the x of another row."""
    made = subject.pieces
    x, r, g = made.x, made.recon.double(), made.by_recon.double()
    n = len(x)
    if n < 3 or not x.is_floating_point() or x.numel() != r.numel() or subject.terms.likelihood is not None:
        return
    x, r, g = x.double().flatten(1), r.reshape(n, -1), g.reshape(n, -1)
    if bool((x == x[0]).all()) or not g.any():
        return
    if best(g, {name: LIKELIHOODS[name](r, x.mean(0).expand(r.shape)) for name in LINEAR}) is not None:
        yield LintFinding(
            "batch-mixed", "error", "certain",
            f"each reconstruction is compared with the x of all {n} examples, as where (B, 1, ...) meets (B, ...)",
            "give recon and x the same shape before the loss compares them",
        )  # fmt: skip
    elif x.shape[1] >= LEAST and (moved := _moved(r, x, g)):
        yield LintFinding(
            "batch-mixed", "error", "certain",
            f"the reconstructions of {moved} of {min(n, ROWS)} examples are compared with the x of another example",
            "keep recon and x in the same order",
        )  # fmt: skip


def _moved(r: Tensor, x: Tensor, g: Tensor) -> int:
    """How many rows of a gradient follow a likelihood at the x of another row, where all of them follow it at some."""
    r, g = r[:ROWS], g[:ROWS]
    for name in LINEAR:
        own = torch.stack(
            [_nearest(LIKELIHOODS[name](row.expand(x.shape), x), by) for row, by in zip(r, g, strict=True)]
        )
        if bool((own >= 0).all()):
            return int((own != torch.arange(len(own), device=own.device)).sum())
    return 0


def _nearest(formulas: Tensor, gradient: Tensor) -> Tensor:
    """Which row of formulas a gradient is a multiple of; -1 where it is one of none."""
    along = formulas @ gradient
    unlike = 1 - along.square() / (formulas.square().sum(1) * gradient.square().sum()).clamp_min(1e-300)
    least, row = unlike.min(0)
    return torch.where(least < ALIKE, row, torch.full_like(row, -1))
