r"""Beam search: the likeliest sentence that a decoder writes, as far as a few beginnings kept at each step tell.

$$ \text{score}(x) = \frac{\log p(x|z)}{\text{lp}(|x|)}, \qquad \text{lp}(n) = \Bigl(\frac{5 + n}{6}\Bigr)^\alpha $$

At each step the K best of all beginnings by a further word are kept; sentences that have ended stay among them and
compete by their score. It ends once all K have ended.

Source: Wu et al., Google's Neural Machine Translation System, 2016 (the length penalty).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import BOS, EOS, PAD, UNK

__all__ = ["beam_search"]


@torch.no_grad()
def beam_search(
    module: Any, z: Float[Tensor, "N D"], beam: int, alpha: float = 0.6, cached: bool = True
) -> tuple[Int[Tensor, "N K T"], Float[Tensor, "N K"]]:
    """The K best sentences found for each z, best first, and their scores.

    Args:
        module: A :class:`buttress.decoders._sentences.SentenceDecoderModule`.
        z: What its loop reads, one row each.
        beam: K.
        alpha: Of the length penalty; 0 for none.
        cached: Whether to keep the states of the steps before, or to compute them again at each, which is for
            comparison.

    Errors:
        ValueError: K is below 1.
    """
    if beam < 1:
        raise ValueError(f"beam search: beam is {beam}, wanted at least 1")
    count, width = len(z), beam
    z = z.repeat_interleave(width, 0)
    kept = module.begin(z) if cached else None
    x = module.blank(len(z)).view(count, width, -1)
    total = z.new_full((count, width), -torch.inf)
    total[:, 0] = 0.0  # all beginnings are the same at first
    length = torch.zeros_like(total)
    first = torch.arange(count, device=z.device)[:, None] * width
    for t in range(x.shape[-1]):
        if cached:
            h, kept = module.advance(module.embed(_read(module, x, t)), z, t, kept)
            logits = module.out(h)
        else:
            logits = module.parameters_of(z, x.flatten(0, 1))[:, t]
        over = (x == EOS).any(-1)
        choices = _further(logits.float().log_softmax(-1).view(count, width, -1), total, over)
        longer = (length + ~over)[..., None]
        score = (choices / ((5 + longer) / 6) ** alpha).flatten(1)
        best = score.topk(width).indices
        origin, word = best // logits.shape[-1], best % logits.shape[-1] + EOS
        total, length = choices.flatten(1).gather(1, best), longer.squeeze(-1).gather(1, origin)
        x, over = x.gather(1, origin[..., None].expand_as(x)), over.gather(1, origin)
        x[..., t] = torch.where(over, PAD, word)
        if cached:
            kept = module.take(kept, (first + origin).flatten())
        if ((x == EOS).any(-1)).all():
            break
    score = total / ((5 + length) / 6) ** alpha
    order = score.argsort(dim=-1, descending=True, stable=True)
    return x.gather(1, order[..., None].expand_as(x)), score.gather(1, order)


def _read(module: Any, x: Int[Tensor, "N K T"], t: int) -> Int[Tensor, " M"]:
    """What the decoder reads at step t."""
    before = x[..., t - 1].flatten() if t else x.new_full((x.shape[0] * x.shape[1],), BOS)
    return torch.full_like(before, UNK) if t and module.part.word_dropout == 1 else before


def _further(logs: Float[Tensor, "N K V"], total: Float[Tensor, "N K"], over: Tensor) -> Float[Tensor, "N K V"]:
    """log p of every beginning by a further word; one that has ended goes on as it is, under the number of EOS."""
    going = total[..., None] + logs
    ended = torch.full_like(logs, -torch.inf)
    ended[..., 0] = total
    return torch.where(over[..., None], ended, going)
