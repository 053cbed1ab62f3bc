r"""The ranges of the activations of a model: moving averages of the smallest and largest number at each of its sites.

$$ l \leftarrow 0.9 \, l + 0.1 \min x, \qquad h \leftarrow 0.9 \, h + 0.1 \max x $$

once a step, over what all forward passes of the step saw in all processes; the first step's are taken as they are. They
move in training alone.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.nn.fake_quantize import Levels, fake_quantize, levels_of
from buttress.nn.layers import full
from buttress.runtime import distributed

__all__ = ["MOMENTUM", "Ranges", "Site"]

MOMENTUM = 0.9
"""What is kept of a range each step."""
UNKNOWN = -1.0
"""The upper end of a range of which nothing is known yet, below its lower end."""


class Ranges(nn.Module):
    """What is known of all sites of a model.

    Args:
        bits: b, for 2^b levels.
        after: Steps in full precision before numbers are rounded; ranges are followed from the first.

    ``low``, ``high`` and ``steps``, those made so far, are what a checkpoint keeps. ``calibrating`` lets ranges follow
    in evaluation too.

    Example:
        >>> ranges = Ranges(bits=2, after=1)
        >>> site = ranges.site()
        >>> _ = site(torch.tensor([-1.0, 0.4, 2.0])), ranges.after_step()
        >>> site(torch.tensor([-1.0, 0.4, 9.0]))
        tensor([-1.,  0.,  2.])
    """

    low: Tensor
    high: Tensor
    steps: Tensor
    seen: Tensor

    def __init__(self, bits: int, after: int) -> None:
        super().__init__()
        self.bits, self.after, self.calibrating = bits, after, False
        self.rounding, self.ready, self.levels = after == 0, list[bool](), list[Levels]()
        self.register_buffer("low", torch.zeros(0))
        self.register_buffer("high", torch.zeros(0))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("seen", torch.zeros(2, 0), persistent=False)

    def site(self, low: float | None = None) -> Site:
        """Another place at which activations are rounded.

        Args:
            low: The lower end of its range where it is known, such as 0 for what can't be negative.
        """
        self.low, self.high = (torch.cat([t, t.new_full((1,), v)]) for t, v in ((self.low, 0.0), (self.high, UNKNOWN)))
        self.seen = self.low.new_full((2, len(self.low)), -torch.inf)
        self.ready.append(False)
        return Site(self, len(self.low) - 1, low)

    def after_step(self) -> None:
        """Follow what the step saw: of sites that nothing passed through, the range stays."""
        seen = distributed.maximum(self.seen)  # of -x and of x
        there, new = seen.isfinite().all(0), self.high < self.low
        for mean, now in ((self.low, -seen[0]), (self.high, seen[1])):
            followed = torch.where(new, now, MOMENTUM * mean + (1 - MOMENTUM) * now)
            mean.copy_(torch.where(there, followed, mean))
        self.seen.fill_(-torch.inf)
        self.steps += 1
        self._judge()

    def finish(self) -> None:
        """Round from now on, however many steps were made: the ranges were followed after training."""
        self.steps.fill_(max(self.after, int(self.steps)))
        self._judge()

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._judge()

    def _judge(self) -> None:
        """Which sites round from now on, those whose range is known, once it is time to; and to which levels."""
        self.rounding = int(self.steps) >= self.after
        self.ready = [self.rounding and known for known in (self.high >= self.low).tolist()]
        table = torch.stack(cast(tuple[Tensor, ...], levels_of(self.low, self.high, self.bits)), 1)
        self.levels = [Levels(*numbers) for numbers in table.tolist()]


class Site:
    """One place at which activations are rounded. Not a module: the ranges belong to the model.

    Args:
        ranges: Those of the model.
        number: Which of them.
        low: The lower end of its range where it is known.
    """

    def __init__(self, ranges: Ranges, number: int, low: float | None) -> None:
        self.ranges, self.number, self.low = ranges, number, low

    def __call__(self, x: Float[Tensor, "*rest"], training: bool = True) -> Float[Tensor, "*rest"]:
        """Round, once it is time to; follow the range in training.

        Args:
            x: Activations.
            training: Whether the layer is in training.
        """
        if training or self.ranges.calibrating:
            self.watch(x)
        return fake_quantize(x, self.levels) if self.ready else x

    @property
    def ready(self) -> bool:
        """Whether it rounds: not in the phase of full precision, nor before its range is known."""
        return self.ranges.ready[self.number]

    @torch.no_grad()
    def watch(self, x: Any) -> None:
        """Take note of the smallest and largest number."""
        if x.numel():
            low, high = torch.aminmax(full(x.detach()))
            now = torch.stack([-low if self.low is None else low.new_tensor(-self.low), high])
            seen = self.ranges.seen[:, self.number]
            seen.copy_(torch.maximum(seen, now))

    @property
    def levels(self) -> Levels:
        """The numbers that are kept; as tensors while a model is compiled, since compiled code outlasts them."""
        if not torch.compiler.is_compiling():
            return self.ranges.levels[self.number]
        low, high = self.ranges.low[self.number], self.ranges.high[self.number]
        return levels_of(low, high, self.ranges.bits)
