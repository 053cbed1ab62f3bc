r"""p(x|z) with parameters W a(... a(W_1 z + b_1)) + b: a multilayer perceptron, all sites independent given z.

With ``skip`` every layer reads z beside what the layer before gives: a(W_l h + U_l z + b_l), the last one without a.
The bias b of the last layer starts at the parameters that match the data's mean, so that training need not learn it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import EMPTY, DataSpec, Decoder, DecoderModule, Given, Layout, LikelihoodModule
from buttress.nn.dropout import Dropout, check_dropout
from buttress.nn.layers import Activation, check_widths, perceptron

__all__ = ["MlpDecoder"]


@dataclass(frozen=True)
class MlpDecoder(Decoder):
    """A multilayer perceptron, for images and tables.

    Source: ``skip``: Dieng, Kim, Rush and Blei, Avoiding Latent Variable Collapse with Generative Skip Models, 2019;
    the start at the data's mean: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016.

    Args:
        hidden: Sizes of the hidden layers, from z on. With none the decoder is linear, that of probabilistic PCA.
        activation: Nonlinearity after every hidden layer.
        skip: Whether every layer reads z, and not the first alone.
        dropout: Probability that an output of a hidden layer is zeroed, in training only.

    Errors:
        ValueError: A size below 1, or a probability outside [0, 1).

    Example:
        >>> import torch
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec = DataSpec(Layout.image(1, 3, 2))
        >>> p = MlpDecoder(hidden=(5,)).build(spec, (4,), Bernoulli().build(spec))(torch.zeros(7, 4))
        >>> p.batch_shape, p.event_shape
        (torch.Size([7]), torch.Size([1, 3, 2]))
    """

    hidden: tuple[int, ...] = (512,)
    activation: Activation = "relu"
    skip: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        check_widths("mlp decoder: hidden", self.hidden)
        check_dropout("mlp decoder", self.dropout)

    @classmethod
    def tiny(cls) -> tuple[MlpDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=(6,), activation="tanh"), cls(hidden=()), cls(hidden=(4, 5), activation="tanh", skip=True))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes != 1 else "it needs examples of one size, as images and tables have"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> MlpDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return MlpDecoderModule(self, spec, z_shape, likelihood)


class MlpDecoderModule(DecoderModule):
    """The module of :class:`MlpDecoder`."""

    def __init__(
        self, part: MlpDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.z_dims = len(z_shape)
        self.shape = (*likelihood.places(spec.layout), likelihood.channels)
        self.drop = Dropout(part.dropout)
        sizes = (math.prod(z_shape), *part.hidden)
        self.net = perceptron(sizes, part.activation)
        self.out = nn.Linear(sizes[-1], math.prod(self.shape))
        if (start := likelihood.start()) is not None:
            self.out.bias.data.copy_(start.flatten())
        read = (*part.hidden[1:], self.out.out_features) if part.skip and part.hidden else ()
        self.skips = nn.ModuleList(nn.Linear(sizes[0], size, bias=False) for size in read)  # U_2, U_3, ...

    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.DecoderModule`."""
        z = z.flatten(-self.z_dims)
        h = z
        for i in range(0, len(self.net), 2):
            h = self.drop(self.net[i + 1](self._skipped(self.net[i](h), z, i // 2)), z.shape[:-1])
        parameters = self._skipped(self.out(h), z, len(self.net) // 2)
        return self.likelihood(parameters.view(*parameters.shape[:-1], *self.shape), given)

    def _skipped(self, t: Float[Tensor, "*rest"], z: Float[Tensor, "*rest2"], layer: int) -> Float[Tensor, "*rest3"]:
        """What a layer adds up, with U z where there is one; the first reads z anyway."""
        return t + self.skips[layer - 1](z) if layer and len(self.skips) else t
