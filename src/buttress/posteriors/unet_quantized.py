r"""q(z|x) = one point: codes of a sequence on several time scales, and what they leave out, averaged over time.

$$ V_i = W_i U_i, \quad U_{i+1} = f_i(U_i) \text{ at half the places}, \qquad
   n_i = \mathrm{cn}(\mathrm{in}(V_i)), \qquad C_i = e^i_{c_i},\ c_{it} = \arg\min_k \lVert n_{it} - e^i_k \rVert^2 $$

$$ S_i = \operatorname{round} \tanh \frac1T \sum_t (V_{it} - \mathrm{sg}(C_{it})), \qquad
   z = (S, c_L, \ldots, c_1), \qquad \text{the decoder reads } C_i + S_i \text{ at each scale} $$

U_1 are the encoder's features, in is normalisation over time and cn over channels (:mod:`buttress.nn.over_time`), sg is
"no gradient". C says what changes in a recording, S what is constant in it: the same C beside the S of another
recording is the same content in another voice. A U-Net whose skips are all quantised reads both
(:mod:`buttress.decoders.unet`).

S is a function of x, and a decoder that read it for nothing would give no bound on log p(x). So S is part of z here:
each of its numbers is rounded to one of K values and costs what the prior says of it, as a code does (log K nats if
that is uniform). It is the level "speaker" of z.

Source: Wu, Chen and Lee, VQVC+: One-Shot Voice Conversion by Vector Quantization and U-Net architecture, 2020.
Deviations: S is rounded, and bounded by tanh where the paper divides it by its norm; in divides by the standard
deviation, where the paper has the norm over time, which grows with the length; codewords are moving averages, and the
decoder reads them as they are chosen; convolutions and no recurrent layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn import functional as F

from buttress.core import Posterior, PosteriorModule, Space
from buttress.core.records import Latent
from buttress.distributions.point import Point
from buttress.nn.layers import full
from buttress.nn.over_time import mean_over_time, normalised_over_channels, normalised_over_time
from buttress.nn.quantize import straight_through
from buttress.nn.rounding import code_of, value_of
from buttress.posteriors._codebook import latent_of, repeated, spread
from buttress.posteriors.hierarchical_quantized import level_names
from buttress.posteriors.vector_quantized import VectorQuantized, VectorQuantizedModule

__all__ = ["FINE", "SPEAKER", "UNetQuantized"]

SPEAKER = "speaker"
"""The level of z that says what is constant in a recording."""
FINE = 256
"""Values that each number of the content is rounded to where nothing else quantises it."""
SLOPE = 0.2
"""Of the leaky ReLU below 0."""


@dataclass(frozen=True)
class UNetQuantized(Posterior):
    """Codes of what changes in a sequence at several time scales, and a few numbers for what is constant in it.

    Places behind the true end of an example have code 0, cost nothing and are not read.

    Args:
        scales: Number L of time scales, the first that of the encoder's features, each other half as fine.
        codes: Codewords of the coarsest scale; each finer one has half as many as the one above it, and at least 2.
        dim: Numbers in a codeword, and in S at each scale.
        quantizer: "codebook"; or "none", which rounds each number of n to one of 256 values, so that z is made of
            codes still and what it costs is known.
        skips: Whether all scales have codes; if not, the coarsest alone.
        speaker_values: K, values of each number of S, at most 256.
        normalize: Whether V is normalised before it is quantised; else n = V, which keeps what is constant in a
            recording, and without a codebook S is then what rounding leaves, about 0.
        decay: Weight of the past in the moving averages of the codewords.
        commitment: Weight of the pull of the features towards their codewords; squares are summed over places and
            numbers.
        revive: Steps without use after which a codeword starts anew.

    Errors:
        ValueError: A size that is too small, or more than 256 values of a number; when built, features that are no
            sequence.

    Example:
        >>> module = UNetQuantized(codes=8, dim=4).build(features=5, places=(32,))
        >>> [(level.name, level.shape, level.classes) for level in module.space.levels[:3]]
        [('speaker', (12, 1), 16), ('top', (8, 1), 8), ('middle', (16, 1), 4)]
        >>> q = module(torch.randn(7, 32, 5))
        >>> q.event_shape, module.embed(q.sample()).shape  # 12 + 8 + 16 + 32 codes
        (torch.Size([68]), torch.Size([7, 32, 12]))
    """

    discrete: ClassVar[bool] = True

    scales: int = 3
    codes: int = 64
    dim: int = 32
    quantizer: Literal["codebook", "none"] = "codebook"
    skips: bool = True
    speaker_values: int = 16
    normalize: bool = True
    decay: float = 0.9
    commitment: float = 0.25
    revive: int = 100

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        _ = self.books
        if self.scales < 1 or self.dim < 2:
            raise ValueError(
                f"unet_quantized posterior: scales is {self.scales} and dim {self.dim}; wanted at least 1 and 2"
            )
        if not 2 <= self.speaker_values <= FINE:
            raise ValueError(
                f"unet_quantized posterior: speaker_values is {self.speaker_values}, wanted 2 to {FINE}, such as 16"
            )

    @property
    def books(self) -> list[VectorQuantized]:
        """The quantiser of each scale, the coarsest first."""
        first = VectorQuantized(self.codes, self.dim, decay=self.decay, commitment=self.commitment, revive=self.revive)
        finer = range(1, self.scales if self.skips else 1)
        return [first, *(first.replace(codes=max(2, self.codes >> scale)) for scale in finer)]

    @classmethod
    def tiny(cls) -> tuple[UNetQuantized, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(scales=2, codes=4, dim=3, speaker_values=4)
        fine = small.replace(quantizer="none", speaker_values=FINE)
        return (small, small.replace(skips=False), fine, fine.replace(normalize=False))

    def build(self, features: int, places: tuple[int, ...] = ()) -> UNetQuantizedModule:
        """See :class:`buttress.core.Posterior`."""
        if len(places) != 1:
            raise ValueError(
                f"unet_quantized posterior: the encoder gives features at places {places}, wanted a sequence; try a "
                "conv1d encoder with positions=true"
            )
        return UNetQuantizedModule(self, features, places[0])


class UNetQuantizedModule(PosteriorModule):
    """The module of :class:`UNetQuantized`. Lists are in the order of levels, the coarsest first."""

    def __init__(self, part: UNetQuantized, features: int, places: int) -> None:
        super().__init__()
        self.part, self.places = part, places
        self.halve = nn.ModuleList(_Halve(features) for _ in range(part.scales - 1))
        self.books = nn.ModuleList(
            book.build(features) if part.quantizer == "codebook" else nn.Linear(features, part.dim)
            for book in part.books
        )
        self.strides = [2 ** (part.scales - 1 - level) for level in range(len(self.books))]
        self.z_shape = (places, len(self.books) * part.dim)
        slots = 1 if part.quantizer == "codebook" else part.dim
        shapes = [(-(-places // stride), slots) for stride in self.strides]
        sizes = [book.codes if part.quantizer == "codebook" else FINE for book in part.books]
        named = zip(level_names(part.scales), shapes, sizes, strict=False)
        speaker = (SPEAKER, (len(self.books) * part.dim, 1), part.speaker_values)
        self._space = Space.stacked([speaker, *named])
        self.groups = tuple(
            f"{level.name}/z{at}" for level in self._space.levels for at in range(math.prod(level.shape))
        )

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return self._space

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        speaker, *content = (level.view(value) for level in self.space.levels)
        said = value_of(speaker[..., 0], self.part.speaker_values)
        return self._together([self._words(at, codes) for at, codes in enumerate(content)], said)

    def forward(self, h: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Point(self._quantize(h, valid)[1]), 1)

    def latent(
        self,
        h: Float[Tensor, "B T F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        read, codes, distance = self._quantize(h, valid)
        penalty = {"commitment": self.part.commitment * distance} if self.part.quantizer == "codebook" else {}
        return latent_of(read, codes, penalty, prior, samples)

    def inside(self, valid: Bool[Tensor, "B T"]) -> Bool[Tensor, "B N"]:
        """See :class:`buttress.core.PosteriorModule`. The voice of an example has no place."""
        speaker, *content = self.space.levels
        each = [
            spread(valid[:, ::stride], level.shape[-1]) for stride, level in zip(self.strides, content, strict=True)
        ]
        voice = valid.new_ones(len(valid), speaker.stop)
        return torch.cat([voice, *(found.flatten(1) for found in each)], 1)

    def before_and_after(
        self, h: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"] | None = None
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """V and C (B, T_i, D), and which places (B, T_i) are true, of each level of content by its name."""
        found = {}
        for at, (v, inside) in enumerate(self._values(h, valid)):
            codes = self._codes(at, self._normalised(v, inside), inside)
            found[self.space.levels[at + 1].name] = (v, self._words(at, codes), inside)
        return found

    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`."""
        for book in self.books:
            if isinstance(book, VectorQuantizedModule):
                book.after_step()

    def _quantize(
        self, h: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T E"], Int[Tensor, "B N"], Float[Tensor, " B"]]:
        """What the decoder reads, all codes, and each example's squared distance of n from the codewords."""
        words, chosen, left = [], [], []
        total = h.new_zeros(len(h), dtype=torch.float32)
        for at, (v, inside) in enumerate(self._values(h, valid)):
            n = self._normalised(v, inside)
            codes = self._codes(at, n, inside)
            q = self._words(at, codes)
            through, distance = straight_through(n, torch.where(inside[..., None], q, 0))
            total = total + distance
            self._remember(at, n, codes, inside)
            left.append(mean_over_time(v - q, inside))
            words.append(torch.where(inside[..., None], through, q))
            chosen.append(codes.flatten(1))
        bounded = torch.cat(left, -1).tanh()
        speaker = code_of(bounded, self.part.speaker_values)
        said = bounded + (value_of(speaker, self.part.speaker_values) - bounded).detach()
        return self._together(words, said), torch.cat([speaker, *chosen], 1), total

    def _values(self, h: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"] | None) -> list[tuple[Tensor, Tensor]]:
        """V (B, T_i, D) of each level and which places (B, T_i) are true, in float32 whatever is around it."""
        inside = torch.ones(h.shape[:2], dtype=torch.bool, device=h.device) if valid is None else valid
        maps = [(h * inside[..., None], inside)]
        for halve in self.halve:
            u, inside = maps[0]
            inside = inside[:, ::2]
            maps.insert(0, (halve(u, inside), inside))
        return [(self._value(at, u), inside) for at, (u, inside) in enumerate(maps[: len(self.books)])]

    def _value(self, at: int, u: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        book = self.books[at]
        if isinstance(book, VectorQuantizedModule):
            return book.vectors(u)[..., 0, :]
        with torch.autocast(u.device.type, enabled=False):
            found: Tensor = book(full(u))
        bound = math.sqrt(self.part.dim)  # of what can be rounded; normalised numbers keep to it by themselves
        return found if self.part.normalize else bound * (found / bound).tanh()

    def _normalised(self, v: Float[Tensor, "B T D"], inside: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return normalised_over_channels(normalised_over_time(v, inside)) if self.part.normalize else v

    def _codes(self, at: int, n: Float[Tensor, "B T D"], inside: Bool[Tensor, "B T"]) -> Int[Tensor, "B T slots"]:
        """The codes of a level, 0 behind the true end."""
        book = self.books[at]
        if isinstance(book, VectorQuantizedModule):
            codes = book.choose(n[..., None, :])
        else:
            codes = code_of(n / math.sqrt(self.part.dim), FINE)  # no number of n is larger than the square root
        return torch.where(inside[..., None], codes, 0)

    def _words(self, at: int, codes: Shaped[Tensor, "*batch T slots"]) -> Float[Tensor, "*batch T D"]:
        """C of the codes of a level."""
        book = self.books[at]
        if isinstance(book, VectorQuantizedModule):
            return book.embed(codes)
        return value_of(codes, FINE) * math.sqrt(self.part.dim)

    def _remember(self, at: int, n: Tensor, codes: Tensor, inside: Bool[Tensor, "B T"]) -> None:
        """Keep what the codewords of a level follow."""
        book = self.books[at]
        if not (isinstance(book, VectorQuantizedModule) and self.training and n.requires_grad):
            return
        book.seen = (repeated(n.detach(), inside)[..., None, :], codes, inside[..., None])

    def _together(self, words: list[Tensor], said: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch T E"]:
        """C + S of all levels side by side, each place of a coarse level repeated for the fine ones below it."""
        each = zip(words, self.strides, strict=True)
        wide = [w.repeat_interleave(min(stride, self.places), -2)[..., : self.places, :] for w, stride in each]
        return torch.cat(wide, -1) + said[..., None, :]


class _Halve(nn.Module):
    """Half as many places (rounded up), and a convolution on what is there then; 0 behind the true end, before too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.mix = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, u: Float[Tensor, "B T F"], inside: Bool[Tensor, "B T2"]) -> Float[Tensor, "B T2 F"]:
        """The map at half the places, of which ``inside`` are true."""
        down = F.leaky_relu(self.down(u.mT), SLOPE) * inside[:, None]
        mixed: Tensor = self.mix(down)
        return (F.leaky_relu(down + mixed, SLOPE) * inside[:, None]).mT
