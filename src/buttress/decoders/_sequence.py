"""What autoregressive decoders of sound and frames share: z spread over the places of x, and the loop over them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.core import DataSpec, LikelihoodModule
from buttress.core.autoregressive import AutoregressiveModule

__all__ = ["SequenceModule"]


class SequenceModule(AutoregressiveModule):
    """p(x|z) of a sequence; z is one vector, or a sequence whose places are repeated to the length of x.

    Where the encoder's stride is known, place k of z stands for the places from k * stride to (k + 1) * stride of x, so
    that no place within the true length of an example reads a code from behind its end. Else, and in weights saved
    before the stride was, places of z are spread evenly.

    Args:
        spec: Of the data.
        z_shape: (D,), or (places, D).
        likelihood: Of each place.
        width: Channels of what a place of x is read as.

    ``steps`` and ``size`` are the places of z and the numbers at each; ``longest`` those of x.
    """

    out: nn.Linear

    def __init__(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule, width: int) -> None:
        super().__init__()
        self.likelihood, self.z_dims, self.event, self.places = likelihood, len(z_shape), spec.shape, spec.layout.places
        self.longest, self.width = self.places[0], width
        self.steps, self.size = (z_shape[0], z_shape[1]) if len(z_shape) == 2 else (1, torch.Size(z_shape).numel())
        self.stride: Tensor
        self.register_buffer("stride", torch.zeros((), dtype=torch.long))  # 0: not known

    def spaced(self, stride: int) -> None:
        """See :class:`buttress.core.DecoderModule`."""
        if -(-self.longest // stride) == self.steps:
            self.stride.fill_(stride)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """A decoder goes on reading z as it did when it was trained."""
        state_dict.setdefault(f"{prefix}stride", torch.zeros_like(self.stride))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def output(self, width: int) -> nn.Linear:
        """From features of a place to the likelihood's parameters, near the data's mean at first."""
        out, start = nn.Linear(width, self.likelihood.channels), self.likelihood.start()
        with torch.no_grad():
            out.weight.mul_(0.1)
            if start is not None:
                out.bias.copy_(start.expand(*self.places, -1)[0])
        return out

    @abstractmethod
    def reading(self, x: Tensor) -> Float[Tensor, "*rest"]:
        """What places of x are read as, (*batch, T, width)."""

    @abstractmethod
    def from_reading(
        self, z: Float[Tensor, "N S E"], before: Float[Tensor, "N T C"], lead: Sequence[Any]
    ) -> Float[Tensor, "N T P"]:
        """The likelihood's parameters at every place, from the reading of the one before it; 0 before the first.

        ``lead`` is the shape of the batch that N stands for.
        """

    @abstractmethod
    def stepper(self, z: Float[Tensor, "N S E"]) -> Callable[[int, Tensor], Tensor]:
        """A function from a place and the reading (N, width) of the one before it to its parameters.

        It is called for one place after the other, and remembers what it needs of those before.
        """

    def parameters_of(self, z: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*rest2"]:
        """See :class:`AutoregressiveModule`."""
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[: x.dim() - len(self.event)])
        flat = z.expand(*lead, z.shape[-1]).reshape(-1, self.steps, self.size)
        before = nn.functional.pad(self.reading(x).to(flat.dtype)[..., :-1, :], (0, 0, 1, 0))
        before = before.expand(*lead, *before.shape[-2:]).reshape(-1, *before.shape[-2:])
        return self.from_reading(flat, before, lead).unflatten(0, lead)

    def at(self, places: int) -> Tensor:
        """Which place of z belongs to each of the first places of x."""
        place = torch.arange(places, device=self.stride.device)
        return torch.where(self.stride > 0, place // self.stride.clamp(min=1), place * self.steps // self.longest)

    @contextmanager
    def shortened(self, places: int) -> Iterator[None]:
        """While this lasts, x is drawn up to so many places; what it would be there does not change."""
        whole = self.places, self.event
        self.places = (min(places, self.longest),)
        self.event = (*self.places, *self.event[1:])
        try:
            yield
        finally:
            self.places, self.event = whole

    def blank(self, count: int) -> Tensor:
        """See :class:`AutoregressiveModule`."""
        numbers = self.out.bias.new_zeros(1, self.likelihood.channels + self.likelihood.draws)
        one = self.likelihood.pick(*numbers.split([self.likelihood.channels, self.likelihood.draws], 1))
        return one.new_zeros(count, *self.event)

    def generate(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N T K"]) -> Tensor:
        """See :class:`AutoregressiveModule`."""
        x, step = self.blank(len(z)), self.stepper(z.unflatten(-1, (self.steps, self.size)))
        before = z.new_zeros(len(z), self.width)
        for t in range(self.places[0]):
            values = self.likelihood.pick(step(t, before), uniforms[:, t])
            x[:, t] = values if x.dim() == 3 else values.squeeze(-1)
            before = self.reading(x[:, t : t + 1])[:, 0].to(before.dtype)
        return x
