r"""Pre-norm Transformer blocks with rotary positions, for the encoders and decoders of sequences.

$$ h \leftarrow h + \mathrm{Attention}(\mathrm{LN}\, h), \qquad h \leftarrow h + W_2 \mathrm{GELU}(W_1 \mathrm{LN}\, h),
   \qquad P_{ij} \propto \exp\left( (R_i q_i) \cdot (R_j k_j) / \sqrt d \right) $$

R_i turns pairs of numbers (a, b) by the angle i w for a number w of each pair, from 1 down to 1/10,000. So the logit
knows places only by their distance i - j, no table of places limits the length, and there is nothing to learn that a
longest sentence seldom reaches: this is why places are rotary here and not learned. Norms stand in front of what they
feed, so that training needs no warm-up of the learning rate.

Source: Vaswani et al., Attention Is All You Need, 2017; Xiong et al., On Layer Normalization in the Transformer
Architecture, 2020 (pre-norm); Su et al., RoFormer, 2021 (rotary positions).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from buttress.nn.attention import Attend

__all__ = ["KeyValues", "TransformerBlock", "check_heads", "rotate", "turns"]

SLOWEST = 1e-4
WIDER = 4
"""How many times as wide the feed-forward layer is inside."""

Change = Callable[[Tensor], Tensor]


def turns(places: int, width: int, like: Tensor) -> Float[Tensor, "2 P E"]:
    """Cosine and sine of the angles of all places, for heads of ``width`` numbers, on the device of ``like``.

    Example:
        >>> import math
        >>> turns(3, 2, torch.zeros(1, dtype=torch.float64))[:, 2].flatten().tolist() == [math.cos(2), math.sin(2)]
        True
    """
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    w = SLOWEST ** (torch.arange(0, width, 2, device=like.device, dtype=dtype) / width)
    angle = torch.arange(places, device=like.device, dtype=dtype)[:, None] * w
    return torch.stack([angle.cos(), angle.sin()])


def rotate(t: Float[Tensor, "*batch P D"], turned: Float[Tensor, "2 P E"]) -> Float[Tensor, "*batch P D"]:
    """R_i t_i at all places; the number d is paired with d + D / 2.

    Example:
        >>> q, k = torch.randn(2, 1, 8)  # the same vectors at every place: their products hang on the distance alone
        >>> table = turns(5, 8, q)
        >>> p = rotate(q.expand(5, 8), table) @ rotate(k.expand(5, 8), table).T
        >>> bool((p[1:, 1:] - p[:-1, :-1]).abs().max() < 1e-5), bool((p[0] - p[1]).abs().max() > 1e-3)
        (True, True)
    """
    (cos, sin), (a, b) = turned, t.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(t.dtype)


class SelfAttention(nn.Module):
    """Every place looks at the places it may see.

    Args:
        channels: Of h, and of all queries, keys and values together; a multiple of twice ``heads``.
        heads: How many.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.own = nn.Linear(channels, 3 * channels, bias=False)
        self.merge = nn.Linear(channels, channels)
        self.attend = Attend()

    def forward(
        self, h: Float[Tensor, "N P C"], turned: Float[Tensor, "2 P E"], seen: Bool[Tensor, "N 1 P P"] | None
    ) -> Float[Tensor, "N P C"]:
        """What each place sees; ``seen`` says of what, [query, key], and None means itself and the places before."""
        q, k, v = self._split(h)
        q, k = rotate(q, turned), rotate(k, turned)
        return self.merge(self.attend(q, k, v, seen).transpose(1, 2).flatten(2))

    def step(self, h: Float[Tensor, "N C"], past: KeyValues) -> Float[Tensor, "N C"]:
        """The same at the place that follows ``past``, which then holds this one too."""
        q, k, v = self._split(h[:, None])
        turned = past.turned[:, past.now : past.now + 1]
        k, v = past.put(rotate(k, turned), v)
        return self.merge(self.attend(rotate(q, turned), k, v, causal=False).flatten(1))

    def _split(self, h: Float[Tensor, "N P C"]) -> list[Float[Tensor, "N A P D"]]:
        """Queries, keys and values, heads apart."""
        return [t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.own(h).chunk(3, -1)]


class TransformerBlock(nn.Module):
    """Attention, then a feed-forward layer at every place, both added to h.

    Args:
        channels: Of h; a multiple of twice ``heads``.
        heads: How many.

    Example:
        >>> h = torch.randn(2, 5, 8)
        >>> block = TransformerBlock(channels=8, heads=2)
        >>> whole = block(h, turns(5, 4, h))
        >>> past = KeyValues(block, count=2, turned=turns(5, 4, h))
        >>> torch.allclose(torch.stack([block.step(h[:, t], past) for t in range(5)], 1), whole, atol=1e-5)
        True
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.before_attention, self.before_wide = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = SelfAttention(channels, heads)
        self.wide = nn.Sequential(
            nn.Linear(channels, WIDER * channels), nn.GELU(), nn.Linear(WIDER * channels, channels)
        )

    def forward(
        self,
        h: Float[Tensor, "N P C"],
        turned: Float[Tensor, "2 P E"],
        seen: Bool[Tensor, "N 1 P P"] | None = None,
        drop: Change = lambda change: change,
    ) -> Float[Tensor, "N P C"]:
        """The next h.

        Args:
            h: At all places.
            turned: From :func:`turns`.
            seen: Which keys each query sees, at least one; None for itself and the places before.
            drop: Dropout of what is added to h.
        """
        h = h + drop(self.attention(self.before_attention(h), turned, seen))
        return h + drop(self.wide(self.before_wide(h)))

    def step(self, h: Float[Tensor, "N C"], past: KeyValues) -> Float[Tensor, "N C"]:
        """The same at the place that follows ``past``, which then holds this one too."""
        h = h + self.attention.step(self.before_attention(h), past)
        return h + self.wide(self.before_wide(h))


class KeyValues:
    """Keys and values of the places so far, in one block.

    Args:
        block: Whose they are.
        count: N.
        turned: From :func:`turns`, for all places that will come.
    """

    def __init__(self, block: TransformerBlock, count: int, turned: Float[Tensor, "2 P E"]) -> None:
        weight, heads = block.attention.merge.weight, block.attention.heads
        self.turned, self.now = turned, 0
        self.pairs = weight.new_empty(2, count, heads, turned.shape[1], len(weight) // heads)

    def put(self, k: Float[Tensor, "N A 1 D"], v: Float[Tensor, "N A 1 D"]) -> Float[Tensor, "2 N A P D"]:
        """Add a place; keys and values of all so far."""
        self.pairs[0, :, :, self.now], self.pairs[1, :, :, self.now] = k.squeeze(2), v.squeeze(2)
        self.now += 1
        return self.pairs[:, :, :, : self.now]

    def take(self, rows: Int[Tensor, " N"]) -> None:
        """Put other rows in the place of all."""
        self.pairs[:, :, :, : self.now] = self.pairs[:, rows, :, : self.now]


def check_heads(owner: str, hidden: int, heads: int, layers: int) -> None:
    """Refuse sizes of which no Transformer can be made.

    Example:
        >>> check_heads("transformer encoder", hidden=30, heads=4, layers=2)
        Traceback (most recent call last):
        ValueError: transformer encoder: hidden is 30 and heads is 4, wanted hidden to be a multiple of 2 * heads = 8
    """
    if min(hidden, heads, layers) < 1:
        raise ValueError(f"{owner}: hidden, heads and layers are {hidden}, {heads} and {layers}, wanted at least 1")
    if hidden % (2 * heads):
        raise ValueError(
            f"{owner}: hidden is {hidden} and heads is {heads}, "
            f"wanted hidden to be a multiple of 2 * heads = {2 * heads}"
        )
