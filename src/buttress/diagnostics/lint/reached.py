"""Whether a gradient comes through a model, from what it returns to what that was made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["reached", "thawed"]


def reached(recon: Tensor, value: Tensor) -> bool:
    """Whether any gradient goes from the reconstruction to a value.

    Example:
        >>> z = torch.ones(2, requires_grad=True)
        >>> reached(3 * z, z), reached(0 * z, z), reached(3 * z.detach(), z)
        (True, False, False)
    """
    if not (recon.requires_grad and value.requires_grad):
        return False
    weights = torch.randn(recon.shape, generator=torch.Generator().manual_seed(0)).to(recon)
    (found,) = torch.autograd.grad((recon * weights).sum(), value, retain_graph=True, allow_unused=True)
    return found is not None and bool(found.any())


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
