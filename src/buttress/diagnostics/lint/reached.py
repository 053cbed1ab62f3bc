"""Whether a gradient comes through a model, from what it returns to what that was made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

__all__ = ["reached", "sources", "stirred", "thawed"]

STIR = 0.05
"""Standard deviation of what is put in place of weights that are all 0."""


def sources(value: Tensor) -> list[GradientEdge]:
    """A value in a graph of gradients, and what it is a part or a function of alone, the value itself first.

    A model may return mu in another precision, flattened, or cut out of its features anew, and decode the original; and
    of a sigma that it draws with, twice the logarithm.

    Example:
        >>> h = torch.ones(2, 4, requires_grad=True)
        >>> len(sources((h + h)[:, :2].double()))  # the copy, the part, all of it
        3
    """
    edge: Any = get_gradient_edge(value)
    found = [edge]
    while len(before := [pair for pair in edge.node.next_functions if pair[0] is not None]) == 1:
        edge = GradientEdge(*before[0])
        found.append(edge)
    return found


def reached(recon: Tensor, value: Tensor) -> bool:
    """Whether any gradient goes from the reconstruction to a value, or to the numbers that it is a function of.

    Example:
        >>> z = torch.ones(2, requires_grad=True)
        >>> reached(3 * z, z), reached(0 * z, z), reached(3 * z.detach(), z), reached(3 * z, z.double())
        (True, False, False, True)
    """
    if not (recon.requires_grad and value.requires_grad):
        return False
    weights = torch.randn(recon.shape, generator=torch.Generator().manual_seed(0)).to(recon)
    edges = sources(value)
    seen = torch.autograd.grad((recon * weights).sum(), edges, retain_graph=True, allow_unused=True)
    own = torch.autograd.grad(value.sum(), edges, retain_graph=True, allow_unused=True)
    return any(
        r is not None and v is not None and bool((r.bool() & v.bool()).any()) for r, v in zip(seen, own, strict=True)
    )


@contextmanager
def thawed(model: nn.Module) -> Iterator[None]:
    """With a gradient for every parameter while the context lasts: whether some are frozen is no matter of the wiring.

    Example:
        >>> net = nn.Linear(2, 1).requires_grad_(False)
        >>> with thawed(net):
        ...     print(net.weight.requires_grad)
        True
        >>> net.weight.requires_grad
        False
    """
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point() and p.is_leaf]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@contextmanager
def stirred(model: nn.Module) -> Iterator[None]:
    """With small numbers in place of weights that learn and are all 0, as after a first step of training.

    A layer or a gate that begins at 0 lets no gradient through at first, and is no fault.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> _ = nn.init.zeros_(net.weight)
        >>> with stirred(net):
        ...     print(bool(net.weight.any()))
        True
        >>> bool(net.weight.any())
        False
    """
    generator = torch.Generator().manual_seed(0)
    zero = [p for p in model.parameters() if p.requires_grad and p.is_floating_point() and not p.any()]
    try:
        for p in zero:
            p.data.add_(STIR * torch.randn(p.shape, generator=generator).to(p))
        yield
    finally:
        for p in zero:
            p.data.zero_()
