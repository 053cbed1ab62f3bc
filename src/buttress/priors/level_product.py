r"""p(z) = prod_l p(z_l | z_above): each level of codes by a PixelCNN that reads the levels above it.

$$ p(z) = \prod_{l = 1}^L \prod_i p(z_{l,i} \mid z_{l,<i},\ z_1, \ldots, z_{l-1}) $$

Level l is decoded as an image of symbols; the codes above it are embedded, resized to the map just above, and take the
place of the decoder's z. The top level has a constant in that place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, Layout, Level, Prior, Space
from buttress.decoders._pixels import PixelsModule
from buttress.decoders.pixelcnn import PixelCNN
from buttress.likelihoods.categorical import Categorical
from buttress.priors._codes import CodesModule

__all__ = ["LevelProduct"]


@dataclass(frozen=True)
class LevelProduct(Prior):
    """A gated PixelCNN for every level of codes, each conditioned on the levels above.

    Source: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019. Ours: no
    attention on the top level.

    Args:
        field: Width of the causal window of each level, in places, odd; None for all of the map.
        layers: Number of layers.
        channels: Channels of the horizontal stack.
        embedding: Numbers in the embedding of a code of a level above.

    Errors:
        ValueError: A number that is too small; when built, z has no levels of code maps.

    Example:
        >>> space = Space.stacked([("top", (1, 1, 1), 8), ("bottom", (2, 2, 1), 8)])
        >>> p = LevelProduct(channels=4).build(space)()
        >>> p.sample((3,)).shape, p.log_prob_by_group(torch.zeros(3, 5, dtype=torch.long)).shape
        (torch.Size([3, 5]), torch.Size([3, 5]))
    """

    discrete: ClassVar[bool] = True

    field: int | None = None
    layers: int = 4
    channels: int = 32
    embedding: int = 8

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        _ = self.decoder
        if self.embedding < 1:
            raise ValueError(f"level_product prior: embedding is {self.embedding}, wanted at least 1")

    @property
    def decoder(self) -> PixelCNN:
        """The decoder of each level."""
        return PixelCNN(field=self.field, layers=self.layers, channels=self.channels)

    @classmethod
    def tiny(cls) -> tuple[LevelProduct, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(layers=2, channels=4, embedding=2),)

    def build(self, space: Space) -> LevelProductModule:
        """See :class:`buttress.core.Prior`."""
        if not space.levels or any(len(level.shape) != 3 for level in space.levels):
            raise ValueError(
                f"level_product prior: z of shape {space.shape} has no levels of code maps; try the "
                "two_level_quantized posterior, or the pixelcnn prior for one map"
            )
        return LevelProductModule(self, space)


class LevelProductModule(CodesModule):
    """The module of :class:`LevelProduct`."""

    one: Tensor

    def __init__(self, part: LevelProduct, space: Space) -> None:
        super().__init__(space, part.name())
        self.levels = nn.ModuleList()
        self.embeddings = nn.ModuleList()
        for i, level in enumerate(space.levels):
            self.levels.append(_decoder(part, level, space.levels[:i]))
            if i + 1 < len(space.levels):
                self.embeddings.append(nn.Embedding(level.classes or 0, part.embedding))
        self.register_buffer("one", torch.ones(1, 1), persistent=False)  # not 0, from which no weight could learn

    def logits(self, codes: Int[Tensor, "N total"]) -> Float[Tensor, "N total K"]:
        """See :class:`CodesModule`."""
        found = []
        for i, (level, decoder) in enumerate(zip(self.space.levels, self.levels, strict=True)):
            own = level.view(codes).movedim(-1, 1)
            parameters = decoder.parameters_of(self._above(codes, i), own)  # type: ignore[operator]
            found.append(parameters.unflatten(-1, (level.shape[-1], self.classes)).flatten(1, 3))
        return torch.cat(found, 1)

    def generate(self, uniforms: Float[Tensor, "N total"]) -> Int[Tensor, "N total"]:
        """See :class:`CodesModule`."""
        codes = torch.zeros_like(uniforms, dtype=torch.long)
        for i, (level, decoder) in enumerate(zip(self.space.levels, self.levels, strict=True)):
            drawn = decoder.generate(self._above(codes, i), level.view(uniforms))  # type: ignore[operator]
            codes[:, level.start : level.stop] = drawn.movedim(1, -1).flatten(1)
        return codes

    def _above(self, codes: Int[Tensor, "N total"], i: int) -> Float[Tensor, "N D"]:
        """What level i reads of those above it: their embeddings at the resolution of the one just above, in a row."""
        if i == 0:
            return self.one.expand(len(codes), 1)
        size = self.space.levels[i - 1].shape[:2]
        maps = []
        for level, table in zip(self.space.levels[:i], self.embeddings, strict=False):
            embedded = table(level.view(codes)).flatten(-2).movedim(-1, 1)
            maps.append(F.interpolate(embedded, size, mode="nearest"))
        return torch.cat(maps, 1).movedim(1, -1).flatten(1)


def _decoder(part: LevelProduct, level: Level, above: tuple[Level, ...]) -> PixelsModule:
    height, width, slots = level.shape
    spec = DataSpec(Layout.image(slots, height, width, level.classes or 0))
    z_shape = (*above[-1].shape[:2], sum(part.embedding * one.shape[-1] for one in above)) if above else (1,)
    likelihood = Categorical(levels=level.classes or 0, ordinal=False).build(spec)
    return part.decoder.build(spec, z_shape, likelihood)
