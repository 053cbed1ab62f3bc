r"""What reaches the reconstruction on a way that leads round z.

The gradient of the reconstruction r at one place, with respect to what holds x (e), is that of all ways; less that of
the ways through mu and l = log sigma^2 it is that of the ways round z:

$$ \frac{dr}{de} - \frac{\partial r}{\partial \mu} \frac{d\mu}{de} - \frac{\partial r}{\partial l} \frac{dl}{de} $$

It must be 0 where e holds the value that r predicts, or one that comes later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from buttress.diagnostics.adapters.outputs import Output
from buttress.diagnostics.lint.quiet import no_dropout, seeded
from buttress.diagnostics.lint.reached import reached
from buttress.diagnostics.lint.subject import Linted, Silent

__all__ = ["Leak", "leak"]

SMALL = 1e-4
"""Share of the largest gradient below which one is rounding."""


@dataclass(frozen=True)
class Leak:
    """A place whose prediction reads its own value, or a later one.

    Args:
        place: Of x, in reading order.
        by: What brings it there.
    """

    place: int
    by: str


def leak(subject: Linted) -> Leak | None:
    """The first place found at which the reconstruction reads its own value round z; None where there is none.

    A gradient at *all* places may have come by a second latent that the model does not return, so it counts only where
    mu is not made of the same tensor.

    Errors:
        Silent: The model cannot be asked so.
    """
    return _of_numbers(subject) if subject.x.is_floating_point() else _of_words(subject)


def _of_numbers(subject: Linted) -> Leak | None:
    x = subject.x.detach().clone().requires_grad_()
    with _quiet(subject):
        out = subject.outputs_of(subject.with_x(subject.batch, x))
        if out.recon.numel() != x.numel() or out.mean.dim() > 2:
            raise Silent("z has places of its own, or the reconstruction has other values than x")
        recon, n = out.recon.reshape(len(x), -1), x[0].numel()
        for place in sorted({n // 4, n // 2, 3 * n // 4}):
            heard = _round(out, recon[:, place], x)
            if heard is not None and bool(heard.flatten(1).any(0)[place]) and not bool(heard.flatten(1).any(0).all()):
                return Leak(place, "x")
    return None


def _of_words(subject: Linted) -> Leak | None:
    x = subject.x
    if x.dim() != 2:
        raise Silent("x holds no sentences (B, T)")
    calls: list[tuple[str, Tensor, Tensor]] = []

    def note(name: str) -> Any:
        return lambda module, arguments, value: calls.append((name, arguments[0], value))

    named = {n: m for n, m in subject.model.named_modules() if isinstance(m, nn.Embedding)}
    handles = [module.register_forward_hook(note(name)) for name, module in named.items()]
    try:
        with _quiet(subject):
            out = subject.outputs_of(subject.batch)
            recon, ahead = _places_first(out.recon, x), subject.terms.ahead
            for name, ids, words in calls:
                behind = _holds(ids, x)
                if behind is None or not words.requires_grad:
                    continue
                for place in sorted({0, 1, recon.shape[1] // 2}):
                    if (heard := _round(out, recon[:, place], words)) is None:
                        continue
                    by_place = heard.flatten(2).any(2).any(0)
                    target = place + ahead
                    own = by_place[target + behind :] if target < x.shape[1] else by_place[:0]
                    if bool(own.any()) and (not bool(by_place.all()) or not _reaches(out.mean, words)):
                        return Leak(target, name)
    finally:
        for handle in handles:
            handle.remove()
    return None


def _round(out: Output, values: Tensor, source: Tensor) -> Tensor | None:
    """Where the source has a gradient round z, of the shape of the source; None where it has none at all."""
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0)).to(values)
    seen = (values * weights).sum()
    (every,) = torch.autograd.grad(seen, source, retain_graph=True, allow_unused=True)
    if every is None or not every.any():
        return None
    latents = [v for v in (out.mean, out.log_variance) if v.requires_grad]
    by = torch.autograd.grad(seen, latents, retain_graph=True, allow_unused=True)
    if any(g is None for g in by) and any(reached(values, v) for v in latents):
        raise Silent("mu or logvar is returned as a copy of what z is drawn from")
    pairs = [(value, g) for value, g in zip(latents, by, strict=True) if g is not None]
    through = None
    if pairs:
        values_of, gradients = zip(*pairs, strict=True)
        (through,) = torch.autograd.grad(values_of, source, gradients, retain_graph=True, allow_unused=True)
    rest = every if through is None else every - through
    return rest.abs() > SMALL * every.abs().max()


def _reaches(mean: Tensor, source: Tensor) -> bool:
    (found,) = torch.autograd.grad(mean.sum(), source, retain_graph=True, allow_unused=True)
    return found is not None and bool(found.any())


def _places_first(recon: Tensor, x: Tensor) -> Tensor:
    """Logits as (B, T, K)."""
    axis = next((k for k in (1, 2) if recon.dim() == 3 and recon.shape[k] in (x.shape[1], x.shape[1] - 1)), None)
    if axis is None:
        raise Silent("the reconstruction has no axis of places")
    return recon.movedim(axis, 1)


def _holds(ids: Tensor, x: Tensor) -> int | None:
    """By how many places an input is behind x: 0 (x itself, or without its last words) or 1 (a start symbol first)."""
    if ids.dim() != 2 or len(ids) != len(x):
        return None
    for behind in (0, 1):
        own = ids[:, behind:]
        length = min(own.shape[1], x.shape[1])
        if length and (own[:, :length] == x[:, :length]).float().mean() > MOST:
            return behind
    return None


MOST = 0.6
"""Share of words that are the same, where some are dropped on purpose."""


@contextmanager
def _quiet(subject: Linted) -> Iterator[None]:
    """In training mode but for layers that mix examples, without dropout."""
    with seeded(subject.model), no_dropout(subject.model):
        for module in subject.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        yield
