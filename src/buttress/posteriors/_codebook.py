"""What posteriors with codebooks share: how codewords move, start and revive, and the record of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from buttress.core import Part, PosteriorModule
from buttress.core.records import Latent
from buttress.nn.quantize import tally
from buttress.runtime import distributed
from buttress.runtime.randomness import draw

__all__ = ["NEVER", "CodebookModule", "check_codebook", "first_levels", "latent_of", "repeated", "spread", "within"]

NEVER = -1
"""In ``idle``: this codeword has not yet been an output of the encoder."""


def check_codebook(part: Part, **least: float) -> None:
    """Refuse a setting of a quantiser below its ``least``, and a decay outside (0, 1).

    Errors:
        ValueError: A setting is outside its range.
    """
    for name, lowest in least.items():
        if not getattr(part, name) >= lowest:
            raise ValueError(f"{part.name()} posterior: {name} is {getattr(part, name)}, wanted at least {lowest}")
    if not 0 < getattr(part, "decay", 0.5) < 1:
        raise ValueError(
            f"{part.name()} posterior: decay is {part.decay}, wanted a number between 0 and 1, such as 0.99"  # type: ignore[attr-defined]
        )
    if not 0 <= getattr(part, "dropout", 0.0) <= 1:
        raise ValueError(f"{part.name()} posterior: dropout is {part.dropout}, wanted a probability")  # type: ignore[attr-defined]


class CodebookModule(PosteriorModule):
    """V codebooks whose codewords follow what chooses them.

    ``codebook`` (V, K, D) holds them; ``counts`` (V, K) the N_k; ``idle`` (V, K) the steps since a codeword was last
    used, or ``NEVER``. The arguments are those of :class:`buttress.posteriors.vector_quantized.VectorQuantized`.
    """

    codebook: Tensor
    counts: Tensor
    idle: Tensor

    def __init__(
        self,
        number: int,
        codes: int,
        dim: int,
        learning: Literal["ema", "gradient"],
        decay: float,
        revive: int,
        start: Literal["data", "random"] = "data",
    ) -> None:
        super().__init__()
        self.codes, self.learning, self.decay, self.revive = codes, learning, decay, revive
        codebook = 0.1 * torch.randn(number, codes, dim)  # for the first step only, see follow
        if start == "random":
            codebook = math.sqrt(3 / dim) * (2 * torch.rand(number, codes, dim) - 1)
        if learning == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.register_buffer("counts", torch.zeros(number, codes))
        self.register_buffer("idle", torch.full((number, codes), NEVER if start == "data" else 0))

    @torch.no_grad()
    def follow(
        self,
        at: int,
        rows: Float[Tensor, "N D"],
        chosen: Int[Tensor, " N"],
        inside: Bool[Tensor, " N"] | None = None,
    ) -> None:
        """Move codebook ``at`` towards the vectors that chose its codewords, over all processes; revive the dead.

        Args:
            at: Number of the codebook.
            rows: The vectors; as many in each process.
            chosen: The codeword of each.
            inside: Which rows count; None for all. The others may still revive a codeword.
        """
        counted = (rows, chosen) if inside is None else (rows[inside], chosen[inside])
        count, total = (distributed.total(v) for v in tally(*counted, self.codes))
        if self.learning == "ema":
            self._average(at, count, total)
        self._revive(at, count, rows)

    def _average(self, at: int, count: Float[Tensor, " K"], total: Float[Tensor, "K D"]) -> None:
        """One step of the moving averages of codebook ``at``."""
        weight = 1 - self.decay
        self.counts[at].lerp_(count, weight)
        rate = torch.where(count > 0, weight / self.counts[at], 0)[:, None]
        self.codebook[at] += rate * (total - count[:, None] * self.codebook[at])

    def _revive(self, at: int, count: Float[Tensor, " K"], rows: Float[Tensor, "N D"]) -> None:
        """Give the codewords of codebook ``at`` that are dead, or not yet alive, random vectors of the batch."""
        idle = self.idle[at]
        idle.copy_(torch.where(idle == NEVER, NEVER, torch.where(count > 0, 0, idle + 1)))
        dead = ((idle == NEVER) | (idle >= self.revive)).nonzero()[:, 0]
        if len(dead):
            everywhere = len(rows) * distributed.number()
            dead = dead[:everywhere]
            self.codebook[at, dead] = _random_rows(rows, len(dead))
            self.counts[at, dead] = count.sum() / self.codes
            idle[dead] = 0


def within(codes: Int[Tensor, "B *places slots"], valid: Bool[Tensor, "B *places"] | None) -> Tensor:
    """The codes, and 0 at places behind the true end.

    Example:
        >>> within(torch.tensor([[[3], [5]]]), torch.tensor([[True, False]])).tolist()
        [[[3], [0]]]
    """
    return codes if valid is None else torch.where(valid[..., None], codes, 0)


def spread(valid: Bool[Tensor, "B *places"], slots: int) -> Bool[Tensor, "B *places slots"]:
    """For each of some slots of a place whether it lies within the true length."""
    return valid[..., None].expand(*valid.shape, slots)


def repeated(rows: Float[Tensor, "B T *rest"], valid: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T *rest"]:
    """What is at the true places of each example, again and again up to the end: as many rows in each process.

    Example:
        >>> repeated(torch.tensor([[1.0, 2.0, 9.0, 9.0, 9.0]]), torch.tensor([[True, True, False, False, False]]))
        tensor([[1., 2., 1., 2., 1.]])
    """
    if valid is None:
        return rows
    again = torch.arange(rows.shape[1], device=rows.device) % valid.sum(1, keepdim=True).clamp(min=1)
    return rows.gather(1, again.view(*again.shape, *[1] * (rows.dim() - 2)).expand_as(rows))


def first_levels(examples: int, levels: int, dropout: float, like: Tensor) -> Bool[Tensor, "B L"]:
    """Which levels the decoder reads of each example: all, or with probability ``dropout`` some of the first alone.

    Example:
        >>> first_levels(2, 3, dropout=0.0, like=torch.zeros(1)).tolist()
        [[True, True, True], [True, True, True]]
    """
    chance, kept = draw(torch.rand, (examples, 2)).to(like).unbind(1)
    last = torch.where(chance < dropout, (kept * levels).floor(), levels - 1)
    return torch.arange(levels, device=like.device) <= last[:, None]


def latent_of(
    read: Float[Tensor, "B *z_shape"],
    codes: Int[Tensor, "B *event"],
    penalty: Mapping[str, Float[Tensor, " B"]],
    prior: Distribution,
    samples: int,
) -> Latent:
    """The record of codes, whose samples, being of a point, are copies.

    Example:
        >>> from torch.distributions import Categorical
        >>> prior = Independent(Categorical(torch.ones(2, 4)), 1)
        >>> latent_of(torch.zeros(1, 3), torch.tensor([[0, 3]]), {}, prior, samples=5).z.shape
        torch.Size([5, 1, 3])
    """
    rate = cost(prior, codes)
    return Latent(
        read.expand(samples, *read.shape),
        rate.expand(samples, *rate.shape),
        rate,
        codes.flatten(1).expand(samples, len(codes), -1),
        {name: value.expand(samples, -1) for name, value in penalty.items()},
    )


def cost(prior: Distribution, codes: Int[Tensor, "B *event"]) -> Float[Tensor, "B G"]:
    """-log p(code) of every code, in nats, under a product or, given the codes before it, an autoregressive prior."""
    if isinstance(prior, Independent):
        return -prior.base_dist.log_prob(codes).flatten(1)
    by_group: Any = getattr(prior, "log_prob_by_group", None)
    if by_group is None:
        raise ValueError(
            f"vector_quantized posterior: the prior is a {type(prior).__name__}, wanted independent codes or a "
            "distribution with log_prob_by_group; try the uniform prior"
        )
    return -by_group(codes).flatten(1)


def _random_rows(rows: Float[Tensor, "N D"], count: int) -> Float[Tensor, "count D"]:
    """Different rows of the batch of all processes, the same in each: their random states are equal in a step."""
    picks = torch.randperm(len(rows) * distributed.number())[:count].to(rows.device)
    if distributed.number() == 1:
        return rows[picks]
    here = picks - dist.get_rank() * len(rows)
    mine = (here >= 0) & (here < len(rows))
    chosen = rows.new_zeros(count, rows.shape[1])
    chosen[mine] = rows[here[mine]]
    return distributed.total(chosen)
