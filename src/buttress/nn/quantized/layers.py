"""Products, tables and norms of quantised numbers: what a layer becomes, with its parameters and their names as before.

Weights are rounded row by row, each by its own smallest and largest number of the moment; what is multiplied with them
by the range of a site. Biases and sums stay in full precision: a processor of integers adds them in 32 bits.

In a product y = x W^T both x and W are rounded. A table of embeddings is rounded row by row. Of layer norm are rounded
x - m, its standard deviation, their quotient, gamma and the result.

Source: Prato, Charlaix and Rezagholizadeh, Fully Quantized Transformer for Machine Translation, 2020.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.nn.fake_quantize import fake_quantize_rows
from buttress.nn.quantized.ranges import Ranges, Site

__all__ = ["QuantizedEmbedding", "QuantizedNorm", "QuantizedProduct", "Rounded"]


class Rounded:
    """What quantised layers share: rounded weights. While a model is evaluated they are rounded once.

    They are forgotten where evaluation begins or ends, or the parameter's version changes; the version alone would not
    do, as the fused optimisers of torch leave it as it is.
    """

    _parameters: dict[str, Any]
    training: bool
    ranges: tuple[Ranges]
    kept: dict[str, tuple[tuple[int, int], Tensor]]
    output_dim = 0

    def prepare(self, ranges: Ranges) -> None:
        """Take sites among the ranges of the model."""
        self.ranges, self.kept = (ranges,), {}  # in a tuple, where nn.Module does not register them again

    def train(self, mode: bool = True) -> Any:
        """See :class:`torch.nn.Module`."""
        self.kept.clear()
        return super().train(mode)  # type: ignore[misc]

    @property
    def ready(self) -> bool:
        """Whether weights are rounded."""
        return self.ranges[0].rounding

    def rounded(self, name: str) -> Any:
        """A weight, row by row."""
        weight = self._parameters[name]
        if not self.ready:
            return weight
        bits, dim = self.ranges[0].bits, self.output_dim
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return fake_quantize_rows(weight, bits, dim)
        state = (weight._version, weight.data_ptr())
        if name not in self.kept or self.kept[name][0] != state:
            self.kept[name] = (state, fake_quantize_rows(weight, bits, dim))
        return self.kept[name][1]


class QuantizedProduct(Rounded):
    """A linear layer or a convolution of rounded numbers. Whoever reads its ``weight`` reads it rounded."""

    site: Site

    def prepare(self, ranges: Ranges) -> None:
        """See :class:`Rounded`."""
        super().prepare(ranges)
        self.site = ranges.site()
        self.output_dim = 1 if isinstance(self, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0

    @property
    def weight(self) -> Any:
        """W, rounded."""
        return self.rounded("weight")

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        """The layer of a rounded x."""
        return super().forward(self.site(x, self.training), *rest)  # type: ignore[misc]


class QuantizedEmbedding(Rounded):
    """A table whose rows are rounded when they are read."""

    @property
    def weight(self) -> Any:
        """The whole table, rounded."""
        return self.rounded("weight")

    def forward(self, index: Tensor) -> Tensor:
        """The rounded rows of ``index``: each is rounded by itself, so there is no need to round more than are read."""
        own: Any = self
        if index.numel() > own.num_embeddings:
            return F.embedding(index, self.weight, own.padding_idx)
        rows = F.embedding(index, self._parameters["weight"], own.padding_idx)
        return fake_quantize_rows(rows.flatten(0, -2), self.ranges[0].bits).view_as(rows) if self.ready else rows


class QuantizedNorm(Rounded):
    """Layer norm by rounded numbers."""

    def prepare(self, ranges: Ranges) -> None:
        """See :class:`Rounded`."""
        super().prepare(ranges)
        self.centred, self.scale, self.quotient, self.result = (
            ranges.site(),
            ranges.site(0.0),
            ranges.site(),
            ranges.site(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """gamma Q(Q(x - m) / Q(sd)) + beta; sd is at least one step, so that nothing is divided by zero."""
        own: Any = self
        dims = tuple(range(-len(own.normalized_shape), 0))
        centred = x - x.mean(dims, keepdim=True)
        sd = (centred.square().mean(dims, keepdim=True) + own.eps).sqrt()
        parts = self.centred(centred, self.training), self.scale(sd, self.training)
        y = self.quotient(
            parts[0] / (parts[1].clamp(min=self.scale.levels.step) if self.scale.ready else parts[1]), self.training
        )
        if own.weight is not None:
            y = y * self.gamma + (0 if own.bias is None else own.bias)
        return self.result(y, self.training)

    @property
    def gamma(self) -> Any:
        """Gamma as one row."""
        own: Any = self
        return fake_quantize_rows(own.weight[None], self.ranges[0].bits)[0] if self.ready else own.weight
