r"""Causal attention over the places before, merged into h by a gate.

$$ [q_i, k_i, v_i] = W [h_i, m_i] + [0, U x_i], \qquad
   a_i = \sum_{j < i} P_{ij} v_j + P_{i0} v_0, \qquad
   P_{ij} \propto \exp(q_i \cdot k_j / \sqrt d), \qquad
   h_i \leftarrow h_i + g(V a_i) $$

h_i knows the places before i alone, k_i and v_i know x_i as well: that is why i itself is left out. k_0 and v_0 are
learned and precede every place, so the first has something to look at and every other may look at nothing. With them in
front, keys and values are those of one place earlier, and "strictly before" is the ordinary triangle.

Source: Chen, Mishra, Rohaninejad and Abbeel, PixelSNAIL, 2018. Ours: the learned k_0 in place of a masked first place;
maps m in place of coordinates; one gate where theirs merges through two more residual blocks.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.nn.gated import gate

__all__ = ["Attend", "Attention", "Memory", "causal_attention"]


class Attention(nn.Module):
    """One attention over the places before.

    Args:
        channels: Channels of h, of all queries, keys and values; a multiple of ``heads``.
        inputs: Channels of x as the layers read it.
        maps: Channels of m.
        heads: Number of heads.
    """

    def __init__(self, channels: int, inputs: int, maps: int, heads: int) -> None:
        super().__init__()
        self.channels, self.heads = channels, heads
        self.own = nn.Conv2d(channels + maps, 3 * channels, 1)  # W
        self.seen = nn.Conv2d(inputs, 2 * channels, 1, bias=False)  # U
        self.merge = nn.Conv2d(channels, 2 * channels, 1)  # V
        self.before = nn.Parameter(torch.randn(2 * channels))  # k_0 and v_0
        self.attend = Attend()

    def forward(
        self, h: Float[Tensor, "N C H W"], maps: Float[Tensor, "N M H W"], seen: Float[Tensor, "N KV H W"]
    ) -> Float[Tensor, "N C H W"]:
        """h after looking back; ``seen`` is U x at every place."""
        own = self.own(torch.cat([h, maps], 1))
        q, pairs = own.split([self.channels, 2 * self.channels], 1)
        pairs = (pairs + seen).flatten(2).transpose(1, 2)[:, :-1]
        pairs = torch.cat([self.before.to(pairs.dtype).expand(len(h), 1, -1), pairs], 1)
        k, v = (self.split(t) for t in pairs.chunk(2, -1))
        a = self.attend(self.split(q.flatten(2).transpose(1, 2)), k, v)
        a = a.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, h.shape[2:])
        return h + gate(self.merge(a))

    def split(self, t: Float[Tensor, "N T C"]) -> Float[Tensor, "N A T D"]:
        """Heads apart."""
        return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Memory:
    """The keys and values of the places so far, for N images.

    Args:
        attention: Whose they are.
        count: N.
        places: The number of places.
    """

    def __init__(self, attention: Any, count: int, places: int) -> None:
        self.attention = attention
        channels, heads = attention.channels, attention.heads
        own = attention.own.weight.flatten(1)
        self.own, self.maps = own[:, :channels].t(), (own[:, channels:], attention.own.bias)
        self.seen, self.merge = (
            attention.seen.weight.flatten(1),
            (attention.merge.weight.flatten(1), attention.merge.bias),
        )
        self.beside = own.new_zeros(0)
        self.pairs = attention.before.new_empty(2, count, heads, places + 1, channels // heads)
        self.pending, self.now = attention.before.expand(count, -1), 0
        self._keep(self.pending)

    def start_row(self, maps: Float[Tensor, "N M W"]) -> None:
        """Compute what the maps of a row add to W [h, m]."""
        self.beside = F.linear(maps.permute(2, 0, 1), *self.maps)

    def look(self, h: Float[Tensor, "N C"], j: int) -> Float[Tensor, "N C"]:
        """h of the present place, the j-th of its row, after looking back."""
        channels, heads = self.attention.channels, self.attention.heads
        q, self.pending = torch.addmm(self.beside[j], h, self.own).split([channels, 2 * channels], 1)
        k, v = self.pairs[:, :, :, : self.now]
        a = F.scaled_dot_product_attention(q.view(len(h), heads, 1, -1), k, v)
        return h + gate(F.linear(a.flatten(1), *self.merge))

    def put(self, seen: Float[Tensor, "N I"]) -> None:
        """Make the x of the present place known, and go to the next."""
        self._keep(self.pending + F.linear(seen, self.seen))

    def _keep(self, pairs: Float[Tensor, "N KV"]) -> None:
        self.pairs[:, :, :, self.now] = pairs.view(len(pairs), 2, self.attention.heads, -1).transpose(0, 1)
        self.now += 1


class Attend(nn.Module):
    """The two products of attention and the softmax between them as a layer, so that they can be quantised."""

    def forward(
        self,
        q: Float[Tensor, "N A Q D"],
        k: Float[Tensor, "N A K D"],
        v: Float[Tensor, "N A K D"],
        seen: Bool[Tensor, "*rest"] | None = None,
        causal: bool = True,
    ) -> Float[Tensor, "N A Q D"]:
        """sum_j softmax_j(q_i k_j / sqrt D) v_j.

        Args:
            q: Queries.
            k: Keys.
            v: Values.
            seen: Which keys each query sees, (..., Q, K); None for those that ``causal`` says.
            causal: Those up to its own place alone; else all.
        """
        if seen is None and not causal:
            return F.scaled_dot_product_attention(q, k, v)
        return _FusedAttention.apply(q, k, v, seen)


def causal_attention(
    q: Float[Tensor, "N A T D"], k: Float[Tensor, "N A T D"], v: Float[Tensor, "N A T D"]
) -> Float[Tensor, "N A T D"]:
    """sum_{j <= i} softmax_j(q_i k_j / sqrt D) v_j, twice differentiable, memory linear in T up to one derivative.

    Example:
        >>> v = torch.arange(3.0).view(1, 1, 3, 1)
        >>> causal_attention(torch.zeros(1, 1, 3, 1), v, v).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    return _FusedAttention.apply(q, k, v, None)


class _FusedAttention(torch.autograd.Function):
    """The fused kernels, which never hold all P at once, know no second derivative; where one is wanted, P is held.

    ``seen`` says which keys each query sees; None means those up to its own place.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, k, v, seen)
        return _fused(q, k, v, seen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, seen = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():
            return *_derivatives(q, k, v, seen, gradient), None
        with torch.enable_grad():
            q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
            out = _fused(q, k, v, seen)
        return *torch.autograd.grad(out, (q, k, v), gradient), None


def _fused(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, seen, is_causal=seen is None)


def _derivatives(
    q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients with respect to q, k and v, in operations that can be differentiated again."""
    scale = q.shape[-1] ** -0.5
    if seen is None:
        seen = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool, device=q.device).tril()
    p = (q @ k.mT * scale).masked_fill(~seen, -torch.inf).softmax(-1)
    change = gradient @ v.mT
    logits = scale * p * (change - (change * p).sum(-1, keepdim=True))
    return logits @ k, logits.mT @ q, p.mT @ gradient
