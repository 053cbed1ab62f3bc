r"""h = x, its sites laid in a row: what a linear posterior makes a linear encoder of, E[z|x] = V x + a."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.core import DataSpec, Encoder, Layout
from buttress.encoders.mlp import MlpEncoder, MlpEncoderModule

__all__ = ["LinearEncoder"]


@dataclass(frozen=True)
class LinearEncoder(Encoder):
    """No layer of its own, for images and tables: the posterior's linear map reads x itself.

    With the linear decoder, a Gaussian likelihood and a Gaussian posterior of constant variance it is the linear VAE,
    whose optimum is that of probabilistic PCA (``buttress ppca``).

    Source: Lucas, Tucker, Grosse and Norouzi, Don't Blame the ELBO!, 2019.

    Args:
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Example:
        >>> import torch
        >>> LinearEncoder().build(DataSpec(Layout.image(1, 4, 4)))(torch.zeros(3, 1, 4, 4)).shape
        torch.Size([3, 16])
    """

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return MlpEncoder().misfit(layout)

    def build(self, spec: DataSpec) -> MlpEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return MlpEncoder(hidden=()).build(spec)
