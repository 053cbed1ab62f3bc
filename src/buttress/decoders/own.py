"""p(x|z) with parameters g(z) for a module g of the user's own; all sites are independent given z."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import EMPTY, DataSpec, Decoder, DecoderModule, Given, Layout, LikelihoodModule
from buttress.core.own import make, one_tensor

__all__ = ["OwnDecoder"]


@dataclass(frozen=True)
class OwnDecoder(Decoder):
    """A ``torch.nn.Module`` of yours as decoder: it maps z (N, D) to the likelihood's parameters for every place.

    For images it gives (N, channels, H, W), for tables (N, D), or all of them in a row. What the numbers mean is the
    likelihood's business: logits of pixels for ``bernoulli`` (no sigmoid at the end), scaled means for ``gaussian``,
    logs of means for ``poisson`` and ``negative_binomial``.

    Args:
        module: The name under which the module is known; see :func:`buttress.core.own.keep`.

    Errors:
        ValueError: When built, the module is not known, fails on z, or gives another number of parameters.

    Example:
        >>> from buttress.core.own import keep
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec, name = DataSpec(Layout.image(1, 2, 3)), keep(nn.Linear(4, 6), "decoder")
        >>> OwnDecoder(name).build(spec, (4,), Bernoulli().build(spec))(torch.zeros(7, 4)).event_shape
        torch.Size([1, 2, 3])
    """

    module: str = ""

    @classmethod
    def tiny(cls) -> tuple[OwnDecoder, ...]:
        """None: the module is the user's."""
        return ()

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return (
            "" if layout.axes != 1 else "your module would have to give a distribution over sequences; see CONTRIBUTING"
        )

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> OwnDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return OwnDecoderModule(make(self.module, "decoder"), self.module, spec, z_shape, likelihood)


class OwnDecoderModule(DecoderModule):
    """The module of :class:`OwnDecoder`."""

    def __init__(
        self, net: nn.Module, name: str, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.net, self.name, self.likelihood = net, name, likelihood
        self.z_dims = len(z_shape)
        self.places = spec.layout.places or spec.shape
        z = torch.zeros(2, *z_shape)
        try:
            with torch.no_grad():
                self(z)
        except (RuntimeError, TypeError, IndexError) as error:
            raise ValueError(
                f"your decoder {name} fails on z of shape {tuple(z.flatten(1).shape)}: {error}; wanted a module that "
                f"takes z alone and gives {self._wanted}"
            ) from error

    @property
    def _wanted(self) -> str:
        sizes = ", ".join(map(str, (self.likelihood.channels, *self.places)))
        return f"parameters of shape (N, {sizes}), or as many in a row"

    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.DecoderModule`."""
        flat = z.flatten(-self.z_dims)
        out = one_tensor(self.net(flat.reshape(-1, flat.shape[-1])), f"your decoder {self.name}", self._wanted)
        channels = self.likelihood.channels
        if out[:1].numel() != channels * math.prod(self.places):
            raise ValueError(f"your decoder {self.name} gave shape {tuple(out.shape)}; wanted {self._wanted}")
        parameters = out.reshape(len(out), channels, *self.places).movedim(1, -1)
        return self.likelihood(parameters.reshape(*flat.shape[:-1], *self.places, channels), given)
