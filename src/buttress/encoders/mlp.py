r"""h = f_L(... f_1(x)), f_l(u) = a(W_l u + b_l): a multilayer perceptron over the sites of x laid in a row."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from buttress.core import EMPTY, DataSpec, Encoder, EncoderModule, Given, Layout
from buttress.nn.layers import Activation, check_widths, perceptron

__all__ = ["MlpEncoder"]


@dataclass(frozen=True)
class MlpEncoder(Encoder):
    """A multilayer perceptron, for images and tables.

    Args:
        hidden: Sizes of the hidden layers; the last is that of h. With none, h is x itself, and a model with a linear
            posterior is a linear one.
        activation: Nonlinearity after every layer.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: A size below 1.

    Example:
        >>> import torch
        >>> MlpEncoder(hidden=(8, 5)).build(DataSpec(Layout.image(1, 4, 4)))(torch.zeros(3, 1, 4, 4)).shape
        torch.Size([3, 5])
    """

    hidden: tuple[int, ...] = (512,)
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_widths("mlp encoder: hidden", self.hidden)

    @classmethod
    def tiny(cls) -> tuple[MlpEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=(6,), activation="tanh"), cls(hidden=()))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes != 1 else "it needs examples of one size, as images and tables have"

    def build(self, spec: DataSpec) -> MlpEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return MlpEncoderModule(self, spec)


class MlpEncoderModule(EncoderModule):
    """The module of :class:`MlpEncoder`."""

    def __init__(self, part: MlpEncoder, spec: DataSpec) -> None:
        super().__init__()
        sizes = (math.prod(spec.shape), *part.hidden)
        self.features = sizes[-1]
        self.net = perceptron(sizes, part.activation)

    def forward(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B F"]:
        """See :class:`buttress.core.EncoderModule`."""
        return self.net(x.flatten(1))
