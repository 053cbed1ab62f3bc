r"""p(z) by an autoregressive flow: z is made of standard normal noise, each coordinate knowing those before it.

$$ \epsilon = f(z) = f_K \circ \dots \circ f_1(z), \qquad f_k(u)_i = s_{ki}(u_{<i}) u_i + m_{ki}(u_{<i}), \qquad
   \log p(z) = \log N(f(z); 0, I) + \sum_k \sum_i \log s_{ki} $$

Every second transformation reads the coordinates from the last to the first. The density takes one pass through each
network, sampling one for each coordinate. Where all s are 1 the flow keeps volumes ("mean only").

The same model can be read with its noise as the latent variable: prior N(0, I), posterior f(q(z|x)), which is an
inverse autoregressive flow, and decoder p(x | f^{-1}(epsilon)). The bound is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from buttress.core import EMPTY, Given, Prior, PriorModule, Space
from buttress.nn.layers import check_widths
from buttress.priors._zuko import MAF, AdditiveTransform, MonotonicAffineTransform
from buttress.runtime.memory import check_memory

__all__ = ["AutoregressiveFlow", "FlowDistribution"]


@dataclass(frozen=True)
class AutoregressiveFlow(Prior):
    """An autoregressive flow; it starts as N(0, I).

    Source: Chen et al., Variational Lossy Autoencoder, 2017; the networks are zuko's masked autoregressive flow
    (Papamakarios et al. 2017). The paper's flows are mean only, with 640 hidden units.

    Args:
        transforms: K, number of transformations.
        hidden: Sizes of the hidden layers of each.
        mean_only: Let each transformation shift only, and never stretch.

    Example:
        >>> p = AutoregressiveFlow().build(Space((2,)))()
        >>> p.log_prob(torch.zeros(5, 2)).shape, p.sample((3,)).shape
        (torch.Size([5]), torch.Size([3, 2]))
        >>> round(p.log_prob(torch.zeros(2)).item(), 4)  # it starts as N(0, I): -ln(2 pi)
        -1.8379
    """

    factorised: ClassVar[bool] = False
    transforms: int = 4
    hidden: tuple[int, ...] = (64, 64)
    mean_only: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.transforms < 1:
            raise ValueError(f"autoregressive flow: transforms is {self.transforms}, wanted at least 1")
        check_widths("autoregressive flow: hidden", self.hidden, least=1)

    @classmethod
    def tiny(cls) -> tuple[AutoregressiveFlow, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(transforms=2, hidden=(6,)), cls(transforms=2, hidden=(6, 5), mean_only=True))

    def build(self, space: Space) -> AutoregressiveFlowModule:
        """See :class:`buttress.core.Prior`."""
        return AutoregressiveFlowModule(self, space.shape)


class AutoregressiveFlowModule(PriorModule):
    """The module of :class:`AutoregressiveFlow`."""

    def __init__(self, part: AutoregressiveFlow, z_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.z_shape = z_shape
        widths = (math.prod(z_shape), *part.hidden, 2 * math.prod(z_shape))
        each = sum(12 * a * b for a, b in pairwise(widths))  # a weight, and a mask made from whole numbers
        check_memory(each * part.transforms, "the networks of this flow", "a smaller hidden, or fewer transforms")
        shift_only = {"univariate": AdditiveTransform, "shapes": ((),)}
        affine = {"univariate": MonotonicAffineTransform, "shapes": ((), ())}
        self.flow = MAF(
            math.prod(z_shape),
            transforms=part.transforms,
            hidden_features=part.hidden,
            **(shift_only if part.mean_only else affine),
        )
        for transform in self.flow.transform.transforms:
            # a single coordinate has nothing before it: zuko then has numbers in place of a network
            last = transform.hyper[-1] if hasattr(transform, "hyper") else transform.phi
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, given: Given = EMPTY) -> FlowDistribution:
        """See :class:`buttress.core.PriorModule`."""
        origin = self.flow.base().base_dist.loc
        return FlowDistribution(self.flow.transform(), origin.reshape(self.z_shape))


class FlowDistribution(Distribution):
    """The distribution of z where f(z) is standard normal; in the flow's own precision whatever autocast asks for.

    Args:
        transform: f, from vectors z to noise, a transform of zuko's (torch's do not know ``call_and_ladj``).
        origin: A tensor of zeros of z's shape, with its type and its device.

    Example:
        >>> module = AutoregressiveFlow(transforms=1, mean_only=True).build(Space((2,)))
        >>> _ = module.flow.transform.transforms[0].hyper[-1].bias.data.fill_(1.0)  # f(z) = z + 1
        >>> module().to_noise(torch.tensor([2.0, -1.0])).tolist(), module().from_noise(torch.zeros(2)).tolist()
        ([3.0, 0.0], [-1.0, -1.0])
        >>> round(module().log_prob(torch.tensor([-1.0, -1.0])).item(), 4)  # at its mode: -ln(2 pi)
        -1.8379
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, transform: Any, origin: Tensor) -> None:
        self.transform, self.origin = transform, origin
        super().__init__(event_shape=origin.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """All real z."""
        return constraints.independent(constraints.real, self.origin.dim())

    def log_prob(self, value: Float[Tensor, "*rest"]) -> Float[Tensor, "*batch"]:
        """log p(z) in nats."""
        with torch.autocast(self.origin.device.type, enabled=False):
            z = value.to(self.origin.dtype).flatten(-self.origin.dim())
            noise, log_stretch = self.transform.call_and_ladj(z)
            return log_stretch - 0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)

    def to_noise(self, z: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """epsilon = f(z), of the same shape."""
        with torch.autocast(self.origin.device.type, enabled=False):
            return self.transform(z.to(self.origin.dtype).flatten(-self.origin.dim())).view(z.shape)

    def from_noise(self, noise: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """z = f^{-1}(epsilon), of the same shape, a coordinate at a time."""
        with torch.autocast(self.origin.device.type, enabled=False):
            return self.transform.inv(noise.to(self.origin.dtype).flatten(-self.origin.dim())).view(noise.shape)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Samples, with gradients."""
        shape = (*sample_shape, *self.event_shape)
        return self.from_noise(torch.randn(shape, dtype=self.origin.dtype, device=self.origin.device))
