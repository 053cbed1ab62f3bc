r"""$$ \mathrm{value}(t) = a + (b - a) \min(1, \max(0, t - h) / n) $$."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.core import Schedule

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start``, after some steps at it, to ``end`` in ``steps`` steps, then constant.

    Source: Bowman et al., Generating Sentences from a Continuous Space, 2016 (KL annealing).

    Args:
        steps: Length of the ramp, in training steps.
        start: Value at step 0.
        end: Value from step ``hold + steps`` on.
        hold: h, steps at ``start`` before the ramp.

    Example:
        >>> ramp = Linear(steps=10, hold=2)
        >>> ramp(0), ramp(2), ramp(7), ramp(99)
        (0.0, 0.0, 0.5, 1.0)
    """

    steps: int = 1000
    start: float = 0.0
    end: float = 1.0
    hold: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if self.steps < 1 or self.hold < 0:
            raise ValueError(
                f"linear schedule: steps is {self.steps} and hold {self.hold}, wanted steps >= 1, hold >= 0"
            )

    @classmethod
    def tiny(cls) -> tuple[Linear, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(steps=4), cls(steps=3, start=0.5, end=2.0, hold=2))

    def __call__(self, step: int) -> float:
        """See :class:`buttress.core.Schedule`."""
        return self.start + (self.end - self.start) * min(1.0, max(0, step - self.hold) / self.steps)

    @property
    def settles(self) -> int:
        """See :class:`buttress.core.Schedule`."""
        return self.hold + self.steps
