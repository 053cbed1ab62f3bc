r"""p(x|z) = prod_t p(x_t | x_<t, z) over words, by a Transformer that finds z in front of the sentence.

$$ h_0 = V z, \quad h_t = e(x_{t-1}), \qquad h \leftarrow \mathrm{Block}_l(h + U_l z), \qquad
   p(x_t | x_{<t}, z) = \mathrm{softmax}(O \,\mathrm{LN}\, h_t)[x_t], \quad x_0 = \mathrm{BOS} $$

Every place attends to the places before it, so that V z is always among them; U_l is there with ``skip`` only. Where z
has a value for every position there is none in front, and h_t = e(x_{t-1}) + V z_t: step t reads z_t alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from buttress.core import DataSpec, LikelihoodModule
from buttress.decoders._sentences import SentenceDecoder, SentenceDecoderModule
from buttress.nn.transformer import KeyValues, TransformerBlock, check_heads, turns

__all__ = ["TransformerDecoder"]


@dataclass(frozen=True)
class TransformerDecoder(SentenceDecoder):
    """A Transformer language model given z.

    Source: Vaswani et al., Attention Is All You Need, 2017; z as a place of its own and z in every layer: Li et al.,
    Optimus, 2020. Ours: rotary positions, pre-norm (:mod:`buttress.nn.transformer`); z in every layer is added.

    Args:
        hidden: Size of a word's vector and of h; a multiple of 2 * ``heads``.
        layers: Number of blocks.
        heads: Number of attention heads in each.
        skip: Whether z is added in front of every block too, and not only read as a place before the sentence.
        word_dropout: Probability that a word the decoder reads is replaced by UNK, in training only. What it predicts
            is never touched, nor are BOS and PAD. At 1 the decoder never reads a word: then there is another model,
            the inputless decoder, and words are hidden at evaluation and in samples too.
        dropout: Probability that a number of the embeddings, of what a block adds to h or of the last h is zeroed, in
            training only.

    Errors:
        ValueError: A size below 1 or no multiple, or a probability outside [0, 1] (dropout: [0, 1)).

    Example:
        >>> from buttress.core import EOS, PAD, Layout
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.text(7, longest=9))
        >>> p = TransformerDecoder(hidden=8, heads=2).build(spec, (2,), Categorical().build(spec))(torch.zeros(5, 2))
        >>> p.batch_shape, p.event_shape, p.log_prob(torch.tensor([[5, EOS, PAD]])).shape
        (torch.Size([5]), torch.Size([9]), torch.Size([5]))
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    skip: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_heads("transformer decoder", self.hidden, self.heads, self.layers)

    @classmethod
    def tiny(cls) -> tuple[TransformerDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=4, heads=2), cls(hidden=4, heads=1, skip=True), cls(hidden=4, heads=1, word_dropout=1.0))

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> TransformerDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return TransformerDecoderModule(self, spec, z_shape, likelihood)


class TransformerDecoderModule(SentenceDecoderModule):
    """The module of :class:`TransformerDecoder`."""

    def __init__(
        self, part: TransformerDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__(part, spec, z_shape, likelihood, part.hidden)
        self.width = part.hidden // part.heads
        self.first = nn.Linear(self.size, part.hidden)  # V
        self.blocks = nn.ModuleList(TransformerBlock(part.hidden, part.heads) for _ in range(part.layers))
        skips = part.layers if part.skip else 0
        self.skips = nn.ModuleList(nn.Linear(self.size, part.hidden, bias=False) for _ in range(skips))  # U_l
        self.norm = nn.LayerNorm(part.hidden)
        self.out = nn.Linear(part.hidden, likelihood.channels)

    def run(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"], lead: torch.Size) -> Float[Tensor, "N T H"]:
        """See :class:`SentenceDecoderModule`."""
        h = words + self.first(self.beside(z, words.shape[1])) if self.by_position else self.behind(words, z)
        turned = turns(h.shape[1], self.width, h)
        for i, block in enumerate(self.blocks):
            h = self.skipped(h, i, self.beside(z, h.shape[1]))
            h = block(h, turned, drop=lambda change: self.drop(change, lead))
        return self.norm(h[:, -words.shape[1] :])

    def behind(self, words: Float[Tensor, "N T E"], z: Float[Tensor, "N D"]) -> Float[Tensor, "N P E"]:
        """The words behind V z."""
        front = self.first(z)[:, None]
        return torch.cat([front, words.to(front)], 1)

    def skipped(self, h: Tensor, layer: int, z: Tensor) -> Tensor:
        """h with U_l z, where there is one."""
        return h + self.skips[layer](z) if len(self.skips) else h

    def begin(self, z: Float[Tensor, "N D"]) -> list[KeyValues]:
        """Keys and values of V z in every block; of nothing, where z has a value for every position."""
        turned = turns(self.event[0] + 1, self.width, z)
        past = [KeyValues(cast(TransformerBlock, block), len(z), turned) for block in self.blocks]
        if not self.by_position:
            self.through(self.first(z), z, past)
        return past

    def advance(
        self, words: Float[Tensor, "N E"], z: Float[Tensor, "N D"], t: int, kept: list[KeyValues]
    ) -> tuple[Float[Tensor, "N H"], list[KeyValues]]:
        """See :class:`SentenceDecoderModule`."""
        now = self.beside(z, 1, t)[:, 0]
        return self.norm(self.through(words + self.first(now) if self.by_position else words, now, kept)), kept

    def take(self, kept: list[KeyValues], rows: Int[Tensor, " N"]) -> list[KeyValues]:
        """See :class:`SentenceDecoderModule`."""
        for past in kept:
            past.take(rows)
        return kept

    def through(self, h: Float[Tensor, "N E"], z: Float[Tensor, "N S"], past: list[KeyValues]) -> Float[Tensor, "N H"]:
        """One more place through all blocks."""
        for i, before in enumerate(past):
            h = cast(TransformerBlock, self.blocks[i]).step(self.skipped(h, i, z), before)
        return h
