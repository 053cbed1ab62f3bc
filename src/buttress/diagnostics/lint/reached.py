"""Whether a gradient comes through a model, from what it returns to what that was made of."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["reached"]


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
