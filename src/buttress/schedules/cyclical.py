r"""$$ \tau = \frac{t \bmod T/M}{T/M}, \qquad \mathrm{value}(t) = a + (b - a) \min(1, \tau / R) $$, and b from T on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from buttress.core import Schedule

__all__ = ["Cyclical"]


@dataclass(frozen=True)
class Cyclical(Schedule):
    """``cycles`` ramps from ``start`` to ``end`` over ``steps`` steps; each ramps for ``ratio`` of it, then holds.

    Source: Fu et al., Cyclical Annealing Schedule, 2019. T/M is not rounded, so the last cycle ends at T exactly.

    Args:
        steps: T, the length of all cycles together, in training steps.
        cycles: M.
        ratio: R, the part of a cycle that ramps, in (0, 1].
        start: Value at the beginning of a cycle.
        end: Value at the end of each cycle, and from step T on.

    Example:
        >>> wave = Cyclical(steps=100, cycles=2, ratio=0.5)
        >>> [round(wave(t), 2) for t in (0, 10, 25, 49, 50, 99, 100)]
        [0.0, 0.4, 1.0, 1.0, 0.0, 1.0, 1.0]
    """

    steps: int = 1000
    cycles: int = 4
    ratio: float = 0.5
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if self.cycles < 1 or self.steps < self.cycles or not 0 < self.ratio <= 1:
            raise ValueError(
                f"cyclical schedule: steps={self.steps}, cycles={self.cycles}, ratio={self.ratio}; wanted "
                "1 <= cycles <= steps and 0 < ratio <= 1"
            )

    @classmethod
    def tiny(cls) -> tuple[Cyclical, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(steps=8, cycles=2), cls(steps=7, cycles=2, ratio=1.0))

    def __call__(self, step: int) -> float:
        """See :class:`buttress.core.Schedule`."""
        if step >= self.steps:
            return self.end
        period = self.steps / self.cycles
        phase = (step % period) / period
        return self.start + (self.end - self.start) * min(1.0, phase / self.ratio)

    @property
    def settles(self) -> int:
        """See :class:`buttress.core.Schedule`. It is where the last ramp ends and its plateau begins."""
        end = self.steps * (1 - (1 - self.ratio) / self.cycles)
        return math.ceil(round(end, 6))  # what rounding adds to a whole number is no further step
