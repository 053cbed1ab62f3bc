r"""$$ \mathrm{value}(t) = a + (b - a) \frac{s(t) - s(0)}{s(n) - s(0)}, \quad s(t) = \frac{1}{1 + e^{-k (2t/n - 1)}} $$.

The logistic of Bowman et al. never reaches its ends; here it is stretched so that it meets both exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from buttress.core import Schedule

__all__ = ["Sigmoid"]

STEEPEST = 500
"""Far more is a jump, and beyond what the exponential holds."""


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """An S-shaped ramp from ``start`` to ``end`` in ``steps`` steps, then constant.

    Source: Bowman et al., Generating Sentences from a Continuous Space, 2016; half-way at ``steps / 2``.

    Args:
        steps: Length of the ramp, in training steps.
        start: Value at step 0.
        end: Value from step ``steps`` on.
        steepness: k above; 6 is the curve of cyclical annealing's reference code.

    Example:
        >>> ramp = Sigmoid(steps=10)
        >>> ramp(0), round(ramp(5), 6), ramp(10)
        (0.0, 0.5, 1.0)
    """

    steps: int = 1000
    start: float = 0.0
    end: float = 1.0
    steepness: float = 6.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if self.steps < 1 or not 0 < self.steepness <= STEEPEST:
            raise ValueError(
                f"sigmoid schedule: steps is {self.steps} and steepness {self.steepness}, wanted steps >= 1, "
                f"steepness above 0 and at most {STEEPEST}"
            )

    @classmethod
    def tiny(cls) -> tuple[Sigmoid, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(steps=4),)

    def __call__(self, step: int) -> float:
        """See :class:`buttress.core.Schedule`."""
        if step >= self.steps:
            return self.end
        low, here = (1 / (1 + math.exp(-self.steepness * (2 * t - 1))) for t in (0.0, step / self.steps))
        return self.start + (self.end - self.start) * (here - low) / (1 - 2 * low)

    @property
    def settles(self) -> int:
        """See :class:`buttress.core.Schedule`."""
        return self.steps
