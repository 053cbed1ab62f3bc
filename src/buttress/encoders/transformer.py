r"""h = pool(s_1, ..., s_T), s = Blocks(embed(x)): every token attends to all true tokens of its sentence.

Keys at padding are closed, and each place may see itself, so that there is always one open key: a place beyond the end
sees something too, though nothing is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from buttress.core import PAD, DataSpec, Encoder, Layout
from buttress.encoders._sentences import Pooling, SentenceEncoderModule
from buttress.nn.dropout import Dropout, check_dropout
from buttress.nn.transformer import TransformerBlock, check_heads, turns

__all__ = ["TransformerEncoder"]


@dataclass(frozen=True)
class TransformerEncoder(Encoder):
    """A Transformer over the tokens of a sentence; padding never changes h.

    Source: Vaswani et al., Attention Is All You Need, 2017. Ours: rotary positions, pre-norm
    (:mod:`buttress.nn.transformer`).

    Args:
        hidden: Size of a token's vector and of h; a multiple of 2 * ``heads``.
        layers: Number of blocks.
        heads: Number of attention heads in each.
        pooling: "last", the state at the last true token, which is EOS and has read the whole sentence; "mean" or
            "max" of the states at true tokens; or "abs", in every feature the state that is largest without its sign.
        positions: Features at every token in place of one vector: then z has a value for every position, and
            ``pooling`` is not used.
        backward: Let a token attend to itself and those after it alone (anti-causal); "last" is then the state at the
            first token.
        source: A condition that is a sentence, which is read in place of x; none for x.
        dropout: Probability that a number of the embeddings or of what a block adds to h is zeroed, in training only.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: A size below 1 or no multiple, or a dropout outside [0, 1).

    Example:
        >>> encoder = TransformerEncoder(hidden=8, heads=2).build(DataSpec(Layout.text(9, longest=4)))
        >>> encoder(torch.tensor([[4, 5, 2, 0], [6, 7, 8, 2]])).shape
        torch.Size([2, 8])
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    pooling: Pooling = "last"
    positions: bool = False
    backward: bool = False
    source: str | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        check_heads("transformer encoder", self.hidden, self.heads, self.layers)
        check_dropout("transformer encoder", self.dropout)

    @classmethod
    def tiny(cls) -> tuple[TransformerEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        small = cls(hidden=4, layers=1, heads=2)
        return (
            small.replace(layers=2),
            small.replace(pooling="mean", cosine=0.5),
            small.replace(pooling="max"),
            small.replace(pooling="abs", heads=1),
            small.replace(positions=True, backward=True),
            small.replace(backward=True),
        )

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.tokens else "it needs sentences: one place axis of tokens with true lengths"

    def build(self, spec: DataSpec) -> TransformerEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return TransformerEncoderModule(self, spec)


class TransformerEncoderModule(SentenceEncoderModule):
    """The module of :class:`TransformerEncoder`."""

    def __init__(self, part: TransformerEncoder, spec: DataSpec) -> None:
        spec = spec if part.source is None else _of_source(spec, part.source)
        super().__init__(spec, part.hidden, part.pooling, part.positions, part.backward, part.source)
        self.width, self.dropout = part.hidden // part.heads, Dropout(part.dropout)
        self.embedding = nn.Embedding(spec.vocabulary, part.hidden)
        self.blocks = nn.ModuleList(TransformerBlock(part.hidden, part.heads) for _ in range(part.layers))
        self.norm = nn.LayerNorm(part.hidden)

    def states(self, x: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T F"]:
        """See :class:`SentenceEncoderModule`."""
        h, seen = self.drop(self.embedding(x)), self.seen(x)
        turned = turns(x.shape[1], self.width, h)
        for block in self.blocks:
            h = block(h, turned, seen, self.drop)
        return self.norm(h)

    def drop(self, numbers: Float[Tensor, "B *rest"]) -> Float[Tensor, "B *rest"]:
        """Dropout, the same for one process and N."""
        dropped: Tensor = self.dropout(numbers, numbers.shape[:1])
        return dropped

    def seen(self, x: Int[Tensor, "B T"]) -> Bool[Tensor, "B 1 T T"]:
        """Which tokens each token attends to, [token, attended]."""
        every = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
        reach = every.triu() if self.backward else every
        return ((x != PAD)[:, None, None] & reach) | torch.eye(x.shape[1], dtype=torch.bool, device=x.device)


def _of_source(spec: DataSpec, name: str) -> DataSpec:
    """The condition of that name as if it were x."""
    column = spec.column(name)
    if not column.symbols:
        raise ValueError(f"transformer encoder: the condition {name!r} is no sentence; choose one, or leave source out")
    return DataSpec(Layout.text(column.symbols, longest=column.size))
