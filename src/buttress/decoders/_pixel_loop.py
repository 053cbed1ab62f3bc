"""The cached loop over pixels: v once for each row and layer, h, its key and its value once for each pixel and layer.

A row of v needs the rows above it alone, which are complete when the row begins; so do U_l [v_l, m], all that z says.
What is left for a pixel is one small matrix product a layer, and a look at the keys so far for each attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.nn.attention import Memory
from buttress.nn.gated import gate

if TYPE_CHECKING:
    from buttress.decoders._pixels import PixelsModule

__all__ = ["PixelLoop"]


class PixelLoop:
    """What has been computed so far for N images.

    Args:
        module: The decoder.
        maps: What z says at every place, shape (N, M, H, W).
    """

    def __init__(self, module: PixelsModule, maps: Float[Tensor, "N M H W"]) -> None:
        self.module, self.maps = module, maps
        n, _, height, width = maps.shape
        self.vertical: list[Any] = list(module.vertical)
        self.horizontal: list[Any] = list(module.horizontal)
        self.far: list[int] = [layer.reach for layer in self.horizontal]
        self.taps = [None if layer.conv is None else layer.taps for layer in self.horizontal]
        self.out = module.out.weight.flatten(1).t()
        # as a matrix: for one place a convolution is slower
        self.embed = module.read.weight.flatten(1) if isinstance(module.read, nn.Conv2d) else None
        sizes = [layer.conv.in_channels for layer in self.vertical] or [1]
        # what each layer's v reads: rows shifted down and right by the layer's reach, zeros around
        self.rows = [maps.new_zeros(n, c, height + r, width + 2 * r) for c, r in zip(sizes, self.far, strict=False)]
        # what each layer's h reads in the present row, shifted right; the first reads x itself, from ``rows``
        self.left = [maps.new_zeros(n, width + r, module.out.in_channels) for r in self.far]
        self.memories = {int(at): Memory(part, n, height * width) for at, part in module.attention.items()}
        self.i, self.beside = 0, [maps.new_zeros(0)]

    def start_row(self, i: int) -> None:
        """Compute everything about row i that the rows above decide."""
        self.i, self.beside, v = i, [], self.maps
        width = self.maps.shape[-1]
        for at, layer in enumerate(self.horizontal):
            beside = self.maps[:, :, i : i + 1]
            if self.vertical:
                rows, r = self.rows[at], self.far[at]
                if at:
                    rows[:, :, i + r, r : r + width] = v.squeeze(2)
                window = rows[:, :, i : i + r + bool(at)]
                v = self.vertical[at].step(v if at else window, window)
                beside = torch.cat([v, beside], 1)
            self.beside.append(layer.side(beside).squeeze(2).permute(2, 0, 1).contiguous())
        for memory in self.memories.values():
            memory.start_row(self.maps[:, :, i])

    def parameters(self, j: int) -> Float[Tensor, "N K"]:
        """The likelihood's parameters at (i, j), all pixels before being known."""
        h = self.maps
        for at, (r, taps) in enumerate(zip(self.far, self.taps, strict=True)):
            t = self.beside[at][j]
            if at:
                self.left[at][:, j + r] = h
            if taps is not None:
                t = torch.addmm(t, self.window(at, j), taps)
            h = h + gate(t) if at else gate(t)
            if at in self.memories:
                h = self.memories[at].look(h, j)
        return torch.addmm(self.module.bias[self.i, j], F.elu(h), self.out)

    def window(self, at: int, j: int) -> Float[Tensor, "N TC"]:
        """What layer ``at`` reads in the row, (taps, channels) laid in one."""
        r = self.far[at]
        if at == 0:
            return self.rows[0][:, :, self.i + r, j : j + r].transpose(1, 2).flatten(1)
        return self.left[at][:, j : j + r + 1 : max(1, r)].flatten(1)

    def put(self, j: int, features: Float[Tensor, "N C 1 1"]) -> None:
        """Make pixel (i, j) known by its features."""
        seen = features.squeeze((2, 3))
        if self.embed is not None:
            seen = F.linear(seen, self.embed)
        if self.vertical:  # else the convolutions' field is one pixel, and they read nothing
            r = self.far[0]
            self.rows[0][:, :, self.i + r, j + r] = seen.to(self.rows[0].dtype)
        for memory in self.memories.values():
            memory.put(seen)
