r"""q(z|x) = one point: z = the index of the codeword nearest to what the encoder says, at each place and slot.

$$ c = \arg\min_k \lVert z_e - e_k \rVert^2, \qquad z_q = e_c, \qquad
   \frac{\partial z_q}{\partial z_e} := 1, \qquad \mathrm{KL} = -\log p(c) $$

Two terms hold encoder and codebook together, sg being "no gradient". With ``ema`` moving averages take the place of
the second, gamma the ``decay``, n_k how many vectors of a step have codeword k and s_k their sum:

$$ \beta \lVert z_e - \mathrm{sg}(e_c) \rVert^2, \quad \lVert \mathrm{sg}(z_e) - e_c \rVert^2
   \qquad\text{or}\qquad N_k \leftarrow \gamma N_k + (1 - \gamma) n_k, \quad
   e_k \leftarrow e_k + \frac{1 - \gamma}{N_k} (s_k - n_k e_k) $$

That is the average m_k / N_k with m_k <- gamma m_k + (1 - gamma) s_k, written without m_k: a codeword that nobody uses
stays exactly where it is, and needs no smoothed counts to divide by.

With ``normalize`` z_e = (a - mean(a)) / std(a), a being the numbers of all slots of a place: slots that share codewords
are of one scale, and the encoder cannot run away from its codewords by growing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from buttress.core import Posterior, Space
from buttress.core.posterior import group_names
from buttress.core.records import Latent
from buttress.distributions.point import Point
from buttress.nn.jitter import jittered
from buttress.nn.layers import full
from buttress.nn.quantize import nearest, straight_through
from buttress.nn.rotation import rotated
from buttress.posteriors._codebook import CodebookModule, check_codebook, latent_of, repeated, spread, within

__all__ = ["VectorQuantized"]


@dataclass(frozen=True)
class VectorQuantized(Posterior):
    """One of K codewords at each place where the encoder gives features, or several.

    The penalty ``commitment`` (and ``codebook``, where it is learned by gradient) is a sum over the D numbers of a
    codeword and over all places and slots, per example, as the distortion is a sum over pixels or words; libraries that
    take the mean over D divide beta by D. What a penalty of 1 weighs depends on the scale of z_e, which is free.

    Codewords start as outputs of the encoder on the first batch; where that has fewer vectors than K, later batches
    fill the rest. One that no example of ``revive`` steps has used becomes an output of the encoder on the batch of
    that step, with the count of an average codeword.

    Source: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017, its appendix for
    moving averages. Deviations: data-dependent start and revival; counts are not smoothed (see above).

    Args:
        codes: Number K of codewords.
        dim: Numbers D in a codeword.
        slots: Codes at each place; where the encoder gives one h for all of x, codes of the whole example.
        shared: Whether all slots choose from one codebook instead of one each. Places always share theirs.
        learning: How codewords move: "ema", moving averages of the vectors that chose them, or "gradient".
        decay: gamma of the moving averages. The paper's 0.99 suits runs of many thousand steps: while the encoder still
            moves fast, codewords that follow slower than it learns make the first hundreds of steps swing.
        commitment: beta, weight of the pull of the encoder towards its codewords.
        revive: Steps without use after which a codeword starts anew.
        start: Where codewords are before the first step: at outputs of the encoder ("data"), or at "random" numbers of
            mean 0 and variance 1/D, as in the paper's code. Most of the latter may never be chosen.
        gradient: What the encoder receives of the decoder's gradient: a "copy", or that of the "rotation" trick, see
            :mod:`buttress.nn.rotation`.
        normalize: Bring the numbers of each place to mean 0 and variance 1 before they are cut into slots.
        jitter: Probability that what the decoder reads at a place of a sequence is the codeword beside it, in training
            only; see :mod:`buttress.nn.jitter`. The codes, and what they cost, are not touched.

    Errors:
        ValueError: A size below 1 (below 2 codes), a decay outside (0, 1), a negative weight, a probability outside
            [0, 1], or a single number to normalize; when built, jitter without a sequence of places.

    Example:
        >>> posterior = VectorQuantized(codes=8, dim=4, slots=2).build(features=5, places=(3, 3))
        >>> q = posterior(torch.randn(7, 3, 3, 5))
        >>> q.batch_shape, q.event_shape, posterior.embed(q.sample()).shape
        (torch.Size([7]), torch.Size([3, 3, 2]), torch.Size([7, 3, 3, 8]))
    """

    discrete: ClassVar[bool] = True

    codes: int = 512
    dim: int = 64
    slots: int = 1
    shared: bool = False
    learning: Literal["ema", "gradient"] = "ema"
    decay: float = 0.9
    commitment: float = 0.25
    revive: int = 100
    gradient: Literal["copy", "rotation"] = "copy"
    start: Literal["data", "random"] = "data"
    normalize: bool = False
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        check_codebook(self, codes=2, dim=1, slots=1, revive=1, commitment=0)
        if self.normalize and self.slots * self.dim < 2:
            raise ValueError(
                "vector_quantized posterior: one slot of one number is always 0 when normalized; try dim=2"
            )
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"vector_quantized posterior: jitter is {self.jitter}, wanted a probability from 0 to 1")

    @classmethod
    def tiny(cls) -> tuple[VectorQuantized, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(codes=3, dim=2, slots=2)
        shared = small.replace(shared=True, normalize=True)
        return (small, shared, small.replace(slots=1, learning="gradient", gradient="rotation"))

    def build(self, features: int, places: tuple[int, ...] = ()) -> VectorQuantizedModule:
        """See :class:`buttress.core.Posterior`."""
        if self.jitter and len(places) != 1:
            raise ValueError(
                "vector_quantized posterior: jitter needs codes at the places of a sequence; try --encoder.positions "
                "true, or jitter 0"
            )
        return VectorQuantizedModule(self, features, places)


class VectorQuantizedModule(CodebookModule):
    """The module of :class:`VectorQuantized`: one codebook for all slots, or one for each."""

    def __init__(self, part: VectorQuantized, features: int, places: tuple[int, ...]) -> None:
        books = 1 if part.shared else part.slots
        super().__init__(books, part.codes, part.dim, part.learning, part.decay, part.revive, part.start)
        self.part = part
        self.z_shape = (*places, part.slots * part.dim)
        shape = (*places, part.slots)
        self.codes_shape = shape
        self.linear = nn.Linear(features, part.slots * part.dim)
        self.groups = group_names(shape)
        self.seen: tuple[Tensor, Tensor, Tensor | None] | None = None

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return Space(self.codes_shape, classes=self.part.codes, shared=self.part.shared)

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        if len(self.codebook) == 1:
            return nn.functional.embedding(value, self.codebook[0]).flatten(-2)
        return self.codebook[torch.arange(self.part.slots, device=value.device), value].flatten(-2)

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Point(within(self.choose(self.vectors(h)), valid)), len(self.codes_shape))

    def inside(self, valid: Bool[Tensor, "B *places"]) -> Bool[Tensor, "B *event"]:
        """See :class:`buttress.core.PosteriorModule`."""
        return spread(valid, self.part.slots)

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        read, codes, penalty = self.quantize(h, valid)
        if self.part.jitter and self.training:
            read = jittered(read, self.part.jitter, valid)
        return latent_of(read, codes, penalty, prior, samples)

    def quantize(
        self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None
    ) -> tuple[Float[Tensor, "B *places D"], Int[Tensor, "B *places slots"], dict[str, Float[Tensor, " B"]]]:
        """What the decoder reads, straight through to h; the codes; and the penalties that hold both together.

        Places behind the true end have code 0, no penalty and no part in what the codewords follow.
        """
        z = self.vectors(h)
        codes = within(self.choose(z), valid)
        if self.training and z.requires_grad:
            self.seen = (repeated(z.detach(), valid), codes, None if valid is None else spread(valid, codes.shape[-1]))
        q = self.embed(codes)
        if valid is not None:
            z = torch.where(valid[..., None, None], z, q.detach().view_as(z))
            q = torch.where(valid[..., None], q, q.detach())
        apart, z = z, z.flatten(-2)
        read, distance = straight_through(z, q)
        if self.part.gradient == "rotation":
            read = rotated(apart, q.view_as(apart)).flatten(-2)
        penalty = {"commitment": self.part.commitment * distance}
        if self.part.learning == "gradient":
            penalty["codebook"] = (z.detach() - q).square().flatten(1).sum(1)
        return read, codes, penalty

    def vectors(self, h: Float[Tensor, "B *places F"]) -> Float[Tensor, "B *places slots D"]:
        """z_e, in float32 at least, whatever the precision around it: codes that flicker with rounding are no codes."""
        with torch.autocast(h.device.type, enabled=False):
            z = self.linear(full(h))
            z = nn.functional.layer_norm(z, z.shape[-1:]) if self.part.normalize else z
            return z.unflatten(-1, (self.part.slots, self.part.dim))

    def choose(self, z: Float[Tensor, "B *places slots D"]) -> Int[Tensor, "B *places slots"]:
        """The codes of vectors."""
        found = [nearest(rows, book) for rows, book in zip(self._by_book(z, 1), self.codebook.detach(), strict=True)]
        if len(found) == 1:
            return found[0].view(z.shape[:-1])
        return torch.stack(found, -1).view(z.shape[:-1])

    def _by_book(self, values: Tensor, event: int) -> list[Tensor]:
        """(B, *places, slots, *event) for each codebook, (N, *event), in the order of the examples."""
        parts = [values] if len(self.codebook) == 1 else values.unbind(-1 - event)
        return [part.flatten(0, -1 - event) for part in parts]

    @torch.no_grad()
    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`: count what the step's last batch chose, over all processes."""
        if self.seen is None:
            return
        (z, codes, inside), self.seen = self.seen, None
        for at, (rows, chosen) in enumerate(zip(self._by_book(z, 1), self._by_book(codes, 0), strict=True)):
            self.follow(at, rows, chosen, None if inside is None else self._by_book(inside, 0)[at])
