r"""Tell z at k positions ahead from z at other positions of the same sequence, by what came before.

$$ c_t = g(z_1, ..., z_t), \qquad f_k(c_t, z) = \frac{z \cdot (W_k c_t + b_k)}{\sqrt D}, \qquad
   d = \sum_k \sum_t -\log \frac{\exp f_k(c_t, z_{t+k})}{\sum_{n \in \{t+k\} \cup \mathcal N} \exp f_k(c_t, z_n)} $$

for steps k = first, ..., first + steps - 1 and all t with t + k within the true length. The negatives
$\mathcal N$ of a position are drawn uniformly, with replacement, from the other true positions of its sequence. They
are drawn anew at every training step; in eval mode the draw is fixed and the same for every example.

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
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from buttress.core import EMPTY, Critic, CriticModule, DataSpec, Given, Layout, LikelihoodModule
from buttress.core.critic import Contrast
from buttress.nn.context import Context, make_context
from buttress.nn.layers import Product, full
from buttress.runtime.randomness import draw

__all__ = ["Contrastive"]


@dataclass(frozen=True)
class Contrastive(Critic):
    """Contrastive predictive coding with negatives from the same sequence.

    Source: van den Oord, Li and Vinyals, 2018; over quantised z: Baevski, Schneider and Auli, vq-wav2vec, 2020, and
    van Niekerk, Nortje and Kamper, VQ-CPC, 2020. Ours: a softmax as in VQ-CPC, negatives of one utterance as in
    vq-wav2vec.

    Args:
        steps: Number K of steps ahead that are predicted.
        first: The first of them. Above 1 where neighbouring z read the same x, which makes the task trivial: for the
            conv1d encoder of two layers and kernel 5 it takes 4.
        negatives: Other positions that each true future is compared with.
        context: "lstm", or "conv" for causal convolutions.
        hidden: Size of c.
        layers: Of the context network; "conv" sees 2^layers - 1 positions before its own.

    Errors:
        ValueError: A size below 1; when built, a z without positions, or with too few for so many steps.

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

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("steps", "first", "negatives", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"contrastive critic: {name} is {getattr(self, name)}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[Contrastive, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(steps=2, negatives=3, hidden=4)
        return (small, small.replace(context="conv", layers=2), small.replace(steps=1, first=2))

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
        return ContrastiveModule(self, z_shape[1], likelihood)


class ContrastiveModule(CriticModule):
    """The module of :class:`Contrastive`."""

    def __init__(self, part: Contrastive, size: int, likelihood: LikelihoodModule) -> None:
        super().__init__()
        self.likelihood, self.negatives = likelihood, part.negatives
        self.ahead = tuple(range(part.first, part.first + part.steps))
        self.context = make_context(part.context, size, part.hidden, part.layers)
        self.predict = nn.ModuleList(nn.Linear(part.hidden, size) for _ in self.ahead)
        self.product = Product()

    def forward(
        self, z: Float[Tensor, "S B T D"], valid: Bool[Tensor, "B T"] | None = None, given: Given = EMPTY
    ) -> Contrast:
        """See :class:`buttress.core.CriticModule`."""
        samples, batch, places, _ = z.shape
        lengths = torch.full((batch,), places, device=z.device) if valid is None else valid.sum(1)
        own = torch.arange(places, device=z.device).expand(batch, places)
        index = torch.cat([own[..., None], others(self._uniforms(batch, places).to(z.device), lengths)], -1)
        flat = z.flatten(0, 1)
        rows = torch.arange(len(flat), device=z.device)[:, None, None]
        candidates = flat[rows, index.repeat(samples, 1, 1)]
        context = self.context(flat)
        loss, first, inside = [], [], []
        for k, predict in zip(self.ahead, self.predict, strict=True):
            scores = self._scores(predict(context[:, :-k]), candidates[:, k:])
            there = own[:, k:] < lengths[:, None]
            inside.append(there.sum(1))
            there = there.repeat(samples, 1)
            loss.append(((scores.logsumexp(-1) - scores[..., 0]) * there).sum(1))
            first.append((_ranked_first(scores.detach()) * there).sum(1))
        shape = (samples, batch, len(self.ahead))
        return Contrast(
            torch.stack(loss, -1).view(shape),
            torch.stack(first, -1).view(shape),
            torch.stack(inside, -1),
            1 + self.negatives,
            self.ahead,
        )

    def _uniforms(self, batch: int, places: int) -> Float[Tensor, "B T M"]:
        """What negatives are drawn with: in eval mode always the same, so that no example's answer is random."""
        if self.training:
            return draw(torch.rand, (batch, places, self.negatives))
        fixed = torch.rand(places, self.negatives, generator=torch.Generator().manual_seed(0))
        return fixed.expand(batch, places, self.negatives)

    def _scores(self, ahead: Float[Tensor, "N T D"], candidates: Float[Tensor, "N T C D"]) -> Float[Tensor, "N T C"]:
        """f of each candidate, in float32 at least."""
        products = self.product(candidates, ahead[..., None].to(candidates.dtype))
        return full(products.squeeze(-1)) / math.sqrt(ahead.shape[-1])


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


def _ranked_first(scores: Float[Tensor, "N T C"]) -> Float[Tensor, "N T"]:
    """1 where the first candidate has the highest score, 1 / m where it shares it with m - 1 others, else 0."""
    top = scores == scores.amax(-1, keepdim=True)
    return top[..., 0] / top.sum(-1)
