r"""q(z|x) = one point on two levels of codes: a coarse map first, then a fine one that sees the coarse codewords.

$$ c_t = \arg\min_k \lVert f_t(h) - e^t_k \rVert^2, \qquad
   c_b = \arg\min_k \lVert f_b(h, \uparrow e^t_{c_t}) - e^b_k \rVert^2, \qquad z_q = [\uparrow e^t_{c_t}, e^b_{c_b}] $$

f_t halves the map by a strided convolution, the arrow repeats places until both maps have one size. Losses and moving
averages of each level are those of :mod:`buttress.posteriors.vector_quantized`.
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
from buttress.posteriors._codebook import latent_of
from buttress.posteriors.vector_quantized import VectorQuantized

__all__ = ["TwoLevelQuantized"]


@dataclass(frozen=True)
class TwoLevelQuantized(Posterior):
    """A top map of codes at half the resolution, and a bottom map conditioned on it.

    z is one flat row of codes, top first; ``Space.levels`` gives the view of each level.

    Source: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019.

    Args:
        codes: Number K of codewords of each level.
        dim: Numbers D in a codeword.
        decay: Weight of the past in the moving averages of the codewords.
        commitment: Weight of the pull of the encoder towards its codewords.
        revive: Steps without use after which a codeword starts anew.

    Errors:
        ValueError: A size that is too small; when built, the encoder gives no map of at least 2 x 2 places.

    Example:
        >>> module = TwoLevelQuantized(codes=8, dim=4).build(features=5, places=(4, 3))
        >>> [(level.name, level.shape) for level in module.space.levels], module.z_shape
        ([('top', (2, 2, 1)), ('bottom', (4, 3, 1))], (4, 3, 8))
        >>> module(torch.randn(7, 4, 3, 5)).event_shape  # all codes of both levels
        torch.Size([16])
    """

    discrete: ClassVar[bool] = True

    codes: int = 512
    dim: int = 64
    decay: float = 0.9
    commitment: float = 0.25
    revive: int = 100

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        _ = self.level

    @property
    def level(self) -> VectorQuantized:
        """The quantiser of each level."""
        return VectorQuantized(self.codes, self.dim, decay=self.decay, commitment=self.commitment, revive=self.revive)

    @classmethod
    def tiny(cls) -> tuple[TwoLevelQuantized, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(codes=2, dim=2),)

    def build(self, features: int, places: tuple[int, ...] = ()) -> TwoLevelQuantizedModule:
        """See :class:`buttress.core.Posterior`."""
        if len(places) != 2 or min(places) < 2:
            raise ValueError(
                f"two_level_quantized posterior: the encoder gives features at places {places}, wanted a map of at "
                "least 2 x 2; try a conv encoder with spatial=true, or fewer stages"
            )
        return TwoLevelQuantizedModule(self, features, (places[0], places[1]))


class TwoLevelQuantizedModule(PosteriorModule):
    """The module of :class:`TwoLevelQuantized`."""

    def __init__(self, part: TwoLevelQuantized, features: int, places: tuple[int, int]) -> None:
        super().__init__()
        top = ((places[0] + 1) // 2, (places[1] + 1) // 2)
        self.places, self.z_shape = places, (*places, 2 * part.dim)
        self.coarse = nn.Conv2d(features, features, 3, stride=2, padding=1)
        self.top = part.level.build(features, top)
        self.bottom = part.level.build(features + part.dim, places)
        self._space = Space.stacked([("top", (*top, 1), part.codes), ("bottom", (*places, 1), part.codes)])
        levels = (("top", self.top), ("bottom", self.bottom))
        self.groups = tuple(f"{name}/{group}" for name, module in levels for group in module.groups)

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return self._space

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        top, bottom = (level.view(value) for level in self.space.levels)
        return torch.cat([self._spread(self.top.embed(top)), self.bottom.embed(bottom)], -1)

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        top = self.top.choose(self.top.vectors(self._halved(h)))
        bottom = self.bottom.choose(self.bottom.vectors(self._fine(h, self.top.embed(top))))
        return Independent(Point(_row(top, bottom)), 1)

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        read_top, top, one = self.top.quantize(self._halved(h))
        read_bottom, bottom, other = self.bottom.quantize(self._fine(h, read_top))
        read = torch.cat([self._spread(read_top), read_bottom], -1)
        return latent_of(read, _row(top, bottom), {k: v + other[k] for k, v in one.items()}, prior, samples)

    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`."""
        self.top.after_step()
        self.bottom.after_step()

    def _halved(self, h: Float[Tensor, "B H W F"]) -> Float[Tensor, "B h w F"]:
        return self.coarse(h.movedim(-1, 1)).movedim(1, -1)

    def _fine(self, h: Float[Tensor, "B H W F"], top: Float[Tensor, "B h w D"]) -> Float[Tensor, "B H W G"]:
        return torch.cat([h, self._spread(top).to(h.dtype)], -1)

    def _spread(self, top: Float[Tensor, "*batch h w D"]) -> Float[Tensor, "*batch H W D"]:
        """Places repeated until the top map has the size of the bottom one."""
        flat = top.reshape(-1, *top.shape[-3:]).movedim(-1, 1)
        spread = F.interpolate(flat, self.places, mode="nearest").movedim(1, -1)
        return spread.reshape(*top.shape[:-3], *spread.shape[1:])


def _row(top: Int[Tensor, "B *rest"], bottom: Int[Tensor, "B *rest2"]) -> Int[Tensor, "B N"]:
    return torch.cat([top.flatten(1), bottom.flatten(1)], 1)
