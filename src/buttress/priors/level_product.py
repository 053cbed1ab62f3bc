r"""p(z|y) = prod_l p(z_l | z_above, y): each level of codes by a PixelCNN that reads the levels above it.

$$ p(z|y) = \prod_{l = 1}^L \prod_i p(z_{l,i} \mid z_{l,<i},\ z_1, \ldots, z_{l-1},\ y) $$

Level l is decoded as an image of symbols; the codes above it are embedded, resized to the map just above, and take the
place of the decoder's z. The top level has a constant in that place. Where the prior reads what is given, a vector
c(y) takes the place of the constant, and is repeated beside the codes above at every place. The top map is small and
says what is global, so it may have attention over all of its places (PixelSNAIL).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import DataSpec, Decoder, Layout, Level, Prior, Space
from buttress.decoders._pixels import PixelsModule
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.pixelsnail import PixelSNAIL
from buttress.likelihoods.categorical import Categorical
from buttress.priors._codes import CodesModule, check_given

__all__ = ["LevelProduct"]

BLOCK = 2
"""Gated layers before each attention of the top level."""


@dataclass(frozen=True)
class LevelProduct(Prior):
    """A gated PixelCNN for every level of codes, each conditioned on the levels above.

    Source: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019. Ours is
    smaller: no dropout, and one embedding of the codes above in place of a deep residual stack.

    Args:
        field: Width of the causal window of the convolutions of each level, in places, odd; None for all of the map.
        layers: Number of gated layers of each level; with a top of ``pixelsnail`` an even number.
        channels: Channels of the horizontal stack.
        embedding: Numbers in the embedding of a code of a level above.
        top: What the top level is decoded by: "pixelcnn", or "pixelsnail", with an attention after every two layers.
        heads: Heads of each attention; they share the channels.
        given: Numbers in the vector c(y) of what the data offer beside x, such as a label, on which p(z|y) then
            depends; 0 for a prior that reads none of it.

    Errors:
        ValueError: A number that is too small, or does not fit another; when built, z has no levels of code maps.

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
    top: Literal["pixelcnn", "pixelsnail"] = "pixelcnn"
    heads: int = 2
    given: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        self.decoder(0)
        self.decoder(1)
        check_given(self)
        if self.embedding < 1:
            raise ValueError(f"level_product prior: embedding is {self.embedding}, wanted at least 1")
        if self.top == "pixelsnail" and self.layers % BLOCK:
            raise ValueError(
                f"level_product prior: layers is {self.layers}, wanted an even number, as an attention follows every "
                f"{BLOCK} layers of a top of pixelsnail"
            )

    def decoder(self, number: int) -> Decoder:
        """The decoder of level ``number``, of which 0 is the top."""
        if number or self.top == "pixelcnn":
            return PixelCNN(field=self.field, layers=self.layers, channels=self.channels)
        blocks = max(1, self.layers // BLOCK)
        return PixelSNAIL(blocks=blocks, layers=BLOCK, channels=self.channels, heads=self.heads, field=self.field)

    @classmethod
    def tiny(cls) -> tuple[LevelProduct, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(layers=2, channels=4, embedding=2)
        return (small, small.replace(top="pixelsnail", field=3))

    def build(self, space: Space) -> LevelProductModule:
        """See :class:`buttress.core.Prior`."""
        if not space.levels or any(len(level.shape) != 3 for level in space.levels):
            raise ValueError(
                f"level_product prior: z of shape {space.shape} has no levels of code maps; try the "
                "hierarchical_quantized posterior, or the pixelcnn prior for one map"
            )
        return LevelProductModule(self, space)


class LevelProductModule(CodesModule):
    """The module of :class:`LevelProduct`."""

    def __init__(self, part: LevelProduct, space: Space) -> None:
        super().__init__(space, part.name(), part.given)
        self.levels = nn.ModuleList()
        self.embeddings = nn.ModuleList()
        for i, level in enumerate(space.levels):
            self.levels.append(_decoder(part, level, space.levels[:i]))
            if i + 1 < len(space.levels):
                self.embeddings.append(nn.Embedding(level.classes or 0, part.embedding))

    def logits(self, codes: Int[Tensor, "N total"], c: Float[Tensor, "N E"]) -> Float[Tensor, "N total K"]:
        """See :class:`CodesModule`."""
        found = []
        for i, (level, decoder) in enumerate(zip(self.space.levels, self.levels, strict=True)):
            own = level.view(codes).movedim(-1, 1)
            parameters = decoder.parameters_of(self._above(codes, i, c), own)  # type: ignore[operator]
            found.append(parameters.unflatten(-1, (level.shape[-1], self.classes)).flatten(1, 3))
        return torch.cat(found, 1)

    def generate(self, uniforms: Float[Tensor, "N total"], c: Float[Tensor, "N E"]) -> Int[Tensor, "N total"]:
        """See :class:`CodesModule`."""
        codes = torch.zeros_like(uniforms, dtype=torch.long)
        for i, (level, decoder) in enumerate(zip(self.space.levels, self.levels, strict=True)):
            drawn = decoder.generate(self._above(codes, i, c), level.view(uniforms))  # type: ignore[operator]
            codes[:, level.start : level.stop] = drawn.movedim(1, -1).flatten(1)
        return codes

    def _above(self, codes: Int[Tensor, "N total"], i: int, c: Float[Tensor, "N E"]) -> Float[Tensor, "N D"]:
        """What level i reads: the embeddings of those above at the resolution of the one just above, and c(y), in a
        row.
        """
        if i == 0:
            return c
        size = self.space.levels[i - 1].shape[:2]
        maps = [] if not self.given else [c[..., None, None].expand(*c.shape, *size)]
        for level, table in zip(self.space.levels[:i], self.embeddings, strict=False):
            embedded = table(level.view(codes)).flatten(-2).movedim(-1, 1)
            maps.append(F.interpolate(embedded, size, mode="nearest"))
        return torch.cat(maps, 1).movedim(1, -1).flatten(1)


def _decoder(part: LevelProduct, level: Level, above: tuple[Level, ...]) -> PixelsModule:
    height, width, slots = level.shape
    spec = DataSpec(Layout.image(slots, height, width, level.classes or 0))
    seen = part.given + sum(part.embedding * one.shape[-1] for one in above)
    z_shape = (*above[-1].shape[:2], seen) if above else (part.given or 1,)
    likelihood = Categorical(levels=level.classes or 0, ordinal=False).build(spec)
    if height * width == 1:  # there is no place before, to attend to or to convolve
        part = part.replace(top="pixelcnn", field=None)
    module = part.decoder(len(above)).build(spec, z_shape, likelihood)
    assert isinstance(module, PixelsModule)
    return module
