r"""$$ \mathrm{value}(t) = a + (b - a) \min(1, t / n) $$."""

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
    """From ``start`` to ``end`` in ``steps`` steps, then constant.

    Source: Bowman et al., Generating Sentences from a Continuous Space, 2016 (KL annealing).

    Args:
        steps: Length of the ramp, in training steps.
        start: Value at step 0.
        end: Value from step ``steps`` on.

    Example:
        >>> ramp = Linear(steps=10)
        >>> ramp(0), ramp(5), ramp(99)
        (0.0, 0.5, 1.0)
    """

    steps: int = 1000
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.steps < 1:
            raise ValueError(f"linear schedule: steps is {self.steps}, wanted at least 1")

    def __call__(self, step: int) -> float:
        """See :class:`buttress.parts.Schedule`."""
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)

    def check(self, total: int) -> None:
        """See :class:`buttress.parts.Schedule`."""
        refuse_unfinished("linear", self.steps, total)
