r"""Which known formula a term of the loss follows, from its gradient.

A gradient g with respect to a tensor is compared with the gradient h of a formula of weight 1: by least squares

$$ w = \frac{\langle g, h\rangle}{\langle h, h\rangle}, \qquad
   \text{unlike} = 1 - \frac{\langle g, h\rangle^2}{\langle g, g\rangle \langle h, h\rangle} $$

so that ``unlike`` is 0 where the term is w times the formula, however it is written, and near 1 where it is something
else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["ALIKE", "Fit", "best", "fit"]

ALIKE = 1e-4
"""``unlike`` up to which a term is said to be a formula: rounding leaves 1e-10 or so, another formula 1e-2."""


@dataclass(frozen=True)
class Fit:
    """A formula and its weight in the loss.

    Args:
        name: Of the formula.
        weight: w.
        unlike: How far the gradient is from it, 0 to 1.
    """

    name: str
    weight: float
    unlike: float

    @property
    def holds(self) -> bool:
        """Whether the term is this formula."""
        return self.unlike < ALIKE


def fit(name: str, gradient: Tensor, formula: Tensor) -> Fit:
    """The least-squares weight of a formula in a gradient.

    Args:
        name: Of the formula.
        gradient: Of the loss, any shape.
        formula: The gradient of the formula of weight 1, the same shape.

    Example:
        >>> import torch
        >>> h = torch.tensor([1.0, -2.0, 0.5])
        >>> fit("twice", 2 * h, h).weight, fit("none", torch.ones(3), h).holds
        (2.0, False)
    """
    g, h = gradient.double().flatten(), formula.double().flatten()
    gg, hh, gh = g.dot(g).item(), h.dot(h).item(), g.dot(h).item()
    if not math.isfinite(gg + hh):
        return Fit(name, 0.0, 1.0)
    if not (gg > 0 and hh > 0):
        return Fit(name, 0.0, 0.0 if gg == 0 < hh else 1.0)
    return Fit(name, gh / hh, max(0.0, 1 - gh * gh / (gg * hh)))


def best(gradient: Tensor, formulas: Mapping[str, Tensor]) -> Fit | None:
    """The formula that a gradient is most like; None where it is like none.

    Example:
        >>> import torch
        >>> h = torch.tensor([1.0, -2.0, 0.5])
        >>> best(3 * h, {"plain": h, "square": h.square()})
        Fit(name='plain', weight=3.0, unlike=0.0)
    """
    fits = [fit(name, gradient, formula) for name, formula in formulas.items()]
    found = min(fits, key=lambda one: one.unlike, default=None)
    return found if found is not None and found.holds else None
