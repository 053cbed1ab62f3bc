r"""p(x|z) = prod_t p(x_t | x_<t, z) over words, by an LSTM that reads z at the start and at every step.

$$ c_0 = W z, \quad h_0 = \tanh(W z), \qquad (h_t, c_t) = \mathrm{LSTM}([e(x_{t-1}), z], h_{t-1}, c_{t-1}), \qquad
   p(x_t | x_{<t}, z) = \mathrm{softmax}(U h_t)[x_t], \quad x_0 = \mathrm{BOS} $$

Where z has a value for every position, step t reads z_t and the first state is made from z_1.

The mass is over sentences ended by EOS: those of at most T tokens, and, for the rest, the mass of every beginning of
T words, which is what log p of a sentence without EOS means. Together they sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import BOS, EMPTY, EOS, PAD, UNK, DataSpec, Decoder, Given, Layout, LikelihoodModule
from buttress.core.autoregressive import AutoregressiveModule
from buttress.likelihoods.categorical import score_tokens
from buttress.nn.layers import run_lstm
from buttress.runtime.randomness import draw

__all__ = ["RecurrentDecoder"]


@dataclass(frozen=True)
class RecurrentDecoder(Decoder):
    """An LSTM language model given z.

    Source: Bowman et al., Generating Sentences from a Continuous Space, 2016 (word dropout, the inputless decoder);
    He et al., Lagging Inference Networks, 2019 (how z enters).

    Args:
        embedding: Size of a word's embedding.
        hidden: Size of the LSTM's state.
        word_dropout: Probability that a word the decoder reads is replaced by UNK, in training only. What it predicts
            is never touched, nor are BOS and PAD. At 1 the decoder never reads a word: then there is another model,
            the inputless decoder, and words are hidden at evaluation and in samples too.
        dropout: Probability that a number of the embeddings or of the LSTM's output is zeroed, in training only.

    Errors:
        ValueError: A size below 1, or a probability outside [0, 1] (dropout: [0, 1)).

    Example:
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.text(7, longest=9))
        >>> p = RecurrentDecoder(embedding=3, hidden=4).build(spec, (2,), Categorical().build(spec))(torch.zeros(5, 2))
        >>> p.batch_shape, p.event_shape, p.log_prob(torch.tensor([[5, EOS, PAD]])).shape
        (torch.Size([5]), torch.Size([9]), torch.Size([5]))
    """

    autoregressive: ClassVar[bool] = True

    embedding: int = 64
    hidden: int = 128
    word_dropout: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.embedding, self.hidden) < 1:
            raise ValueError(f"recurrent decoder: sizes are {self.embedding} and {self.hidden}, wanted at least 1")
        if not 0 <= self.word_dropout <= 1:
            raise ValueError(f"recurrent decoder: word_dropout is {self.word_dropout}, wanted 0 to 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"recurrent decoder: dropout is {self.dropout}, wanted at least 0 and below 1")

    @classmethod
    def tiny(cls) -> tuple[RecurrentDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(embedding=3, hidden=4), cls(embedding=3, hidden=4, word_dropout=1.0))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.tokens else "it needs sentences: one place axis of tokens with true lengths"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> RecurrentDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return RecurrentDecoderModule(self, spec, z_shape, likelihood)


class RecurrentDecoderModule(AutoregressiveModule):
    """The module of :class:`RecurrentDecoder`."""

    def __init__(
        self, part: RecurrentDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.part, self.likelihood = part, likelihood
        self.z_dims, self.event, self.places = len(z_shape), spec.shape, spec.shape
        self.radius = 0 if part.word_dropout == 1 else None
        self.by_position = len(z_shape) == 2 and z_shape[:1] == spec.shape
        size = z_shape[1] if self.by_position else torch.Size(z_shape).numel()
        self.size = size
        self.embed = nn.Embedding(spec.vocabulary, part.embedding)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        self.first = nn.Linear(size, part.hidden)
        self.lstm = nn.LSTM(part.embedding + size, part.hidden, batch_first=True)
        self.out = nn.Linear(part.hidden, likelihood.channels)

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
        words = self.drop(self.embed(self.read(x)), x.dim() - 2)
        words = words.expand(*lead, *words.shape[-2:]).reshape(-1, *words.shape[-2:])
        h, _ = run_lstm(self.lstm, self.inputs(words, z), self.begin(z))
        return self.drop(h.view(*lead, *h.shape[-2:]), len(lead) - 1)

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

    def drop(self, numbers: Float[Tensor, "*rest"], batch_dim: int) -> Float[Tensor, "*rest"]:
        """Dropout, the same for one process and N."""
        if self.part.dropout == 0 or not self.training:
            return numbers
        kept = draw(torch.rand, numbers.shape, batch_dim).to(numbers.device) >= self.part.dropout
        return numbers * kept / (1 - self.part.dropout)

    def begin(self, z: Float[Tensor, "N D"]) -> tuple[Tensor, Tensor]:
        """(h_0, c_0), with the dimension of layers that an LSTM wants in front."""
        c = self.first(z[:, : self.size])[None]
        return c.tanh(), c

    def inputs(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"], first: int = 0) -> Float[Tensor, "N T F"]:
        """Embeddings with z beside each, or with the z of the position that each predicts, from ``first`` on."""
        steps = words.shape[1]
        if self.by_position:
            beside = z.unflatten(1, (-1, self.size))[:, first : first + steps]
        else:
            beside = z[:, None].expand(-1, steps, -1)
        return torch.cat([words, beside.to(words)], -1)

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
        x, state = self.blank(len(z)), self.begin(z)
        open_ = torch.ones(len(z), dtype=torch.bool, device=z.device)
        word = x.new_full((len(z),), BOS)
        for t in range(self.event[0]):
            h, state = run_lstm(self.lstm, self.inputs(self.embed(word)[:, None], z, t), state)
            logits = self.out(h[:, 0])
            x[:, t] = torch.where(open_, self.choose(logits, None if uniforms is None else uniforms[:, t]), PAD)
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
