r"""p(x|z, y) = prod_t p(x_t | x_<t, z, y) over words, by a Transformer that looks at a memory of z and of a sentence y.

$$ m = [V z_1, \ldots, V z_P, \mathrm{Encoder}(y)_1, \ldots, \mathrm{Encoder}(y)_S], \qquad h_t = e(x_{t-1}), \qquad
   h \leftarrow \mathrm{Block}_l(h; m), \qquad p(x_t | x_{<t}, z, y) = \mathrm{softmax}(O \, \mathrm{LN}\, h_t)[x_t] $$

with x_0 = BOS. The places of m are those of z (one, where it has none), and those of the condition ``source`` where the
data offer it: then this is a translation model, and y needs no z to be read. Padding of y is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from buttress.core import EMPTY, PAD, DataSpec, Given, Layout, LikelihoodModule
from buttress.core.autoregressive import Autoregressive
from buttress.core.batch import known
from buttress.decoders._sentences import SentenceDecoder, SentenceDecoderModule
from buttress.encoders.transformer import TransformerEncoder
from buttress.likelihoods.categorical import score_tokens
from buttress.nn.cross_attention import CrossBlock, Recall
from buttress.nn.transformer import check_heads, turns

__all__ = ["CrossAttentionDecoder"]


@dataclass(frozen=True)
class CrossAttentionDecoder(SentenceDecoder):
    """A Transformer that writes a sentence while it looks at another one, at z, or at both.

    Source: Vaswani et al., Attention Is All You Need, 2017. Ours: rotary positions, pre-norm
    (:mod:`buttress.nn.transformer`); z among the places looked at.

    Args:
        hidden: Size of a word's vector and of h; a multiple of 2 * ``heads``.
        layers: Number of blocks.
        heads: Number of attention heads in each.
        source: The condition that is a sentence, whose tokens have the numbers of x's; none to look at z alone.
        source_layers: Number of blocks that read it.
        label_smoothing: Share of the cross-entropy that is spread over all words, in training only, so that no word is
            made certain.
        word_dropout: Probability that a word the decoder reads is replaced by UNK, in training only. What it predicts
            is never touched, nor are BOS and PAD. At 1 the decoder never reads a word: then there is another model,
            the inputless decoder, and words are hidden at evaluation and in samples too.
        dropout: Probability that a number of the embeddings, of what a block adds to h or of the last h is zeroed, in
            training only.

    Errors:
        ValueError: A size below 1 or no multiple, or a probability outside [0, 1] (dropout and label_smoothing:
            [0, 1)).

    Example:
        >>> from buttress.core import EOS, Column, Layout
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.text(7, longest=9), given=(Column("source", symbols=7, size=4),))
        >>> decoder = CrossAttentionDecoder(hidden=8, heads=2).build(spec, (1,), Categorical().build(spec))
        >>> p = decoder(torch.ones(5, 1), {"source": torch.tensor([[4, 5, EOS, PAD]] * 5)})
        >>> p.log_prob(torch.tensor([[5, EOS, PAD]])).shape
        torch.Size([5])
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    source: str | None = "source"
    source_layers: int = 2
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_heads("cross_attention decoder", self.hidden, self.heads, min(self.layers, self.source_layers))
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"cross_attention decoder: label_smoothing is {self.label_smoothing}, wanted at least 0 and below 1"
            )

    @classmethod
    def tiny(cls) -> tuple[CrossAttentionDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=4, heads=2, layers=1, source_layers=1),)

    def build(
        self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> CrossAttentionDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return CrossAttentionDecoderModule(self, spec, z_shape, likelihood)


class CrossAttentionDecoderModule(SentenceDecoderModule):
    """The module of :class:`CrossAttentionDecoder`.

    What the loops over places call z is the memory here, made once for each example: its places one after the other,
    behind each vector whether it is open. So a sentence y needs nothing of them that z did not have.
    """

    def __init__(
        self, part: CrossAttentionDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__(part, spec, z_shape, likelihood, part.hidden)
        self.smoothing, self.width, self.hidden = part.label_smoothing, part.hidden // part.heads, part.hidden
        self.latent_dims, self.z_dims = len(z_shape), 1
        self.z_places = z_shape[0] if len(z_shape) == 2 else 1
        self.names: tuple[str, ...] = ()
        self.lift = nn.Linear(torch.Size(z_shape).numel() // self.z_places, part.hidden)  # V
        if part.source is not None and any(column.name == part.source for column in spec.given):
            self.names, column = (part.source,), spec.column(part.source)
            reader = TransformerEncoder(
                part.hidden, part.source_layers, part.heads, positions=True, dropout=part.dropout
            )
            self.source = reader.build(DataSpec(Layout.text(column.symbols, longest=column.size)))
        self.blocks = nn.ModuleList(CrossBlock(part.hidden, part.heads) for _ in range(part.layers))
        self.norm = nn.LayerNorm(part.hidden)
        self.out = nn.Linear(part.hidden, likelihood.channels)

    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Autoregressive:
        """See :class:`buttress.core.DecoderModule`."""
        flat = z.flatten(-self.latent_dims)
        m = self.lift(flat.unflatten(-1, (self.z_places, -1)))
        open_ = m.new_ones(*m.shape[:-1], 1)
        memory = torch.cat([m, open_], -1)
        if self.names:
            y = known(given, self.names[0], "cross_attention decoder")
            true = y != PAD
            read = torch.cat([self.source.states(y, true.sum(1)), true[..., None]], -1)
            memory = torch.cat([memory, read.expand(*m.shape[:-2], *read.shape[-2:]).to(m)], -2)
        return Autoregressive(self, memory.flatten(-2), given)

    def log_prob(
        self, z: Float[Tensor, "*rest"], x: Int[Tensor, "*rest2"], given: Given = EMPTY
    ) -> Float[Tensor, "*batch"]:
        """See :class:`SentenceDecoderModule`. In training the logarithm is smoothed over all words."""
        return score_tokens(self.states(z, x), x, self.out, self.smoothing if self.training else 0.0)

    def memory(self, z: Float[Tensor, "N D"]) -> tuple[Float[Tensor, "N M C"], Bool[Tensor, "N 1 1 M"]]:
        """The vectors at all places of the memory, and which are open."""
        m = z.unflatten(-1, (-1, self.hidden + 1))
        return m[..., :-1], m[:, None, None, :, -1] > 0.5

    def run(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"], lead: torch.Size) -> Float[Tensor, "N T H"]:
        """See :class:`SentenceDecoderModule`."""
        (memory, open_), turned, h = self.memory(z), turns(words.shape[1], self.width, words), words
        for block in self.blocks:
            h = cast(CrossBlock, block).look(h, turned, memory, open_, lambda change: self.drop(change, lead))
        return self.norm(h)

    def begin(self, z: Float[Tensor, "N D"]) -> list[Recall]:
        """See :class:`SentenceDecoderModule`."""
        (memory, open_), turned = self.memory(z), turns(self.event[0], self.width, z)
        return [Recall(cast(CrossBlock, block), memory, open_, turned) for block in self.blocks]

    def advance(
        self, words: Float[Tensor, "N E"], z: Float[Tensor, "N D"], t: int, kept: list[Recall]
    ) -> tuple[Float[Tensor, "N H"], list[Recall]]:
        """See :class:`SentenceDecoderModule`."""
        h = words
        for block, past in zip(self.blocks, kept, strict=True):
            h = cast(CrossBlock, block).step(h, past)
        return self.norm(h), kept

    def take(self, kept: list[Recall], rows: Int[Tensor, " N"]) -> list[Recall]:
        """See :class:`SentenceDecoderModule`."""
        for past in kept:
            past.take(rows)
        return kept
