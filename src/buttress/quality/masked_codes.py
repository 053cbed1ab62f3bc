r"""A small BERT over sequences of codes: spans are hidden and guessed from what is around them.

$$ L = -\frac{1}{|M| G} \sum_{t \in M} \sum_g \log p(c_{tg} \mid c_s, s \notin M) $$

A place begins a span with probability p, and a span hides M places, of all G codes; spans may overlap. A code by itself
says little of what is said over a second. What it takes to guess a tenth of it from the rest is in the features.

Source: Devlin, Chang, Lee and Toutanova, BERT, 2019; over codes of sound: Baevski, Schneider and Auli, vq-wav2vec,
2020. Ours: the codes of a place are read as a sum and guessed one by one, where the paper has a token for each
combination; all hidden places are replaced by one vector; features are those of the last layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.nn.transformer import TransformerBlock, check_heads, turns

__all__ = ["MaskedCodes", "fit_masked_codes", "spans"]


class MaskedCodes(nn.Module):
    """Transformer blocks that see all places.

    Args:
        groups: Codes at each place, G.
        classes: Number of different codes of a group, K.
        hidden: Numbers at each place; a multiple of twice ``heads``.
        heads: Of attention.
        layers: Blocks.

    Errors:
        ValueError: Sizes of which no Transformer can be made.

    Example:
        >>> model = MaskedCodes(groups=2, classes=8, hidden=16, heads=2, layers=1)
        >>> codes, lengths = torch.randint(8, (3, 7, 2)), torch.tensor([7, 4, 1])
        >>> model(codes, lengths).shape, model.pooled(codes, lengths).shape
        (torch.Size([3, 7, 2, 8]), torch.Size([3, 16]))
    """

    def __init__(self, groups: int, classes: int, hidden: int = 64, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        check_heads("masked codes", hidden, heads, layers)
        self.groups, self.classes, self.each = groups, classes, hidden // heads
        self.embed = nn.Embedding(groups * classes, hidden)
        self.hidden = nn.Parameter(torch.randn(hidden))
        self.blocks = nn.ModuleList(TransformerBlock(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.guess = nn.Linear(hidden, groups * classes)

    def forward(
        self, codes: Int[Tensor, "N P G"], lengths: Int[Tensor, " N"], hide: Bool[Tensor, "N P"] | None = None
    ) -> Float[Tensor, "N P G K"]:
        """The logits of every code, those at places to ``hide`` not being read; beyond true lengths without meaning."""
        return self.guess(self.features(codes, lengths, hide)).unflatten(-1, (self.groups, self.classes))

    def features(
        self, codes: Int[Tensor, "N P G"], lengths: Int[Tensor, " N"], hide: Bool[Tensor, "N P"] | None = None
    ) -> Float[Tensor, "N P H"]:
        """What the last block makes of every place."""
        places = codes.shape[1]
        h = self.embed(codes + self.classes * torch.arange(self.groups, device=codes.device)).sum(2)
        if hide is not None:
            h = torch.where(hide[..., None], self.hidden, h)
        turned = turns(places, self.each, h)
        seen = (torch.arange(places, device=codes.device) < lengths[:, None])[:, None, None].expand(-1, 1, places, -1)
        for block in self.blocks:
            h = block(h, turned, seen)
        return self.norm(h)

    def pooled(self, codes: Int[Tensor, "N P G"], lengths: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
        """The mean of the features of an example's true places."""
        inside = (torch.arange(codes.shape[1], device=codes.device) < lengths[:, None])[..., None]
        return (self.features(codes, lengths) * inside).sum(1) / lengths[:, None]


def spans(lengths: Int[Tensor, " N"], places: int, start: float = 0.05, span: int = 10) -> Bool[Tensor, "N P"]:
    """Places to hide, drawn at random: at least one of each example, and none beyond its true length.

    Args:
        lengths: True lengths, at least 1.
        places: The longest.
        start: Probability with which a place begins a span.
        span: Places of a span; one that begins near the end is shorter.

    Example:
        >>> spans(torch.tensor([3, 1]), places=4, start=1.0)
        tensor([[ True,  True,  True, False],
                [ True, False, False, False]])
    """
    begins = torch.rand(len(lengths), places) < start
    sure = (torch.rand(len(lengths)) * lengths).long().minimum(lengths - 1)
    begins[torch.arange(len(lengths)), sure] = True
    found = F.max_pool1d(F.pad(begins.float(), (span - 1, 0))[:, None], span, stride=1)[:, 0] > 0
    return found & (torch.arange(places) < lengths[:, None])


def fit_masked_codes(
    codes: Int[Tensor, "N P G"],
    lengths: Int[Tensor, " N"],
    classes: int,
    *,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    start: float = 0.05,
    span: int = 10,
    seed: int = 0,
    **sizes: int,
) -> MaskedCodes:
    """A model trained by Adam, its rate falling to 0; the global random state is kept.

    Args:
        codes: Of N examples, from 0, padded to the longest; what stands beyond the true length is not read.
        lengths: True lengths, at least 1.
        classes: Number of different codes of a group.
        steps: Of training.
        batch_size: Examples in a step.
        learning_rate: Of Adam, at the start.
        start: Probability with which a place begins a hidden span.
        span: Places of a span.
        seed: Of weights, order and spans.
        sizes: See :class:`MaskedCodes`.

    Errors:
        ValueError: Codes outside the classes, or an example without a place.

    Example:
        >>> codes = (torch.arange(50) % 4)[:, None, None].expand(50, 40, 1)  # each tells all others
        >>> lengths = torch.full((50,), 40)
        >>> model = fit_masked_codes(codes, lengths, 4, steps=120, learning_rate=5e-3, hidden=16, heads=2, layers=1)
        >>> hide = torch.zeros(50, 40, dtype=torch.bool)
        >>> hide[:, 20:25] = True
        >>> guessed = model(codes, lengths, hide)[hide].argmax(-1)
        >>> bool((guessed == codes[hide]).float().mean() > 0.9)
        True
    """
    if int(lengths.min()) < 1 or not 0 <= int(codes.min()) <= int(codes.max()) < classes:
        raise ValueError(
            f"masked codes: codes from {codes.min().item()} to {codes.max().item()} of {classes} and lengths from "
            f"{lengths.min().item()}; wanted codes from 0 to {classes - 1}, and one place at least in each example"
        )
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(seed)
        model = MaskedCodes(codes.shape[2], classes, **sizes)
        adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(steps):
            index = torch.randint(len(codes), (batch_size,))
            longest = int(lengths[index].max())
            some, size = codes[index, :longest], lengths[index]
            hide = spans(size, longest, start, span)
            adam.zero_grad()
            F.cross_entropy(model(some, size, hide)[hide].flatten(0, 1), some[hide].flatten()).backward()
            adam.step()
            falling.step()
    return model.eval()
