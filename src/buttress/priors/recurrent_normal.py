r"""p(z) = prod_t N(z_t; mu_t, sigma_t^2), mean and variance of each position given those before it by an LSTM.

$$ h_t = \mathrm{LSTM}(z_{t-1}, h_{t-1}), \quad z_0 = 0, \qquad (\mu_t, \log \sigma_t^2) = W h_t + b, \qquad
   p(z_t | z_{<t}) = N(\mu_t, \mathrm{diag}(\sigma_t^2)) $$

with $\log \sigma_t^2$ kept between bounds by a smooth map. The density of a whole sequence takes one pass of the LSTM,
sampling one step for each position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, constraints
from torch.nn import functional as F

from buttress.core import EMPTY, Given, Prior, PriorModule, Space
from buttress.nn.layers import bounded, run_lstm

__all__ = ["RecurrentNormal", "RecurrentNormalDistribution"]

BOUNDS = (-12.0, 8.0)
"""Of the log-variance, in log nats: those of the gaussian posterior."""


@dataclass(frozen=True)
class RecurrentNormal(Prior):
    """An LSTM over the positions of a z made of real numbers; it starts as N(0, I), and stays in its own precision.

    A map of z is read in reading order, and a z without positions as positions of one number each. Positions beyond an
    example's true length, which ``given["lengths"]`` says, are N(0, 1) as q is there: they cost nothing.

    Source: Razavi, van den Oord, Poole and Vinyals, Preventing Posterior Collapse with delta-VAEs, 2019 (an
    autoregressive prior fitted to the z of a trained model; see the ``auxiliary_prior`` algorithm). The LSTM is ours.

    Args:
        hidden: Size of the LSTM's state.

    Errors:
        ValueError: A size below 1.

    Example:
        >>> p = RecurrentNormal(hidden=4).build(Space((5, 2)))({"lengths": torch.tensor([5, 3, 1])})
        >>> p.batch_shape, p.log_prob(torch.zeros(7, 3, 5, 2)).shape, p.sample().shape
        (torch.Size([3]), torch.Size([7, 3]), torch.Size([3, 5, 2]))
    """

    factorised: ClassVar[bool] = False

    hidden: int = 128

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.hidden < 1:
            raise ValueError(f"recurrent_normal prior: hidden is {self.hidden}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[RecurrentNormal, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=3),)

    def build(self, space: Space) -> RecurrentNormalModule:
        """See :class:`buttress.core.Prior`."""
        return RecurrentNormalModule(self, space)


class RecurrentNormalModule(PriorModule):
    """The module of :class:`RecurrentNormal`."""

    def __init__(self, part: RecurrentNormal, space: Space) -> None:
        super().__init__()
        self.shape = torch.Size(space.shape)
        self.places, self.size = (self.shape[:-1].numel(), self.shape[-1]) if len(self.shape) > 1 else (*self.shape, 1)
        self.lstm = nn.LSTM(self.size, part.hidden, batch_first=True)
        self.out = nn.Linear(part.hidden, 2 * self.size)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, given: Given = EMPTY) -> RecurrentNormalDistribution:
        """See :class:`buttress.core.PriorModule`."""
        return RecurrentNormalDistribution(self, given.get("lengths") if len(self.shape) == 2 else None)

    def after(self, z: Float[Tensor, "N T D"], state: Any = None) -> tuple[Normal, Any]:
        """The normals of the positions that follow each of z, and the state of the LSTM after the last."""
        with torch.autocast(z.device.type, enabled=False):
            h, state = run_lstm(self.lstm, z, state)
            mean, raw = self.out(h).chunk(2, -1)
        return Normal(mean, (0.5 * bounded(raw, *BOUNDS)).exp(), validate_args=False), state


class RecurrentNormalDistribution(Distribution):
    """The distribution of z under a :class:`RecurrentNormalModule`.

    Args:
        module: The LSTM and what follows it.
        lengths: The true length of each example, where z has a value for every position; None for the longest.

    Example:
        >>> p = RecurrentNormal(hidden=4).build(Space((2, 1)))({"lengths": torch.tensor([2, 1])})
        >>> round(p.log_prob(torch.zeros(2, 2, 1))[0].item(), 4)  # it starts as N(0, I): -ln(2 pi)
        -1.8379
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, module: RecurrentNormalModule, lengths: Int[Tensor, " B"] | None = None) -> None:
        self.module = module
        weight = module.out.weight
        self.lengths = None if lengths is None else lengths.to(weight.device)
        super().__init__(torch.Size() if lengths is None else lengths.shape, module.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """All real z."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def log_prob(self, value: Float[Tensor, "*rest"]) -> Float[Tensor, "*batch"]:
        """log p(z) in nats."""
        lead = value.shape[: value.dim() - len(self.event_shape)]
        z = value.to(self.module.out.weight.dtype).reshape(-1, self.module.places, self.module.size)
        p, _ = self.module.after(F.pad(z[:, :-1], (0, 0, 1, 0)))
        each = p.log_prob(z).sum(-1).view(*lead, self.module.places)
        if self.lengths is not None:
            plain = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1).view_as(each)
            each = torch.where(self.inside, each, plain)
        return each.sum(-1)

    @property
    def longest(self) -> RecurrentNormalDistribution:
        """That of an example of the longest length, whose first positions are distributed as those of any other."""
        return RecurrentNormalDistribution(self.module)

    @property
    def inside(self) -> Tensor:
        """Whether each position is of the example, (*batch, T)."""
        assert self.lengths is not None  # asked for only where there are some
        return torch.arange(self.module.places, device=self.lengths.device) < self.lengths[..., None]

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*rest"]:
        """Samples (*sample_shape, *batch, *event), with gradients, position after position."""
        weight, shape = self.module.out.weight, torch.Size((*sample_shape, *self.batch_shape))
        places, size = self.module.places, self.module.size
        noise = torch.randn(*shape, places, size, dtype=weight.dtype, device=weight.device)
        z, state, found = torch.zeros_like(noise.view(-1, places, size)[:, :1]), None, []
        for t in range(places):
            p, state = self.module.after(z, state)
            z = p.loc + p.scale * noise.view(-1, places, size)[:, t : t + 1]
            found.append(z)
        drawn = torch.cat(found, 1).view_as(noise)
        if self.lengths is not None:
            drawn = torch.where(self.inside[..., None], drawn, noise)
        return drawn.view(*shape, *self.event_shape)
