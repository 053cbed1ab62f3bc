"""Places of padding count in the loss of sentences."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent


@rule
def padding_counted(subject: Linted) -> Iterator[LintFinding]:
    """Whether logits at padding have a gradient."""
    x, gradient = subject.x, subject.pieces.by_recon
    if x.is_floating_point() or x.dim() != 2:
        raise Silent("x holds no token ids (B, T)")
    pad = _padding(x)
    if pad is None:
        raise Silent("no row of x ends in padding")
    counted = gradient.ne(0)
    axis = next((k for k in (1, 2) if counted.dim() == 3 and counted.shape[k] in (x.shape[1], x.shape[1] - 1)), None)
    if axis is None:
        raise Silent("the reconstruction has no axis of places")
    heard = counted.movedim(axis, 1).flatten(2).any(2)
    places = pad[:, x.shape[1] - heard.shape[1] :]
    if bool(heard[places].any()):
        yield LintFinding(
            "padding-counted", "error", "likely",
            f"the loss counts {int(heard[places].sum())} of {int(places.sum())} places that hold padding, "
            f"{places.float().mean():.0%} of all places",
            "leave padding out of the loss: cross_entropy(..., ignore_index=PAD, reduction='sum') / batch size",
        )  # fmt: skip


def _padding(x: Tensor) -> Tensor | None:
    """Where rows go on repeating the id that most of them end with; the first of these may be a word.

    It is padding where the id stands nowhere else, but perhaps at the start, and in two rows or more.
    """
    last, counts = x[:, -1].unique(return_counts=True)
    same = x == last[counts.argmax()]
    tail = same.flip(1).long().cumprod(1).flip(1).bool()
    padded = tail & torch.cat([tail.new_zeros(len(x), 1), tail[:, :-1]], 1)
    elsewhere = bool((same & ~tail)[:, 1:].any())
    return padded if int(padded.any(1).sum()) > 1 and not elsewhere and not bool(tail[:, 0].any()) else None
