r"""What autoregressive decoders share: p(x|z) = prod_i p(x_i | x_<i, z), places in reading order.

``log_prob`` is teacher forcing, one parallel pass. ``sample`` is a loop over places in which nothing is computed twice,
and ``sample_naively`` the loop that computes everything again for each place. The same uniforms give the same x.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from buttress.core import EMPTY, DecoderModule, Given

__all__ = ["Autoregressive", "AutoregressiveModule"]


class AutoregressiveModule(DecoderModule):
    """A decoder whose places see the places before them.

    ``z_dims`` is how many dimensions one z has, ``event`` the shape of x and ``places`` that of its places. ``radius``
    is how far a place sees along each axis, of what lies before it: all places so near; None for all of them.
    """

    z_dims: int
    event: tuple[int, ...]
    places: tuple[int, ...]
    radius: int | None
    rereads: ClassVar[bool] = False
    """Whether :meth:`generate` multiplies by the weights of layers itself, where a quantised layer cannot round what it
    is given: a quantised model then draws naively."""

    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Autoregressive:
        """See :class:`buttress.core.DecoderModule`."""
        return Autoregressive(self, z.flatten(-self.z_dims), given)

    @abstractmethod
    def parameters_of(self, z: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*rest2"]:
        """The likelihood's parameters (*batch, *places, channels) of every place, given the places of x before it."""

    def log_prob(self, z: Float[Tensor, "*rest"], x: Tensor, given: Given = EMPTY) -> Float[Tensor, "*batch"]:
        """log p(x|z) in nats for z (*batch, D) and x whose batch broadcasts to ``batch``."""
        return self.likelihood(self.parameters_of(z, x), given).log_prob(x)

    @abstractmethod
    def blank(self, count: int) -> Tensor:
        """``count`` examples before any place is chosen, as x and not as features."""

    @abstractmethod
    def generate(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N *rest"]) -> Tensor:
        """x (N, *event) chosen place by place with ``uniforms`` (N, *places, draws), nothing computed twice."""

    def generate_naively(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N *rest"]) -> Tensor:
        """The same by a full pass for each place."""
        x = self.blank(len(z))
        values = x.movedim(-3, -1) if len(self.event) == 3 else x if len(self.event) == 2 else x[..., None]
        for place in itertools.product(*map(range, self.places)):
            here: Any = (slice(None), *place)
            values[here] = self.likelihood.pick(self.parameters_of(z, x)[here], uniforms[here])
        return x


class Autoregressive(Distribution):
    """p(x|z) of an autoregressive decoder: batch shape that of z, event shape that of x.

    Args:
        module: The decoder.
        z: Latents, one row each, shape (*batch, D).
        given: What is known beside x; its rows belong to the last dimension of ``batch``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, module: AutoregressiveModule, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> None:
        self.module, self.z, self.given = module, z, given
        super().__init__(z.shape[:-1], torch.Size(module.event), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Autoregressive:
        """The same distribution for a larger batch, without copying."""
        return Autoregressive(self.module, self.z.expand(*batch_shape, self.z.shape[-1]), self.given)

    def log_prob(self, value: Tensor) -> Float[Tensor, "*batch"]:
        """log p(x|z) in nats by teacher forcing; the batch of ``value`` broadcasts to that of the distribution."""
        return self.module.log_prob(self.z, value, self.given)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """x of shape (*sample_shape, *batch, *event)."""
        return self._draw(self.module.generate, sample_shape)

    @torch.no_grad()
    def sample_naively(self, sample_shape: Any = ()) -> Tensor:
        """What :meth:`sample` gives for the same random state, slowly: the reference in tests and benchmarks."""
        return self._draw(self.module.generate_naively, sample_shape)

    @torch.no_grad()
    def sample_along(self) -> Tensor:
        """x of shape (*batch, *event), with the same random numbers along the first dimension of the batch."""
        return self._draw(self.module.generate, (), along=True)

    def _draw(self, generate: Any, sample_shape: Any, along: bool = False) -> Tensor:
        z = self.z.expand(*sample_shape, *self.z.shape)
        shape = (*self.module.places, self.module.likelihood.draws)
        uniforms = torch.rand(*z.shape[along:-1], *shape, dtype=z.dtype, device=z.device)
        flat = generate(z.reshape(-1, z.shape[-1]), uniforms.expand(*z.shape[:-1], *shape).reshape(-1, *shape))
        return flat.view(*z.shape[:-1], *self.module.event)
