r"""What decoders of sentences share: p(x|z) = prod_t p(x_t | x_<t, z) over words, x_0 = BOS.

The mass is over sentences ended by EOS: those of at most T tokens, and, for the rest, the mass of every beginning of
T words, which is what log p of a sentence without EOS means. Together they sum to one.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import BOS, EMPTY, EOS, PAD, UNK, DataSpec, Decoder, Given, Layout, LikelihoodModule
from buttress.core.autoregressive import AutoregressiveModule
from buttress.likelihoods.categorical import score_tokens
from buttress.nn.dropout import Dropout, check_dropout
from buttress.runtime.randomness import draw

__all__ = ["SentenceDecoder", "SentenceDecoderModule"]


@dataclass(frozen=True, kw_only=True)
class SentenceDecoder(Decoder):
    """A language model given z.

    Args:
        word_dropout: Probability that a word the decoder reads is replaced by UNK, in training only. What it predicts
            is never touched, nor are BOS and PAD. At 1 the decoder never reads a word: then there is another model,
            the inputless decoder, and words are hidden at evaluation and in samples too.
        dropout: Probability that a number of the embeddings or of the states is zeroed, in training only.

    Errors:
        ValueError: A probability outside [0, 1] (dropout: [0, 1)).
    """

    autoregressive: ClassVar[bool] = True

    word_dropout: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions; a decoder with more of them calls this one too."""
        if not 0 <= self.word_dropout <= 1:
            raise ValueError(f"{self.name()} decoder: word_dropout is {self.word_dropout}, wanted 0 to 1")
        check_dropout(f"{self.name()} decoder", self.dropout)

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.tokens else "it needs sentences: one place axis of tokens with true lengths"


class SentenceDecoderModule(AutoregressiveModule):
    """The module of a :class:`SentenceDecoder`: all but how states follow from words and z.

    ``size`` is that of the z read at one step: of z_t where z has a value for every position, and else of all z.

    ``out``, from states to logits, is the subclass's too.

    Args:
        part: Its description.
        spec: Of the data.
        z_shape: Of one z.
        likelihood: Of the words.
        embedding: Size of a word's vector.
    """

    out: nn.Linear

    def __init__(
        self,
        part: SentenceDecoder,
        spec: DataSpec,
        z_shape: tuple[int, ...],
        likelihood: LikelihoodModule,
        embedding: int,
    ) -> None:
        super().__init__()
        self.part, self.likelihood = part, likelihood
        self.z_dims, self.event, self.places = len(z_shape), spec.shape, spec.shape
        self.radius = 0 if part.word_dropout == 1 else None
        self.by_position = len(z_shape) == 2 and z_shape[:1] == spec.shape
        self.size = z_shape[1] if self.by_position else torch.Size(z_shape).numel()
        self.drop = Dropout(part.dropout)
        self.embed = nn.Embedding(spec.vocabulary, embedding)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)

    @abstractmethod
    def run(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"], lead: torch.Size) -> Float[Tensor, "N T H"]:
        """The states at all steps, from the vectors of the words read there; N is ``lead`` laid in a row."""

    @abstractmethod
    def begin(self, z: Float[Tensor, "N D"]) -> Any:
        """What is kept between steps, before the first."""

    @abstractmethod
    def advance(
        self, words: Float[Tensor, "N E"], z: Float[Tensor, "N D"], t: int, kept: Any
    ) -> tuple[Float[Tensor, "N H"], Any]:
        """The states at step t, from the vectors of the words read there, and what is kept for the next."""

    @abstractmethod
    def take(self, kept: Any, rows: Int[Tensor, " N"]) -> Any:
        """What is kept, of these rows: a search goes on from some beginnings and leaves others."""

    def log_prob(
        self, z: Float[Tensor, "*rest"], x: Int[Tensor, "*rest2"], given: Given = EMPTY
    ) -> Float[Tensor, "*batch"]:
        """See :class:`AutoregressiveModule`. Only words and EOS are projected to the vocabulary, never PAD."""
        return score_tokens(self.states(z, x), x, self.out)

    def parameters_of(self, z: Float[Tensor, "*rest"], x: Int[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """See :class:`AutoregressiveModule`."""
        return self.out(self.states(z, x))

    def states(self, z: Float[Tensor, "*rest"], x: Int[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """h_1 .. h_T of shape (*batch, T, hidden). Embeddings are made once for all samples of z."""
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[:-1])
        z = z.expand(*lead, z.shape[-1]).reshape(-1, z.shape[-1])
        words = self.drop(self.embed(self.read(x)), x.shape[:-1])
        words = words.expand(*lead, *words.shape[-2:]).reshape(-1, *words.shape[-2:])
        h = self.drop(self.run(words, z, lead), lead)
        return h.view(*lead, *h.shape[-2:])

    def read(self, x: Int[Tensor, "*rest"]) -> Int[Tensor, "*rest"]:
        """What the decoder reads before each token: BOS and the tokens before, of which word dropout hides some."""
        before = F.pad(x[..., :-1], (1, 0), value=BOS)
        rate = self.part.word_dropout
        if rate == 0 or not (self.training or rate == 1):
            return before
        word = (before != BOS) & (before != PAD)
        if rate < 1:
            word &= draw(torch.rand, x.shape, batch_dim=x.dim() - 2).to(x.device) < rate
        return torch.where(word, UNK, before)

    def beside(self, z: Float[Tensor, "N D"], steps: int, first: int = 0) -> Float[Tensor, "N T S"]:
        """What each of ``steps`` steps reads of z, from step ``first`` on: its own z_t, or all of z."""
        if self.by_position:
            return z.unflatten(1, (-1, self.size))[:, first : first + steps]
        return z[:, None].expand(-1, steps, -1)

    def blank(self, count: int) -> Int[Tensor, "N T"]:
        """See :class:`AutoregressiveModule`."""
        return torch.full((count, *self.event), PAD, device=self.out.weight.device)

    def generate(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N T K"]) -> Int[Tensor, "N T"]:
        """See :class:`AutoregressiveModule`. Ends when every sentence has; what follows EOS is PAD."""
        return self.loop(z, uniforms)

    def generate_naively(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N T K"]) -> Int[Tensor, "N T"]:
        """See :class:`AutoregressiveModule`."""
        x = super().generate_naively(z, uniforms)
        end = x == EOS
        return torch.where(end.cumsum(-1) > end.long(), PAD, x)

    def likeliest(self, z: Float[Tensor, "*rest"]) -> Int[Tensor, "*rest2"]:
        """Sentences (*batch, T) of the likeliest word at each step given the words before (greedy)."""
        flat = z.flatten(-self.z_dims)
        return self.loop(flat.reshape(-1, flat.shape[-1]), None).view(*flat.shape[:-1], *self.event)

    @torch.no_grad()
    def loop(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N T K"] | None) -> Int[Tensor, "N T"]:
        """Word by word with the state kept: drawn with ``uniforms``, or the likeliest without."""
        x, kept = self.blank(len(z)), self.begin(z)
        open_ = torch.ones(len(z), dtype=torch.bool, device=z.device)
        word = x.new_full((len(z),), BOS)
        for t in range(self.event[0]):
            h, kept = self.advance(self.embed(word), z, t, kept)
            x[:, t] = torch.where(open_, self.choose(self.out(h), None if uniforms is None else uniforms[:, t]), PAD)
            open_ = open_ & (x[:, t] != EOS)
            if not open_.any():
                break
            word = torch.full_like(word, UNK) if self.part.word_dropout == 1 else x[:, t]
        return x

    def choose(self, logits: Float[Tensor, "N V"], uniforms: Float[Tensor, "N K"] | None) -> Int[Tensor, " N"]:
        """One token for each row."""
        if uniforms is None:
            return logits.argmax(-1) + EOS  # the first logit is that of EOS
        return self.likelihood.pick(logits, uniforms).squeeze(-1)
