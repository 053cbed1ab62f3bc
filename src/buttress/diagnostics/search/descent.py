r"""L-BFGS for many examples at once, each with its own history, line of steps and end.

The direction is $-\gamma g$, corrected by the last pairs $s = u' - u,\ y = g' - g$ (Nocedal and Wright 2006, 7.4).
A step that does not lower the value is tried again a quarter as long; one along which the slope falls further (no
curvature to learn a length from) is followed by one four times as long. So an example that is far from its goal gets
there in a few steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.diagnostics.search.task import ENOUGH

__all__ = ["descend"]

HISTORY = 8
SHORTEST = 1e-6

Slope = Callable[[Int[Tensor, " R"], Float[Tensor, "R D"]], tuple[Float[Tensor, " R"], Float[Tensor, "R D"]]]
"""From the numbers of some examples and where they are to the value at each and its gradient."""


class _State:
    """Where some examples are, and what they remember."""

    def __init__(self, slope: Slope, start: Float[Tensor, "B D"]) -> None:
        self.rows = torch.arange(len(start), device=start.device)
        self.u, self.slope = start.clone(), slope
        self.f, self.g = slope(self.rows, start)
        self.g = self.g.nan_to_num(0, 0, 0)
        self.t = torch.ones(len(start), dtype=torch.float64, device=start.device)
        self.gamma = 1 / self.g.norm(dim=1).clamp(min=1)
        self.known = torch.zeros_like(self.rows, dtype=torch.bool)
        self.small = torch.zeros_like(self.rows)
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        self.d = self._direction()

    def _direction(self) -> Float[Tensor, "R D"]:
        d, weights = self.g.clone(), []
        for s, y, rho in reversed(self.pairs):
            weights.append(rho * (s * d).sum(1))
            d = d - weights[-1][:, None] * y
        d = d * self.gamma[:, None]
        for (s, y, rho), weight in zip(self.pairs, reversed(weights), strict=True):
            d = d + (weight - rho * (y * d).sum(1))[:, None] * s
        uphill = (d * self.g).sum(1) < 0
        return -torch.where(uphill[:, None], self.g * self.gamma[:, None], d)

    def step(self) -> None:
        """One step of each, if it lowers the value."""
        trial = self.u + self.t[:, None] * self.d
        f, g = self.slope(self.rows, trial)
        along = (self.g * self.d).sum(1)
        better = (f <= self.f + 1e-4 * self.t * along) & torch.isfinite(f) & torch.isfinite(g).all(1)
        s, y = trial - self.u, torch.where(better[:, None], g - self.g, 0)
        curved = better & ((s * y).sum(1) > 1e-10 * s.norm(dim=1) * y.norm(dim=1)) & (y.norm(dim=1) > 0)
        self._remember(s, y, curved)
        gain = torch.where(better, self.f - f, 0)
        self.small = torch.where(better & (gain < ENOUGH), self.small + 1, torch.where(better, 0, self.small))
        self.u, self.f = torch.where(better[:, None], trial, self.u), torch.where(better, f, self.f)
        self.g = torch.where(better[:, None], g, self.g)
        self.t = torch.where(curved, 1.0, torch.where(better, 4 * self.t, self.t / 4))
        again = ~better
        self.d = torch.where(again[:, None], self.d, self._direction())

    def _remember(self, s: Tensor, y: Tensor, curved: Tensor) -> None:
        sy = (s * y).sum(1)
        rho = torch.where(curved, 1 / torch.where(curved, sy, 1), 0)
        self.pairs = [*self.pairs, (s, y, rho)][-HISTORY:]
        self.gamma = torch.where(curved, sy / torch.where(curved, y.square().sum(1), 1), self.gamma)
        self.known = self.known | curved

    @property
    def over(self) -> Tensor:
        """Which examples have arrived, or can get no further."""
        promised = -(self.g * self.d).sum(1) / 2
        near = (self.known & (promised < ENOUGH)) | (self.g.abs().amax(1) < 1e-6)
        return near | (self.small >= 2) | (self.t < SHORTEST)

    def keep(self, some: Tensor) -> None:
        """Forget the other examples."""
        for name in ("rows", "u", "f", "g", "t", "gamma", "known", "small", "d"):
            setattr(self, name, getattr(self, name)[some])
        self.pairs = [(s[some], y[some], rho[some]) for s, y, rho in self.pairs]


def descend(slope: Slope, start: Float[Tensor, "B D"], most: int) -> tuple[Float[Tensor, "B D"], int]:
    """Lower a value for each example, and the number of steps that the slowest of them took.

    Args:
        slope: Value and gradient; a value that is not finite is no place to go.
        start: Where the examples begin, in units of which one is a careful first step.
        most: Steps.

    Example:
        >>> goal = torch.tensor([[900.0, -5.0]]).double()
        >>> def slope(rows, u):
        ...     return (u - goal[rows]).square().sum(1), 2 * (u - goal[rows])
        >>> found, steps = descend(slope, torch.zeros(1, 2).double(), most=20)
        >>> torch.allclose(found, goal), steps
        (True, 2)
    """
    found, state = start.clone(), _State(slope, start)
    for step in range(most + 1):
        over = state.over
        if over.any() or step == most:
            found[state.rows] = state.u
            state.keep(~over)
        if not len(state.rows) or step == most:
            break
        state.step()
    return found, step
