r"""The gated layers of a PixelCNN with their fields: a vertical stack v over the rows above, a horizontal one h.

$$ v_l = v_{l-1} + g(K_l * v_{l-1}), \qquad h_l = h_{l-1} + g(k_l * h_{l-1} + U_l [v_l, m]), \qquad
   g([a, b]) = \tanh(a / 2) \, \sigma(b) $$

with maps m that say where a place is and what z is. K_l reaches over rows (0, -d) and columns (-d, 0, d), k_l over
columns (0, -d) of its own row: kernels are cropped, not masked, so nothing is multiplied by zero. The first layer reads
x: K_0 the r rows above in a width of 2 r + 1, k_0 the r pixels before. Then v knows the rows above and h the pixels
before as well; there is no blind spot.

Source: van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016. Ours: z enters h only, so that v
is computed once for all samples of z; v is half as wide as h; there is no 1x1 convolution behind the gate.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Horizontal", "Vertical", "gate", "reaches"]


def reaches(radius: int, layers: int, dense: int = 3) -> tuple[int, ...]:
    """How far each layer looks, so that together they see every pixel up to ``radius`` away and none further.

    The first looks at all of its r pixels, any other only d away, so d may not pass what is seen already.

    Example:
        >>> reaches(6, 4), reaches(1, 4), reaches(27, 4)
        ((3, 1, 1, 1), (1, 0, 0, 0), (4, 4, 8, 11))
    """
    far = [min(radius, max(dense, math.ceil(radius / 2 ** (layers - 1))))]
    while len(far) < layers:
        left = radius - sum(far)
        far.append(min(sum(far), math.ceil(left / (layers - len(far)))))
    return tuple(far)


def gate(t: Float[Tensor, "*rest"], dim: int = 1) -> Float[Tensor, "*rest2"]:
    """tanh(a / 2) sigma(b) for t = [a, b], as (2 sigma(a) - 1) sigma(b): one pass over t where two would be slower.

    Example:
        >>> gate(torch.tensor([[100.0, -100.0, 0.0, 0.0]]))
        tensor([[ 0.5000, -0.5000]])
    """
    a, b = t.sigmoid().chunk(2, dim)
    return torch.addcmul(-b, a, b, value=2)


class Vertical(nn.Module):
    """K_l.

    Args:
        inputs: Channels read; the features of x in the first layer.
        channels: Channels of v.
        reach: r of the first layer, d of the others.
        first: Whether this is the first layer, which must not see the row itself.
    """

    def __init__(self, inputs: int, channels: int, reach: int, first: bool = False) -> None:
        super().__init__()
        self.reach, self.first = reach, first
        size = (reach, 2 * reach + 1) if first else (2, 3) if reach else (1, 1)
        self.conv = nn.Conv2d(inputs, 2 * channels, size, dilation=1 if first else max(1, reach))

    def forward(self, v: Float[Tensor, "N C H W"]) -> Float[Tensor, "N V H W"]:
        """v of the next layer at all rows. The first layer's output at a row knows the rows above it alone."""
        r = self.reach
        return self.step(v, F.pad(v, (r, r, r, -1) if self.first else (r, r, r, 0)))

    def step(self, v: Float[Tensor, "N C R0 W0"], window: Float[Tensor, "N C K L"]) -> Float[Tensor, "N V R W"]:
        """v of the next layer at some rows, from v there (unread by the first) and the rows under the kernel."""
        new = gate(self.conv(window))
        return new if self.first else v + new


class Horizontal(nn.Module):
    """k_l and U_l.

    Args:
        inputs: Channels read from the row itself.
        beside: Channels of [v, m].
        channels: Channels of h.
        reach: r of the first layer, d of the others; 0 reads the pixel alone, and in the first layer nothing.
        first: Whether this is the first layer, which must not see the pixel itself.
    """

    def __init__(self, inputs: int, beside: int, channels: int, reach: int, first: bool = False) -> None:
        super().__init__()
        self.reach, self.first = reach, first
        taps = reach if first else 2 if reach else 1
        spread = 1 if first else max(1, reach)
        self.conv = nn.Conv2d(inputs, 2 * channels, (1, taps), bias=False, dilation=spread) if taps else None
        self.side = nn.Conv2d(beside, 2 * channels, 1)

    def row(self, h: Float[Tensor, "N C H W"]) -> Float[Tensor, "N H2 H W"] | None:
        """k_l * h at all places."""
        if self.conv is None:
            return None
        return self.conv(F.pad(h, (self.reach, -1 if self.first else 0)))

    @property
    def taps(self) -> Float[Tensor, "KC H2"]:
        """k_l as a matrix from (taps, channels) in a row to the numbers before the gate."""
        assert self.conv is not None
        return self.conv.weight.squeeze(2).permute(2, 1, 0).flatten(0, 1)
