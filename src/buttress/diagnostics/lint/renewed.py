"""A model whose weights are drawn anew for a while, where its own have left the range of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["renewed"]

SCALE = 0.02
"""Standard deviation of weights that no ``reset_parameters`` draws."""


@contextmanager
def renewed(model: nn.Module) -> Iterator[None]:
    """With weights as at the start of training; its own are put back when the context ends.

    The loss is the same function of what the model returns, so a mistake in it can be named even after training
    has diverged by it.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> _ = nn.init.constant_(net.weight, float("nan"))
        >>> with renewed(net):
        ...     print(bool(net.weight.isfinite().all()))
        True
        >>> bool(net.weight.isnan().all())
        True
    """
    kept = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        try:
            for module in model.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
            for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                _make_finite(name, tensor)
            with torch.enable_grad():
                yield
        finally:
            for tensor, value in kept:
                tensor.data.copy_(value)


def _make_finite(name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not tensor.isfinite().all():
        tensor.data.copy_(torch.ones_like(tensor) if "var" in name else SCALE * torch.randn_like(tensor))
