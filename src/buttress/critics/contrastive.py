r"""Tell z at k positions ahead from z at other positions, by what came before.

$$ c_t = g(z_1, ..., z_t), \qquad f_k(c_t, z) = \frac{z \cdot (W_k c_t + b_k)}{\sqrt D}, \qquad
   d = \sum_k \sum_t -\log \frac{\exp f_k(c_t, z_{t+k})}{\sum_{n \in \{t+k\} \cup \mathcal N} \exp f_k(c_t, z_n)} $$

for steps k = first, ..., first + steps - 1 and all t with t + k within the true length. The negatives
$\mathcal N$ of a position are drawn uniformly, with replacement, from the other true positions of its sequence, or
with ``pool`` "batch" from those of all sequences of the batch, ``within`` one class of a condition (those of the
same speaker, say). They are drawn anew at every training step. In eval mode the draw is fixed and the same for every
example, and a sequence is compared with itself alone, whatever the pool: an example's answer is its own.

With ``loss`` "binary" each candidate is a question of its own, whether it is the true future, as in vq-wav2vec:

$$ d = \sum_k \sum_t \Bigl( -\log \sigma(f_k(c_t, z_{t+k}))
   - \frac{\lambda}{|\mathcal N|} \sum_{n \in \mathcal N} \log \sigma(-f_k(c_t, z_n)) \Bigr) $$

Both have the same best scores up to a constant, the log-ratio of p(z | c) and p(z). So the softmax of the scores bounds
the information after training with either.

What all candidates share cannot tell the future from the others. So with negatives of the same speaker nothing is
gained by a z that says who speaks, and with those of the whole batch there is.

The sum is in nats per example, as a decoder's distortion is, and a context that says nothing has log N for each
prediction, N = negatives + 1. log N minus the mean bounds the information of c_t about z_{t+k} from below where the
negatives are independent of c_t. Those of the same sequence share speaker and channel with the future, so these do not
count; but c_t may have read them, and what it has read is not the future. So the difference exceeds the bound in short
sequences: on independent symbols, of which c_t can say nothing, it is 0.16 nats at 8 positions and 0.02 at 32. With few
negatives it stays below the information: of 0.82 nats of a Markov chain 16 candidates show 0.70.

z predicts itself where the encoder lets it: neighbours that read the same x (see ``first``), and a recurrent encoder,
which can put a clock into z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import EMPTY, Critic, CriticModule, DataSpec, Given, Layout, LikelihoodModule
from buttress.core.batch import known
from buttress.core.critic import Contrast
from buttress.nn.context import Context, make_context
from buttress.nn.layers import Product, full
from buttress.runtime import distributed
from buttress.runtime.randomness import draw

__all__ = ["Contrastive"]


@dataclass(frozen=True)
class Contrastive(Critic):
    """Contrastive predictive coding.

    Source: van den Oord, Li and Vinyals, 2018; over quantised z: Baevski, Schneider and Auli, vq-wav2vec, 2020, and
    van Niekerk, Nortje and Kamper, VQ-CPC, 2020 (pool "batch" within speaker). vq-wav2vec is "binary" with the pool
    "sequence" and the context "conv". Ours: negatives are drawn anew for each position; a division by sqrt(D) also of
    binary scores; gates in the convolutions.

    Args:
        steps: Number K of steps ahead that are predicted.
        first: The first of them. Above 1 where neighbouring z read the same x, which makes the task trivial: for the
            conv1d encoder of two layers and kernel 5 it takes 4.
        negatives: Other positions that each true future is compared with.
        context: "lstm", or "conv" for causal convolutions.
        hidden: Size of c.
        layers: Of the context network; "conv" sees 2^layers - 1 positions before its own.
        pool: Where negatives come from in training: the same "sequence", or all of the "batch".
        loss: "softmax", the true future among the candidates; or "binary", each candidate by itself.
        weight: lambda of the binary loss, what all negatives of a prediction weigh together; None for their number.
        within: With the pool "batch", a condition with classes, such as speaker, whose value negatives share with the
            positive; empty for none.

    Errors:
        ValueError: A size below 1, ``within`` without the pool "batch", or a weight that is not positive or that a
            softmax has no use for; when built, a z without positions, or with too few for so many steps, or data
            without classes of that name.

    Example:
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.frames(3, longest=8))
        >>> module = Contrastive(steps=2, negatives=4, hidden=5).build(spec, (8, 3), GaussianLikelihood().build(spec))
        >>> found = module(torch.zeros(1, 1, 8, 3))  # all z are equal: nothing to tell them apart by
        >>> torch.allclose(found.distortion, found.predictions.sum() * torch.tensor(5.0).log())
        True
    """

    steps: int = 6
    first: int = 1
    negatives: int = 10
    context: Context = "lstm"
    hidden: int = 128
    layers: int = 1
    pool: Literal["sequence", "batch"] = "sequence"
    within: str = ""
    loss: Literal["softmax", "binary"] = "softmax"
    weight: float | None = None

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.within and self.pool != "batch":
            raise ValueError(
                f"contrastive critic: within is {self.within!r} and the pool {self.pool!r}; wanted the pool batch, "
                "as a sequence is of one class"
            )
        for name in ("steps", "first", "negatives", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"contrastive critic: {name} is {getattr(self, name)}, wanted at least 1")
        if self.weight is not None and (self.loss == "softmax" or not self.weight > 0):
            raise ValueError(
                f"contrastive critic: weight is {self.weight} and the loss {self.loss}, wanted a positive weight of "
                "the binary loss, or none"
            )

    @classmethod
    def tiny(cls) -> tuple[Contrastive, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(steps=2, negatives=3, hidden=4)
        others = (small.replace(steps=1, first=2), small.replace(pool="batch"))
        binary = small.replace(context="conv", loss="binary", weight=2.0)
        return (small, small.replace(context="conv", layers=2), binary, *others)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.axes == 1 else "it needs one place axis, as sound and sentences have"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> ContrastiveModule:
        """See :class:`buttress.core.Critic`."""
        if len(z_shape) != 2:
            raise ValueError(
                "contrastive critic: z is one vector for all of x, wanted one at every position of a sequence; try "
                "--encoder.positions true"
            )
        far = self.first + self.steps - 1
        if far >= z_shape[0]:
            raise ValueError(
                f"contrastive critic: it predicts {far} positions ahead and z has only {z_shape[0]}, wanted fewer "
                "steps than positions; try a smaller --critic.steps or --critic.first, or longer examples"
            )
        if self.within and not spec.column(self.within).classes:
            raise ValueError(f"contrastive critic: {self.within} is a number, wanted a condition with classes")
        return ContrastiveModule(self, z_shape, likelihood)


class ContrastiveModule(CriticModule):
    """The module of :class:`Contrastive`."""

    def __init__(self, part: Contrastive, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> None:
        super().__init__()
        self.places, size = z_shape
        self.likelihood, self.negatives, self.within = likelihood, part.negatives, part.within
        self.together = part.pool == "batch"
        self.weight = (part.weight or part.negatives) if part.loss == "binary" else None
        self.ahead = tuple(range(part.first, part.first + part.steps))
        self.context = make_context(part.context, size, part.hidden, part.layers)
        self.predict = nn.ModuleList(nn.Linear(part.hidden, size) for _ in self.ahead)
        self.product = Product()

    def check_batch(self, batch_size: int) -> None:
        """Refuse more negatives than a whole batch has positions: they cost memory and are others drawn again.

        Fewer are taken whatever the pool: they are drawn with replacement, so a short sequence gives some twice.

        Errors:
            ValueError: There are too few; says how many there are.

        Example:
            >>> from buttress.likelihoods.gaussian import GaussianLikelihood
            >>> spec = DataSpec(Layout.frames(3, longest=8))
            >>> part = Contrastive(steps=2, negatives=100, hidden=5, pool="batch")
            >>> part.build(spec, (8, 3), GaussianLikelihood().build(spec)).check_batch(4)
            Traceback (most recent call last):
            ValueError: contrastive critic: negatives is 100, and a batch of 4 sequences of 8 positions has 31 ...
        """
        most = batch_size * self.places - 1
        if self.negatives > most:
            raise ValueError(
                f"contrastive critic: negatives is {self.negatives}, and a batch of {batch_size} sequences of "
                f"{self.places} positions has {most} others at most; try far fewer, such as 10"
            )

    def forward(
        self, z: Float[Tensor, "S B T D"], valid: Bool[Tensor, "B T"] | None = None, given: Given = EMPTY
    ) -> Contrast:
        """See :class:`buttress.core.CriticModule`."""
        samples, batch, places, _ = z.shape
        lengths = torch.full((batch,), places, device=z.device) if valid is None else valid.sum(1)
        own = torch.arange(places, device=z.device).expand(batch, places)
        uniforms, flat = self._uniforms(batch, places).to(z.device), z.flatten(0, 1)
        if self.together and self.training:
            kinds = known(given, self.within, "contrastive critic") if self.within else torch.zeros_like(lengths)
            candidates = _among_all(z, uniforms, lengths, kinds)
        else:
            index = torch.cat([own[..., None], others(uniforms, lengths)], -1)
            rows = torch.arange(len(flat), device=z.device)[:, None, None]
            candidates = flat[rows, index.repeat(samples, 1, 1)]
        context = self.context(flat)
        ahead = [F.pad(f(context[:, :-k]), (0, 0, k, 0)) for k, f in zip(self.ahead, self.predict, strict=True)]
        scores = self._scores(candidates, torch.stack(ahead, -1))
        there = (own < lengths[:, None])[..., None] & (own[..., None] >= torch.tensor(self.ahead, device=z.device))

        def summed(values: Float[Tensor, "N T K"]) -> Float[Tensor, "S B K"]:
            return (values * there.repeat(samples, 1, 1)).sum(1).unflatten(0, (samples, batch))

        softmax = summed(scores.logsumexp(2) - scores[:, :, 0])
        first = summed(_ranked_first(scores.detach()))
        binary = None if self.weight is None else summed(_answers(scores, self.weight))
        found = Contrast(softmax, first, there.sum(1), 1 + self.negatives, self.ahead)
        return found if binary is None else replace(found, loss=binary, softmax=softmax.detach())

    def _uniforms(self, batch: int, places: int) -> Float[Tensor, "B T M"]:
        """What negatives are drawn with: in eval mode always the same, so that no example's answer is random."""
        if self.training:
            return draw(torch.rand, (batch, places, self.negatives))
        fixed = torch.rand(places, self.negatives, generator=torch.Generator().manual_seed(0))
        return fixed.expand(batch, places, self.negatives)

    def _scores(
        self, candidates: Float[Tensor, "N T C D"], ahead: Float[Tensor, "N T D K"]
    ) -> Float[Tensor, "N T C K"]:
        """f of each candidate, in float32 at least."""
        return full(self.product(candidates, ahead.to(candidates.dtype))) / math.sqrt(candidates.shape[-1])


def others(uniforms: Float[Tensor, "B T M"], lengths: Int[Tensor, " B"]) -> Int[Tensor, "B T M"]:
    """For each position M others within the true length, each as likely, and never the position itself.

    What stands at positions beyond the true length, and in a sequence of one position, means nothing.

    Args:
        uniforms: Numbers in [0, 1), in which the choice is a deterministic map.
        lengths: True lengths, at most T.

    Example:
        >>> others(torch.tensor([[[0.0, 0.4, 0.9]] * 3]), torch.tensor([3])).tolist()  # two others for each of three
        [[[1, 1, 2], [0, 0, 2], [0, 0, 1]]]
    """
    found = (uniforms * (lengths - 1).clamp(min=1)[:, None, None]).long()
    own = torch.arange(uniforms.shape[1], device=uniforms.device)[:, None]
    return found + (found >= own)


def others_of_kind(
    uniforms: Float[Tensor, "B T M"], lengths: Int[Tensor, " E"], kinds: Int[Tensor, " E"], first: int = 0
) -> Int[Tensor, "B T M"]:
    """For each position M others of all E sequences of its kind, each as likely, and never the position itself.

    A position t of the sequence e is counted as e T + t. What stands at positions beyond the true length means nothing.

    Args:
        uniforms: Numbers in [0, 1) for some of the sequences, in which the choice is a deterministic map.
        lengths: True lengths of all sequences, at most T.
        kinds: What each is, whole numbers.
        first: Which of all sequences is the first of those that ``uniforms`` are for.

    Example:
        >>> u = torch.tensor([0.0, 0.4, 0.9]).expand(3, 2, 3)  # sequences of 2, 1 and 2 positions
        >>> others_of_kind(u, torch.tensor([2, 1, 2]), torch.tensor([0, 1, 0]))[:, 0].tolist()  # of the first of each
        [[1, 4, 5], [2, 2, 2], [0, 1, 5]]
    """
    batch, places, _ = uniforms.shape
    there = torch.arange(places, device=lengths.device) < lengths[:, None]
    order = kinds.argsort(stable=True)
    ranked = (order[:, None] * places + torch.arange(places, device=lengths.device))[there[order]]
    count = torch.zeros(int(kinds.max()) + 1, dtype=lengths.dtype, device=lengths.device)
    count = count.index_add(0, kinds, lengths)
    begin = count.cumsum(0) - count
    before = torch.zeros_like(lengths).scatter_(0, order, lengths[order].cumsum(0) - lengths[order])
    mine = slice(first, first + batch)
    rank = before[mine, None] + torch.arange(places, device=lengths.device) - begin[kinds[mine], None]
    size = count[kinds[mine]][:, None, None]
    most = (size - 1).clamp(min=1)
    found = (uniforms * most).long().minimum(most - 1)  # the product may be rounded up
    found = found + (found >= rank[..., None]).long()
    return ranked[(begin[kinds[mine]][:, None, None] + found.minimum(size - 1)).clamp(max=len(ranked) - 1)]


def _among_all(
    z: Float[Tensor, "S B T D"], uniforms: Float[Tensor, "B T M"], lengths: Int[Tensor, " B"], kinds: Int[Tensor, " B"]
) -> Float[Tensor, "N T C D"]:
    """z at each position, and behind it z at others of the batch of all processes."""
    samples, batch, places, _ = z.shape
    first = distributed.rank() * batch
    pool = distributed.differentiable_gather(z, 1).flatten(1, 2)
    index = others_of_kind(uniforms, distributed.gather(lengths), distributed.gather(kinds), first)
    own = (first + torch.arange(batch, device=z.device))[:, None] * places + torch.arange(places, device=z.device)
    sample = pool.shape[1] * torch.arange(samples, device=z.device)[:, None, None, None]
    rows = torch.cat([own[..., None], index], -1) + sample
    return F.embedding(rows.flatten(0, 1), pool.flatten(0, 1))  # its gradient is faster than that of [...]


def _answers(scores: Float[Tensor, "N T C K"], weight: float) -> Float[Tensor, "N T K"]:
    """-log of the probability of a yes for the first candidate and a no for the others, which share one weight."""
    return F.softplus(-scores[:, :, 0]) + weight * F.softplus(scores[:, :, 1:]).mean(2)


def _ranked_first(scores: Float[Tensor, "N T C K"]) -> Float[Tensor, "N T K"]:
    """1 where the first candidate has the highest score, 1 / m where it shares it with m - 1 others, else 0."""
    top = scores == scores.amax(2, keepdim=True)
    return top[:, :, 0] / top.sum(2)
