r"""h_i = LSTM(x_i, h_{i+1}) over the rows of an image, from the last to the first: h_i knows row i and those below.

A decoder in reading order has seen the rows above when it comes to row i. What an encoder can tell it is what it has
not seen: so a z for every row is made of the image from that row on (anti-causal).
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from buttress.core import EMPTY, DataSpec, Encoder, EncoderModule, Given, Layout
from buttress.nn.layers import run_lstm

__all__ = ["RowsEncoder"]


@dataclass(frozen=True)
class RowsEncoder(Encoder):
    """An LSTM over the rows of an image, from the last to the first; features at every row.

    Source: the anti-causal encoder: Razavi, van den Oord, Poole and Vinyals, Preventing Posterior Collapse with
    delta-VAEs, 2019. Ours: an LSTM over rows in place of their reversed PixelSNAIL.

    Args:
        hidden: Size of the LSTM's state.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: A size below 1.

    Example:
        >>> import torch
        >>> RowsEncoder(hidden=6).build(DataSpec(Layout.image(3, 5, 7)))(torch.zeros(2, 3, 5, 7)).shape
        torch.Size([2, 5, 6])
    """

    hidden: int = 128

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if self.hidden < 1:
            raise ValueError(f"rows encoder: hidden is {self.hidden}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[RowsEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=4),)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 2 else "it needs two place axes, as images have"

    def build(self, spec: DataSpec) -> RowsEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return RowsEncoderModule(self, spec)


class RowsEncoderModule(EncoderModule):
    """The module of :class:`RowsEncoder`."""

    def __init__(self, part: RowsEncoder, spec: DataSpec) -> None:
        super().__init__()
        channels, height, width = spec.shape
        self.places, self.features = (height,), part.hidden
        self.lstm = nn.LSTM(channels * width, part.hidden, batch_first=True)

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """See :class:`buttress.core.EncoderModule`."""
        rows = x.movedim(2, 1).flatten(2).flip(1)
        states: Tensor = run_lstm(self.lstm, rows)[0]
        return states.flip(1)

    def valid(self, x: Tensor, given: Given = EMPTY) -> None:
        """See :class:`buttress.core.EncoderModule`. Every row is one of the image."""
