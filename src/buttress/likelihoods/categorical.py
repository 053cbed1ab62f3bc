r"""p(x) = prod_t softmax(l_t)[x_t]: tokens of a sentence, grey levels of an image, or the codes of a map of codes.

$$ \log p(x) = \sum_{t : x_t \ne \mathrm{PAD}} \left[ l_{t, x_t} - \log \sum_v \exp l_{t, v} \right] $$

PAD and BOS never occur as words, so they have no logits: the mass of all sentences is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import EOS, PAD, DataSpec, Layout, Likelihood
from buttress.core.likelihood import COLDEST
from buttress.distributions.sites import SiteLikelihood, refuse, refuse_not_levels
from buttress.nn.layers import full
from buttress.nn.linear_cross_entropy import linear_cross_entropy, worth_it

__all__ = ["FIRST", "Categorical", "choose", "one_hot", "score_tokens"]

FIRST = EOS
"""The token id of the first logit: id = logit index + FIRST. The ids below it, PAD and BOS, are never predicted."""


@dataclass(frozen=True)
class Categorical(Likelihood):
    """A categorical distribution over token ids (text), grey levels (images) or codes (images of symbols).

    For text a decoder gives ``vocabulary - 2`` logits a place (see :data:`FIRST`). For images it gives ``levels``
    logits for each sub-pixel; with fewer levels than 256 the nats are those of the coarser image.

    An image whose values have no order, such as the code map of a quantiser, is not reduced: the stored integer is the
    symbol. Networks read it one-hot, since the distance between two codes says nothing.

    Args:
        levels: Number of grey levels an image is reduced to, 2 to 256, or of symbols, 2 to 65,536; x is the level or
            symbol from 0. Text ignores it.
        ordinal: Whether an image's values are grey levels; else they are symbols. Text ignores it.

    Errors:
        ValueError: ``levels`` lies outside its range.

    Example:
        >>> p = Categorical().build(DataSpec(Layout.text(7, longest=3)))(torch.zeros(1, 3, 5))
        >>> p.log_prob(torch.tensor([[4, 2, 0]])).item() / torch.tensor(0.2).log().item()
        2.0
    """

    discrete: ClassVar[bool] = True

    levels: int = 256
    ordinal: bool = True

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        most = 256 if self.ordinal else 65_536
        if not 2 <= self.levels <= most:
            raise ValueError(
                f"categorical likelihood: levels is {self.levels}, wanted 2 to {most} with ordinal {self.ordinal}"
            )

    @classmethod
    def tiny(cls) -> tuple[Categorical, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(levels=3), cls(levels=3, ordinal=False))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        fits = layout.axes == 2 or (layout.axes == 1 and not layout.numeric)
        return "" if fits else "it needs symbols or grey levels at places"

    def build(self, spec: DataSpec) -> TokensModule | LevelsModule:
        """See :class:`buttress.core.Likelihood`."""
        return TokensModule(spec) if spec.layout.tokens else LevelsModule(self, spec)


class TokensModule(SiteLikelihood):
    """The module of :class:`Categorical` for text."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        if spec.vocabulary <= FIRST + 1:
            raise ValueError(
                f"categorical likelihood: a vocabulary of {spec.vocabulary} leaves no word to predict; "
                "try a larger vocabulary or other data"
            )
        self.vocabulary = spec.vocabulary
        self.channels = spec.vocabulary - FIRST

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        if raw.is_floating_point():
            raise ValueError(f"got {raw.dtype}, wanted integer token ids; try: tokenise the text")
        bad = (raw != PAD) & ((raw < FIRST) | (raw >= self.vocabulary))
        refuse(raw, bad, f"token ids {FIRST} to {self.vocabulary - 1}, or {PAD} for padding", "tokenise the text again")
        inner = (raw == PAD)[:, :-1] & (raw != PAD)[:, 1:]
        refuse(raw, F.pad(inner, (0, 1)), "padding only behind a sentence", "move the padding to the end")

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return raw

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return x

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        return score_tokens(parameters, x)

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return choose(parameters, uniforms) + FIRST

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`."""
        return full(parameters) / max(temperature, COLDEST), uniforms

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """See :class:`SiteLikelihood`."""
        return parameters.argmax(-1, keepdim=True) + FIRST

    def start(self) -> None:
        """Nothing: the record of the data holds no word frequencies."""


class LevelsModule(SiteLikelihood):
    """The module of :class:`Categorical` for images and sound."""

    def __init__(self, part: Categorical, spec: DataSpec) -> None:
        super().__init__(spec)
        self.levels = part.levels if spec.layout.numeric else spec.layout.symbols
        self.symbols = not part.ordinal
        self.channels = self.values * self.levels

    @property
    def feature_channels(self) -> int:
        """See :class:`buttress.core.LikelihoodModule`."""
        return self.values * self.levels if self.symbols else self.values

    def check(self, raw: Tensor) -> None:
        """See :class:`buttress.core.LikelihoodModule`."""
        if self.symbols:
            refuse_not_levels(raw, "raise levels to the number of symbols", self.levels - 1)
        else:
            refuse_not_levels(raw, "store the images as uint8, or use the gaussian likelihood")

    def observe(self, raw: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        stored = self.symbols or self.levels == 256 or not self.layout.numeric
        return raw.long() if stored else raw.long() * self.levels // 256

    def features(self, x: Tensor) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`. A symbol becomes ``levels`` channels of which one is 1."""
        if self.symbols and self.layout.axes == 1:
            return F.one_hot(x, self.levels).float()
        if self.symbols:
            return one_hot(x, self.levels)
        scaled = x / (self.levels - 1)
        return scaled if self.layout.axes == 2 else 2 * scaled[..., None] - 1  # sound is centred, channels last

    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """See :class:`SiteLikelihood`."""
        logits = full(self.logits(parameters))
        target = self.to_places(x)
        shape = torch.broadcast_shapes(logits.shape[:-1], target.shape)
        logits, target = logits.expand(*shape, self.levels), target.expand(shape)
        loss = F.cross_entropy(logits.flatten(0, -2), target.reshape(-1).long(), reduction="none")
        return -self.total(self.to_x(loss.view(target.shape)))

    def scores(self, x: Tensor) -> Float[Tensor, "N M"] | None:
        """See :class:`buttress.core.LikelihoodModule`: (1[x = k] - p_k) / sqrt(p_k) for every level k of every site."""
        hot = F.one_hot(x.flatten(1).long(), self.levels).flatten(1).float()
        p = hot.mean(0)
        return torch.where(p > 0, p.rsqrt(), 0) * (hot - p)

    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """See :class:`buttress.core.LikelihoodModule`."""
        return choose(self.logits(parameters), uniforms[..., None]).squeeze(-1)

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """See :class:`buttress.core.LikelihoodModule`."""
        return full(parameters) / max(temperature, COLDEST), uniforms

    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """See :class:`SiteLikelihood`."""
        if self.symbols:
            return self.logits(parameters).argmax(-1)
        weights = full(self.logits(parameters)).softmax(-1)
        return weights @ torch.arange(self.levels, device=weights.device, dtype=weights.dtype)

    def start(self) -> None:
        """Nothing: a mean says too little about a distribution over levels."""

    def logits(self, parameters: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """(..., channels) -> (..., values, levels)."""
        return parameters.unflatten(-1, (self.values, self.levels))


def score_tokens(
    hidden: Float[Tensor, "*rest"],
    tokens: Int[Tensor, "*rest2"],
    project: Callable[[Tensor], Tensor] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, "*batch"]:
    """log p of each sentence, in nats; only true positions are projected to the vocabulary and scored.

    Args:
        hidden: What precedes the logits, shape (*batch, T, F); the logits themselves where ``project`` is None.
        tokens: Sentences padded with PAD, shape (B, T) or any that broadcasts to (*batch, T).
        project: From (N, F) to logits (N, vocabulary - FIRST).
        smoothing: Share of each log p(token) that is the mean over all tokens in its place, a loss and no density.

    Example:
        >>> logits = torch.zeros(1, 3, 4)  # four words and ends, all alike
        >>> score_tokens(logits, torch.tensor([[5, 2, 0]]))  # two tokens and padding: -2 log 4
        tensor([-2.7726])
    """
    shape = torch.broadcast_shapes(hidden.shape[:-1], tokens.shape)
    hidden, tokens = hidden.expand(*shape, hidden.shape[-1]), tokens.expand(shape)
    true = tokens.reshape(-1).ne(PAD).nonzero().squeeze(-1)
    rows, words = hidden.reshape(-1, hidden.shape[-1])[true], tokens.reshape(-1)[true] - FIRST
    if type(project) is nn.Linear and worth_it(len(rows), project.out_features):  # no subclass, which may round
        nats = -linear_cross_entropy(rows, project.weight, project.bias, words, smoothing)
    else:
        logits = full(rows if project is None else project(rows))
        nats = -F.cross_entropy(logits, words, reduction="none", label_smoothing=smoothing)
    return nats.new_zeros(tokens.numel()).index_put((true,), nats).view(tokens.shape).sum(-1)


def one_hot(x: Tensor, levels: int) -> Float[Tensor, "*rest"]:
    """(..., C, H, W) of symbols -> (..., C * levels, H, W), the channels of one value side by side.

    Example:
        >>> one_hot(torch.tensor([[[0, 2]]]), 3).squeeze(1)
        tensor([[1., 0.],
                [0., 0.],
                [0., 1.]])
    """
    hot = torch.zeros(*x.shape[:-2], levels, *x.shape[-2:], device=x.device)
    return hot.scatter_(-3, x.long().unsqueeze(-3), 1.0).flatten(-4, -3)


def choose(logits: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Int[Tensor, "*rest2"]:
    """The index at which the cumulative probability passes each uniform number (..., 1) of ``logits`` (..., K).

    Example:
        >>> choose(torch.tensor([0.25, 0.5, 0.25]).log(), torch.tensor([0.3])).item()
        1
    """
    below = full(logits).softmax(-1).cumsum(-1).contiguous()
    wanted = (uniforms.to(below.dtype) * below[..., -1:]).contiguous()  # the last sum is only nearly one
    return torch.searchsorted(below, wanted, right=True).clamp(max=logits.shape[-1] - 1)
