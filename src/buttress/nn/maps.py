r"""z that is a map already, (H', W', C): brought to an image's size by a network that keeps places where they are.

A 3x3 convolution on the map of z; then, with each doubling, every place is repeated as often as the next size needs,
and a 3x3 convolution smooths what was repeated. What a place of z says stays in its neighbourhood; a linear layer from
all of z to all of the image would need a weight for each pair of places, and lose that they correspond.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Broadcast", "Upsample", "halved", "is_map", "sizes_between"]


def is_map(z_shape: tuple[int, ...]) -> bool:
    """Whether z has places, (H', W', C), rather than being one row of numbers.

    Example:
        >>> is_map((7, 7, 16)), is_map((16,))
        (True, False)
    """
    return len(z_shape) == 3


def sizes_between(small: tuple[int, int], large: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes on the way from one map to another: doubled until the last step, which takes what is left.

    Example:
        >>> sizes_between((4, 3), (13, 12))
        [(8, 6), (13, 12)]
        >>> sizes_between((4, 4), (2, 2))
        [(2, 2)]
    """
    sizes = [small]
    while sizes[-1] != large:
        near = all(2 * b + b // 2 >= c for b, c in zip(sizes[-1], large, strict=True))
        double = (min(2 * sizes[-1][0], large[0]), min(2 * sizes[-1][1], large[1]))
        sizes.append(large if near else double)
    return sizes[1:]


def halved(size: list[int], times: int) -> list[tuple[int, int]]:
    """(H, W) and what repeated halving, rounded up, makes of it.

    Example:
        >>> halved([5, 28], 3)
        [(5, 28), (3, 14), (2, 7), (1, 4)]
    """
    sizes = [(size[0], size[1])]
    for _ in range(times):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class Upsample(nn.Module):
    """z (N, H' * W' * C), laid in a row, -> maps (N, H, W, M), channels last.

    Args:
        z_shape: (H', W', C).
        hidden: Channels inside.
        maps: M.
        places: (H, W).
        bias: Whether the last convolution has one.

    Example:
        >>> import torch
        >>> Upsample(z_shape=(2, 2, 3), hidden=4, maps=5, places=(8, 8))(torch.zeros(1, 12)).shape
        torch.Size([1, 8, 8, 5])
    """

    def __init__(
        self, z_shape: tuple[int, ...], hidden: int, maps: int, places: tuple[int, int], bias: bool = False
    ) -> None:
        super().__init__()
        height, width, channels = z_shape
        self.z_shape = z_shape
        self.sizes = sizes_between((height, width), places)
        self.first = nn.Conv2d(channels, hidden, 3, padding=1)
        self.smooth = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=1) for _ in self.sizes)
        self.last = nn.Conv2d(hidden, maps, 1, bias=bias)

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N H W M"]:
        """The maps."""
        maps = F.elu(self.first(z.unflatten(-1, self.z_shape).movedim(-1, 1)))
        for size, layer in zip(self.sizes, self.smooth, strict=True):
            maps = F.elu(layer(_resized(maps, size)))
        return self.last(maps).movedim(1, -1)


class Broadcast(nn.Module):
    """z (N, D) -> maps (N, M, H, W) that say something of z at every place: the same, or of a map what lies there.

    Args:
        z_shape: (H', W', C), or any other for one z of the whole image.
        maps: M.

    Example:
        >>> import torch
        >>> Broadcast(z_shape=(3,), maps=5)(torch.zeros(2, 3), (8, 7)).shape
        torch.Size([2, 5, 8, 7])
        >>> Broadcast(z_shape=(2, 2, 3), maps=5)(torch.zeros(2, 12), (8, 7)).shape
        torch.Size([2, 5, 8, 7])
    """

    def __init__(self, z_shape: tuple[int, ...], maps: int) -> None:
        super().__init__()
        self.z_shape = z_shape if is_map(z_shape) else (1, 1, math.prod(z_shape))
        self.mix = nn.Linear(self.z_shape[-1], maps, bias=False)

    def forward(self, z: Float[Tensor, "N D"], size: tuple[int, int]) -> Float[Tensor, "N M H W"]:
        """The maps, of that size."""
        maps = self.mix(z.unflatten(-1, self.z_shape)).movedim(-1, 1)
        return maps.expand(-1, -1, *size) if self.z_shape[:2] == (1, 1) else _resized(maps, size)


def _resized(maps: Float[Tensor, "N C h w"], size: tuple[int, int]) -> Float[Tensor, "N C H W"]:
    """Places repeated where there must be more of them, averaged where there must be fewer."""
    fewer = (min(maps.shape[-2], size[0]), min(maps.shape[-1], size[1]))
    if fewer != maps.shape[-2:]:
        maps = F.adaptive_avg_pool2d(maps, fewer)
    return F.interpolate(maps, size, mode="nearest")
