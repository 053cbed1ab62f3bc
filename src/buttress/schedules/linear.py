r"""$$ \mathrm{value}(t) = a + (b - a) \min(1, \max(0, t - h) / n) $$."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.parts import Schedule

__all__ = ["Linear", "refuse_unfinished"]


def refuse_unfinished(name: str, steps: int, total: int) -> None:
    """Raise ValueError if a schedule of ``steps`` is still under way when a run of ``total`` steps ends."""
    if steps >= total:
        raise ValueError(
            f"{name} schedule: it reaches its final value after {steps} steps, but the run has {total}, so training "
            f"would end short of it; take steps below {total}, or a longer run"
        )


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

    def __call__(self, step: int) -> float:
        """See :class:`buttress.parts.Schedule`."""
        return self.start + (self.end - self.start) * min(1.0, max(0, step - self.hold) / self.steps)

    def check(self, total: int) -> None:
        """See :class:`buttress.parts.Schedule`."""
        refuse_unfinished("linear", self.hold + self.steps, total)
