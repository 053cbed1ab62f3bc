r"""p(x|z) = prod_t p(x_t | x_<t, z) over words, by an LSTM that reads z at the start and at every step.

$$ c_0 = W z, \quad h_0 = \tanh(W z), \qquad (h_t, c_t) = \mathrm{LSTM}([e(x_{t-1}), z], h_{t-1}, c_{t-1}), \qquad
   p(x_t | x_{<t}, z) = \mathrm{softmax}(U h_t)[x_t], \quad x_0 = \mathrm{BOS} $$

Where z has a value for every position, step t reads z_t and the first state is made from z_1. With ``skip`` the output
reads z as well: U (h_t + V z).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from buttress.core import DataSpec, LikelihoodModule
from buttress.decoders._sentences import SentenceDecoder, SentenceDecoderModule
from buttress.nn.layers import run_lstm

__all__ = ["RecurrentDecoder"]


@dataclass(frozen=True)
class RecurrentDecoder(SentenceDecoder):
    """An LSTM language model given z.

    Source: Bowman et al., Generating Sentences from a Continuous Space, 2016 (word dropout, the inputless decoder);
    He et al., Lagging Inference Networks, 2019 (how z enters).

    Args:
        embedding: Size of a word's embedding.
        hidden: Size of the LSTM's state.
        skip: Whether the output reads z too, beside the state.
        word_dropout: Probability that a word the decoder reads is replaced by UNK, in training only. What it predicts
            is never touched, nor are BOS and PAD. At 1 the decoder never reads a word: then there is another model,
            the inputless decoder, and words are hidden at evaluation and in samples too.
        dropout: Probability that a number of the embeddings or of the LSTM's output is zeroed, in training only.

    Errors:
        ValueError: A size below 1, or a probability outside [0, 1] (dropout: [0, 1)).

    Example:
        >>> from buttress.core import EOS, PAD, Layout
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.text(7, longest=9))
        >>> p = RecurrentDecoder(embedding=3, hidden=4).build(spec, (2,), Categorical().build(spec))(torch.zeros(5, 2))
        >>> p.batch_shape, p.event_shape, p.log_prob(torch.tensor([[5, EOS, PAD]])).shape
        (torch.Size([5]), torch.Size([9]), torch.Size([5]))
    """

    embedding: int = 64
    hidden: int = 128
    skip: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if min(self.embedding, self.hidden) < 1:
            raise ValueError(f"recurrent decoder: sizes are {self.embedding} and {self.hidden}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[RecurrentDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(embedding=3, hidden=4)
        return (small, small.replace(skip=True), small.replace(word_dropout=1.0))

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> RecurrentDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return RecurrentDecoderModule(self, spec, z_shape, likelihood)


class RecurrentDecoderModule(SentenceDecoderModule):
    """The module of :class:`RecurrentDecoder`."""

    def __init__(
        self, part: RecurrentDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__(part, spec, z_shape, likelihood, part.embedding)
        self.first = nn.Linear(self.size, part.hidden)
        self.lstm = nn.LSTM(part.embedding + self.size, part.hidden, batch_first=True)
        self.out = nn.Linear(part.hidden, likelihood.channels)
        self.skip = nn.Linear(self.size, part.hidden, bias=False) if part.skip else None  # V

    def run(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"], lead: torch.Size) -> Float[Tensor, "N T H"]:
        """See :class:`SentenceDecoderModule`."""
        return self.skipped(run_lstm(self.lstm, self.inputs(words, z), self.begin(z))[0], z)

    def begin(self, z: Float[Tensor, "N D"]) -> tuple[Tensor, Tensor]:
        """(h_0, c_0), with the dimension of layers that an LSTM wants in front."""
        c = self.first(z[:, : self.size])[None]
        return c.tanh(), c

    def advance(
        self, words: Float[Tensor, "N E"], z: Float[Tensor, "N D"], t: int, kept: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "N H"], tuple[Tensor, Tensor]]:
        """See :class:`SentenceDecoderModule`."""
        h, kept = run_lstm(self.lstm, self.inputs(words[:, None], z, t), kept)
        return self.skipped(h, z, t)[:, 0], kept

    def skipped(self, h: Float[Tensor, "N T H"], z: Float[Tensor, "N D"], first: int = 0) -> Float[Tensor, "N T H"]:
        """The states from step ``first`` on, with what the output is to know of z."""
        return h if self.skip is None else h + self.skip(self.beside(z, h.shape[1], first))

    def take(self, kept: tuple[Tensor, Tensor], rows: Int[Tensor, " N"]) -> tuple[Tensor, Tensor]:
        """See :class:`SentenceDecoderModule`."""
        return kept[0][:, rows], kept[1][:, rows]

    def inputs(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"], first: int = 0) -> Float[Tensor, "N T F"]:
        """Embeddings with z beside each, or with the z of the position that each predicts, from ``first`` on."""
        return torch.cat([words, self.beside(z, words.shape[1], first).to(words)], -1)
