r"""q(z|x) = one point: at each place a coarse codeword, then codewords for what is left over, stage by stage.

$$ r_0 = z_e, \qquad c_l = \arg\min_k \lVert r_{l-1} - e^l_k \rVert^2, \qquad r_l = r_{l-1} - e^l_{c_l}, \qquad
   z_q = \sum_{l=1}^L e^l_{c_l}, \qquad \frac{\partial z_q}{\partial z_e} := 1 $$

Every stage has its own codebook and its own commitment, $\beta \lVert r_{l-1} - \mathrm{sg}(e^l_{c_l}) \rVert^2$, whose
gradient pulls the encoder. Codewords are moving averages, as in :mod:`buttress.posteriors.vector_quantized`. With L
stages of K codewords, K^L vectors can be told apart at the price of L searches among K.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from buttress.core import Posterior, Space
from buttress.core.records import Latent
from buttress.distributions.point import Point
from buttress.nn.layers import full
from buttress.nn.quantize import nearest
from buttress.posteriors._codebook import CodebookModule, check_codebook, first_levels, latent_of, repeated

__all__ = ["ResidualQuantized"]


@dataclass(frozen=True)
class ResidualQuantized(Posterior):
    """A sum of one codeword from each of L codebooks, at each place where the encoder gives features.

    Each stage is a level of z: rate, codes and decoder dependence are measured stage by stage, because stages that say
    nothing are how such a quantiser usually fails.

    Source: Zeghidour et al., SoundStream, 2021 (quantiser dropout); Lee et al., Autoregressive Image Generation using
    Residual Quantization, 2022. Deviations: data-dependent start and revival of codewords.

    Args:
        codes: Number K of codewords in each codebook.
        dim: Numbers D in a codeword.
        stages: Number L of codebooks.
        dropout: Probability that an example of a training batch is decoded from its first stages only, a random number
            of them; then the first stages alone give a coarse picture. 0 for never.
        decay: Of the moving averages.
        commitment: beta of each stage.
        revive: Steps without use after which a codeword starts anew.

    Errors:
        ValueError: A size that is too small, or a share outside its range.

    Example:
        >>> module = ResidualQuantized(codes=8, dim=4, stages=3).build(features=5, places=(2, 2))
        >>> module(torch.randn(7, 2, 2, 5)).event_shape, module.z_shape
        (torch.Size([12]), (2, 2, 4))
        >>> [(level.name, level.shape) for level in module.space.levels]
        [('stage1', (2, 2, 1)), ('stage2', (2, 2, 1)), ('stage3', (2, 2, 1))]
    """

    discrete: ClassVar[bool] = True

    codes: int = 256
    dim: int = 64
    stages: int = 4
    dropout: float = 0.0
    decay: float = 0.9
    commitment: float = 0.25
    revive: int = 100

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        check_codebook(self, codes=2, dim=1, stages=1, revive=1, commitment=0)

    @classmethod
    def tiny(cls) -> tuple[ResidualQuantized, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(codes=3, dim=2, stages=2, dropout=0.5),)

    def build(self, features: int, places: tuple[int, ...] = ()) -> ResidualQuantizedModule:
        """See :class:`buttress.core.Posterior`."""
        return ResidualQuantizedModule(self, features, places)


class ResidualQuantizedModule(CodebookModule):
    """The module of :class:`ResidualQuantized`: one codebook for each stage."""

    def __init__(self, part: ResidualQuantized, features: int, places: tuple[int, ...]) -> None:
        super().__init__(part.stages, part.codes, part.dim, "ema", part.decay, part.revive)
        self.part, self.places, self.z_shape = part, places, (*places, part.dim)
        self.linear = nn.Linear(features, part.dim)
        self._space = Space.stacked([(f"stage{i + 1}", (*places, 1), part.codes) for i in range(part.stages)])
        each = range(math.prod(places))
        self.groups = tuple(f"{level.name}/z{at}" for level in self._space.levels for at in each)
        self.seen: list[tuple[Tensor, Tensor, Tensor | None]] = []

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return self._space

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        found: Tensor | float = 0.0
        for level, book in zip(self.space.levels, self.codebook, strict=True):
            found = found + nn.functional.embedding(level.view(value)[..., 0], book)
        assert isinstance(found, Tensor)
        return found

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Point(self.quantize(self.vectors(h), valid)[0]), 1)

    def inside(self, valid: Bool[Tensor, "B *places"]) -> Bool[Tensor, "B *event"]:
        """See :class:`buttress.core.PosteriorModule`."""
        return valid.flatten(1).repeat(1, self.part.stages)

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        z = self.vectors(h)
        codes, words, residuals = self.quantize(z, valid)
        if self.training and z.requires_grad:
            chosen = [codes[:, level.start : level.stop].flatten() for level in self.space.levels]
            counted = None if valid is None else valid.flatten()
            given = [repeated(r.detach(), valid).flatten(0, -2) for r in residuals]
            self.seen = [(rows, c, counted) for rows, c in zip(given, chosen, strict=True)]
        if valid is not None:
            pairs = list(zip(residuals, words, strict=True))
            residuals = [torch.where(valid[..., None], r, word) for r, word in pairs]
            z = torch.where(valid[..., None], z, z.detach())
        distance = sum((r - word).square().flatten(1).sum(1) for r, word in zip(residuals, words, strict=True))
        read = z + (self._summed(words) - z).detach()
        return latent_of(read, codes, {"commitment": self.part.commitment * torch.as_tensor(distance)}, prior, samples)

    def vectors(self, h: Float[Tensor, "B *places F"]) -> Float[Tensor, "B *places D"]:
        """z_e, in float32 at least, whatever the precision around it."""
        with torch.autocast(h.device.type, enabled=False):
            return self.linear(full(h))

    def quantize(
        self, z: Float[Tensor, "B *places D"], valid: Bool[Tensor, "B *places"] | None = None
    ) -> tuple[Int[Tensor, "B N"], list[Tensor], list[Tensor]]:
        """Codes of all stages in a row, 0 behind the true end; codewords, without gradient; and what each stage was
        given, with z's.
        """
        codes, words, residuals = [], [], [z]
        for book in self.codebook.detach():
            found = nearest(residuals[-1].detach().flatten(0, -2), book).view(z.shape[:-1])
            found = found if valid is None else torch.where(valid, found, 0)
            words.append(nn.functional.embedding(found, book))
            residuals.append(residuals[-1] - words[-1])
            codes.append(found.view(len(z), -1))
        return torch.cat(codes, 1), words, residuals[:-1]

    def _summed(self, words: list[Tensor]) -> Float[Tensor, "B *places D"]:
        """The sum over stages; in training, with ``dropout``, over the first few of some examples."""
        stacked = torch.stack(words, 1)
        if not self.training or not self.part.dropout:
            return stacked.sum(1)
        on = first_levels(len(stacked), len(words), self.part.dropout, stacked)
        return (stacked * on.view(*on.shape, *[1] * (stacked.dim() - 2))).sum(1)

    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`."""
        for at, (rows, chosen, counted) in enumerate(self.seen):
            self.follow(at, rows, chosen, counted)
        self.seen = []
