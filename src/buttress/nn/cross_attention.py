r"""Transformer blocks that also look at a memory: places of something else, such as a sentence that is translated.

$$ h \leftarrow h + \mathrm{Attention}(\mathrm{LN}\, h), \qquad h \leftarrow h + \mathrm{Attention}(\mathrm{LN}\, h; m),
   \qquad h \leftarrow h + W_2 \mathrm{GELU}(W_1 \mathrm{LN}\, h) $$

Places of the memory have no order but what their vectors say: only within h are places rotary.

Source: Vaswani et al., Attention Is All You Need, 2017.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from buttress.nn.attention import Attend
from buttress.nn.transformer import Change, KeyValues, TransformerBlock

__all__ = ["CrossAttention", "CrossBlock", "Recall"]


class CrossAttention(nn.Module):
    """Every place of h looks at all open places of a memory.

    Args:
        channels: Of h and of the memory; a multiple of ``heads``.
        heads: How many.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(channels, channels, bias=False)
        self.known = nn.Linear(channels, 2 * channels, bias=False)
        self.merge = nn.Linear(channels, channels)
        self.attend = Attend()

    def recall(self, memory: Float[Tensor, "N M C"]) -> tuple[Tensor, Tensor]:
        """Keys and values of the memory, which are the same for all places of h."""
        k, v = (self._split(t) for t in self.known(memory).chunk(2, -1))
        return k, v

    def forward(
        self, h: Float[Tensor, "N P C"], pairs: tuple[Tensor, Tensor], open_: Bool[Tensor, "N 1 1 M"]
    ) -> Float[Tensor, "N P C"]:
        """What each place finds; at least one place of each memory is open."""
        a = self.attend(self._split(self.ask(h)), *pairs, open_)
        return self.merge(a.transpose(1, 2).flatten(2))

    def _split(self, t: Float[Tensor, "N P C"]) -> Float[Tensor, "N A P D"]:
        return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class CrossBlock(TransformerBlock):
    """A causal Transformer block with a look at a memory in between.

    Args:
        channels: Of h and of the memory; a multiple of twice ``heads``.
        heads: How many.

    Example:
        >>> import torch
        >>> from buttress.nn.transformer import turns
        >>> h, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
        >>> open_ = torch.tensor([[True, True, True], [True, False, False]])[:, None, None]
        >>> block = CrossBlock(channels=8, heads=2)
        >>> whole = block.look(h, turns(5, 4, h), memory, open_)
        >>> past = Recall(block, memory, open_, turns(5, 4, h))
        >>> torch.allclose(torch.stack([block.step(h[:, t], past) for t in range(5)], 1), whole, atol=1e-5)
        True
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.before_cross, self.cross = nn.LayerNorm(channels), CrossAttention(channels, heads)

    def look(
        self,
        h: Float[Tensor, "N P C"],
        turned: Float[Tensor, "2 P E"],
        memory: Float[Tensor, "N M C"],
        open_: Bool[Tensor, "N 1 1 M"],
        drop: Change = lambda change: change,
    ) -> Float[Tensor, "N P C"]:
        """The next h.

        Args:
            h: At all places.
            turned: From :func:`buttress.nn.transformer.turns`.
            memory: What there is to look at.
            open_: Which of its places are.
            drop: Dropout of what is added to h.
        """
        h = h + drop(self.attention(self.before_attention(h), turned, None))
        h = h + drop(self.cross(self.before_cross(h), self.cross.recall(memory), open_))
        return h + drop(self.wide(self.before_wide(h)))

    def step(self, h: Float[Tensor, "N C"], past: KeyValues) -> Float[Tensor, "N C"]:
        """The same at the place that follows ``past``, which then holds this one too."""
        assert isinstance(past, Recall)
        h = h + self.attention.step(self.before_attention(h), past)
        h = h + self.cross(self.before_cross(h)[:, None], past.known, past.open)[:, 0]
        return h + self.wide(self.before_wide(h))


class Recall(KeyValues):
    """Keys and values of the places so far, and of the memory, in one block. Rows that are put in the place of others
    must have their memory: ``take`` leaves it as it is.

    Args:
        block: Whose they are.
        memory: What there is to look at.
        open_: Which of its places are.
        turned: From :func:`buttress.nn.transformer.turns`, for all places that will come.
    """

    def __init__(
        self,
        block: CrossBlock,
        memory: Float[Tensor, "N M C"],
        open_: Bool[Tensor, "N 1 1 M"],
        turned: Float[Tensor, "2 P E"],
    ) -> None:
        super().__init__(block, len(memory), turned)
        self.known, self.open = block.cross.recall(memory), open_
