"""No encoder: h has no numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import EMPTY, DataSpec, Encoder, EncoderModule, Given

__all__ = ["NoEncoder"]


@dataclass(frozen=True)
class NoEncoder(Encoder):
    """Read nothing of x: for a model without a latent variable, whose posterior is ``none``.

    Args:
        cosine: As in every encoder, and without meaning here.

    Example:
        >>> from buttress.core import Layout
        >>> NoEncoder().build(DataSpec(Layout.table(3)))(torch.zeros(5, 3)).shape
        torch.Size([5, 0])
    """

    def build(self, spec: DataSpec) -> NoEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return NoEncoderModule()


class NoEncoderModule(EncoderModule):
    """The module of :class:`NoEncoder`."""

    features = 0

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B F"]:
        """See :class:`buttress.core.EncoderModule`."""
        return torch.zeros(len(x), 0, device=x.device)
