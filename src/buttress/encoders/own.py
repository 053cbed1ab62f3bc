"""h = f(x) for a module f of the user's own, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.core import EMPTY, EOS, DataSpec, Encoder, EncoderModule, Given
from buttress.core.own import make, one_tensor

__all__ = ["OwnEncoder"]

FEATURES = "features (B, F), from which q(z|x) is made; leave out the layers that give its mean and variance"


@dataclass(frozen=True)
class OwnEncoder(Encoder):
    """A ``torch.nn.Module`` of yours as encoder: it maps x (B, ...) to features (B, F) and need not know anything else.

    x is as the likelihood shows it to networks: images in [0, 1], standardised columns, token ids.

    Args:
        module: The name under which the module is known; see :func:`buttress.core.own.keep`.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: When built, the module is not known, fails on such data, or gives no tensor with one row an example.

    Example:
        >>> from buttress.core import Layout
        >>> from buttress.core.own import keep
        >>> name = keep(nn.Sequential(nn.Flatten(), nn.Linear(6, 4)), "encoder")
        >>> OwnEncoder(name).build(DataSpec(Layout.image(1, 2, 3)))(torch.zeros(5, 1, 2, 3)).shape
        torch.Size([5, 4])
    """

    module: str = ""

    @classmethod
    def tiny(cls) -> tuple[OwnEncoder, ...]:
        """None: the module is the user's."""
        return ()

    def build(self, spec: DataSpec) -> OwnEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return OwnEncoderModule(make(self.module, "encoder"), self.module, spec)


class OwnEncoderModule(EncoderModule):
    """The module of :class:`OwnEncoder`."""

    def __init__(self, net: nn.Module, name: str, spec: DataSpec) -> None:
        super().__init__()
        self.net, self.name = net, name
        x = torch.full((2, *spec.shape), EOS) if spec.layout.tokens else torch.zeros(2, *spec.shape)
        try:
            with torch.no_grad():
                h = self(x)
        except (RuntimeError, TypeError, IndexError) as error:
            raise ValueError(
                f"your encoder {name} fails on x of shape {tuple(x.shape)} and type {x.dtype}: {error}; wanted a "
                f"module that takes x alone and gives {FEATURES}"
            ) from error
        self.features = h.shape[1]

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B F"]:
        """See :class:`buttress.core.EncoderModule`."""
        h = one_tensor(self.net(x), f"your encoder {self.name}", FEATURES)
        if h.dim() < 2 or len(h) != len(x):
            raise ValueError(
                f"your encoder {self.name} gave shape {tuple(h.shape)} for {len(x)} examples; wanted {FEATURES}"
            )
        return h.flatten(1)
