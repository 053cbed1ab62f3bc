r"""q(z|x) = one point on L maps of codes, the coarsest first; each finer map is chosen with the coarser ones in view.

Bottom-up the encoder's map $h_L = h$ is halved, $h_{l-1} = f_l(h_l)$; then, from the top $l = 1$ down,

$$ c_l = \arg\min_k \lVert W_l [h_l, g_l(e^1_{c_1}, \ldots, e^{l-1}_{c_{l-1}})] - e^l_k \rVert^2, \qquad
   z_q = [\uparrow e^1_{c_1}, \ldots, e^L_{c_L}] $$

f_l is a strided convolution and a residual block; g_l decodes all codewords above to the size of level l; the arrow
repeats places until all maps have one size. Losses and moving averages of each level are those of
:mod:`buttress.posteriors.vector_quantized`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn import functional as F

from buttress.core import Posterior, PosteriorModule, Space
from buttress.core.records import Latent
from buttress.distributions.point import Point
from buttress.nn.layers import Residual
from buttress.nn.maps import Upsample, halved
from buttress.posteriors._codebook import check_codebook, first_levels, latent_of
from buttress.posteriors.vector_quantized import VectorQuantized, VectorQuantizedModule

__all__ = ["HierarchicalQuantized", "level_names"]


def level_names(levels: int) -> tuple[str, ...]:
    """What the levels of maps of codes are called, the coarsest first.

    Example:
        >>> level_names(1), level_names(3), level_names(4)
        (('top',), ('top', 'middle', 'bottom'), ('top', 'level2', 'level3', 'bottom'))
    """
    middle = ("middle",) if levels == 3 else tuple(f"level{number}" for number in range(2, levels))
    return ("top", *middle, "bottom")[: max(levels, 1)]


@dataclass(frozen=True)
class HierarchicalQuantized(Posterior):
    """Maps of codes of several sizes: what is global goes to the small top map, what is local to those below.

    z is one flat row of codes, top first; ``Space.levels`` gives the view of each level.

    Source: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019. Ours: places
    of upper codewords are repeated for the image's decoder, where the paper has a transposed convolution.

    Args:
        levels: Number L of maps, each half as high and wide as the one below it; 1 is a single map.
        codes: Number K of codewords of each level.
        dim: Numbers D in a codeword.
        dropout: Probability that an example of a training batch is decoded from its top maps only, a random number of
            them; then the top maps alone give a coarse picture, and are not idle where the bottom one tells all. What
            is not read counts as 0. 0 for never.
        decay: Weight of the past in the moving averages of the codewords.
        commitment: Weight of the pull of the encoder towards its codewords.
        revive: Steps without use after which a codeword starts anew.

    Errors:
        ValueError: A size that is too small; when built, the encoder gives no map that can be halved so often.

    Example:
        >>> module = HierarchicalQuantized(levels=3, codes=8, dim=4).build(features=5, places=(4, 3))
        >>> [(level.name, level.shape) for level in module.space.levels], module.z_shape
        ([('top', (1, 1, 1)), ('middle', (2, 2, 1)), ('bottom', (4, 3, 1))], (4, 3, 12))
        >>> module(torch.randn(7, 4, 3, 5)).event_shape  # all codes of all levels
        torch.Size([17])
    """

    discrete: ClassVar[bool] = True

    levels: int = 2
    codes: int = 512
    dim: int = 64
    dropout: float = 0.0
    decay: float = 0.9
    commitment: float = 0.25
    revive: int = 100

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        _ = self.level
        check_codebook(self)
        if self.levels < 1:
            raise ValueError(f"hierarchical_quantized posterior: levels is {self.levels}, wanted at least 1")

    @property
    def level(self) -> VectorQuantized:
        """The quantiser of each level."""
        return VectorQuantized(self.codes, self.dim, decay=self.decay, commitment=self.commitment, revive=self.revive)

    @property
    def names(self) -> tuple[str, ...]:
        """What the levels are called, top first."""
        return level_names(self.levels)

    @classmethod
    def tiny(cls) -> tuple[HierarchicalQuantized, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(codes=2, dim=2), cls(levels=3, codes=2, dim=2, dropout=0.5))

    def build(self, features: int, places: tuple[int, ...] = ()) -> HierarchicalQuantizedModule:
        """See :class:`buttress.core.Posterior`."""
        if len(places) != 2 or max(places) <= 2 ** (self.levels - 2):
            raise ValueError(
                f"hierarchical_quantized posterior: the encoder gives features at places {places}, wanted a map that "
                f"can be halved {self.levels - 1} times; try a conv encoder with spatial=true, fewer stages, or fewer "
                "levels"
            )
        return HierarchicalQuantizedModule(self, features, (places[0], places[1]))


class HierarchicalQuantizedModule(PosteriorModule):
    """The module of :class:`HierarchicalQuantized`. Lists are in the order of levels, top first."""

    def __init__(self, part: HierarchicalQuantized, features: int, places: tuple[int, int]) -> None:
        super().__init__()
        self.dropout = part.dropout
        self.sizes = halved(list(places), part.levels - 1)[::-1]
        self.z_shape = (*places, part.levels * part.dim)
        self.coarser, self.above = nn.ModuleList(), nn.ModuleList()  # from level l + 1 to l, and from above l + 1 to it
        for upper, lower in zip(self.sizes, self.sizes[1:], strict=False):
            halving = nn.Conv2d(features, features, 3, stride=2, padding=1)
            self.coarser.append(nn.Sequential(halving, Residual(features, "silu")))
            seen = part.dim * (len(self.above) + 1)
            self.above.append(Upsample((*upper, seen), features, part.dim, lower, bias=True))
        self.quantisers = nn.ModuleList(
            part.level.build(features + bool(number) * part.dim, size) for number, size in enumerate(self.sizes)
        )
        self._space = Space.stacked(
            [(name, (*size, 1), part.codes) for name, size in zip(part.names, self.sizes, strict=True)]
        )
        named = zip(part.names, self.quantisers, strict=True)
        self.groups = tuple(f"{name}/{group}" for name, module in named for group in module.groups)  # type: ignore[union-attr]

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return self._space

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        levels = zip(self._quantisers, self.space.levels, strict=True)
        return _spread([quantiser.embed(level.view(value)) for quantiser, level in levels], self.sizes[-1])

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Point(_row(self._down(h)[1])), 1)

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        read, codes, penalties = self._down(h)
        total = {name: torch.stack([penalty[name] for penalty in penalties]).sum(0) for name in penalties[0]}
        return latent_of(_spread(self._dropped(read), self.sizes[-1]), _row(codes), total, prior, samples)

    def _dropped(self, read: list[Tensor]) -> list[Tensor]:
        """What the decoder reads of each level: in training, with ``dropout``, of some examples the first few alone."""
        if not self.training or not self.dropout:
            return read
        on = first_levels(len(read[0]), len(read), self.dropout, read[0])
        return [words * on[:, number].view(-1, 1, 1, 1) for number, words in enumerate(read)]

    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`."""
        for quantiser in self._quantisers:
            quantiser.after_step()

    @property
    def _quantisers(self) -> list[VectorQuantizedModule]:
        return list(self.quantisers)  # type: ignore[arg-type]

    def _down(self, h: Float[Tensor, "B H W F"]) -> tuple[list[Tensor], list[Tensor], list[dict[str, Tensor]]]:
        """What is read of each level, its codes and its penalties: the top first, each with those above in view."""
        maps = [h.movedim(-1, 1)]
        for coarser in reversed(self.coarser):
            maps.insert(0, coarser(maps[0]))
        read: list[Tensor] = []
        codes: list[Tensor] = []
        penalties: list[dict[str, Tensor]] = []
        for number, quantiser in enumerate(self._quantisers):
            own = maps[number].movedim(1, -1)
            if number:
                decoded = self.above[number - 1](_spread(read, self.sizes[number - 1]).flatten(1).to(h.dtype))
                own = torch.cat([own, decoded], -1)
            words, chosen, penalty = quantiser.quantize(own)
            read, codes, penalties = [*read, words], [*codes, chosen], [*penalties, penalty]
        return read, codes, penalties


def _spread(levels: list[Tensor], size: tuple[int, int]) -> Float[Tensor, "*batch H W E"]:
    """Codewords (*batch, h, w, D) of several levels side by side, places repeated until every map has this size."""
    return torch.cat([_repeated(words, size) for words in levels], -1)


def _repeated(words: Float[Tensor, "*batch h w D"], size: tuple[int, int]) -> Float[Tensor, "*batch H W D"]:
    if words.shape[-3:-1] == size:
        return words
    flat = words.reshape(-1, *words.shape[-3:]).movedim(-1, 1)
    spread = F.interpolate(flat, size, mode="nearest").movedim(1, -1)
    return spread.reshape(*words.shape[:-3], *spread.shape[1:])


def _row(codes: list[Tensor]) -> Int[Tensor, "B N"]:
    return torch.cat([found.flatten(1) for found in codes], 1)
