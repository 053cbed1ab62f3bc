"""A loss function as people write it: what its arguments mean by their names, and the number in what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from buttress.diagnostics.adapters.outputs import LOG_VARIANCE, MEAN, RECON

__all__ = ["LossFunction", "arguments", "by_outputs", "meant", "refuse_names", "scalar"]

LossFunction = Callable[..., Any]
TOTALS = ("loss", "total_loss", "total", "objective")
"""What the whole loss is called among its terms."""


def arguments(loss: LossFunction | None) -> list[str]:
    """Names of the arguments that a loss must be given; none of one that forward returns or that cannot be asked."""
    if loss is None:
        return []
    try:
        parameters = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def by_outputs(names: list[str]) -> bool:
    """Whether a loss takes reconstruction, mean and log-variance by name."""
    return all(any(name in known for name in names) for known in (RECON, MEAN, LOG_VARIANCE))


def refuse_names(names: list[str]) -> None:
    """Refuse more arguments than (model, batch) where their names do not say which is which."""
    took = f"loss_fn takes ({', '.join(names)})"
    if by_outputs(names):
        others = [name for name in names if not any(name in known for known in (RECON, MEAN, LOG_VARIANCE))]
        if len(others) > 1:
            raise ValueError(f"{took}, and one of {', '.join(others)} can be x; give the others a default")
    elif len(names) > 2:
        kinds = (("reconstruction", RECON), ("mean", MEAN), ("log-variance", LOG_VARIANCE))
        kind, known = next((kind, known) for kind, known in kinds if not any(name in known for name in names))
        raise ValueError(
            f"{took}, and none of these is a name for the {kind} ({', '.join(known[:3])}, ...); wanted the names "
            "(recon, x, mu, logvar), or a function of (model, batch)"
        )


def meant(name: str, values: tuple[Any, Any, Any], x: Tensor) -> Any:
    """What an argument of this name gets: reconstruction, mean or log-variance, or else x."""
    for known, value in zip((RECON, MEAN, LOG_VARIANCE), values, strict=True):
        if name in known:
            return value
    return x


def scalar(found: Any) -> Tensor:
    """The loss in what a loss function returned: itself, the first of several, or the entry "loss"."""
    if isinstance(found, Mapping):
        name = next((name for name in TOTALS if name in found), next(iter(found), None) if len(found) == 1 else None)
        if name is None:
            came = ", ".join(map(repr, found)) or "nothing"
            raise ValueError(f"the loss function gave a dict of {came}, wanted one with the loss as {TOTALS[0]!r}")
        found = found[name]
    found = found[0] if isinstance(found, tuple | list) else found
    if not isinstance(found, Tensor) or found.numel() != 1:
        what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(
            f"the loss function gave {what}, wanted one number as a tensor; take loss(model, batch) or "
            "loss(recon, x, mu, logvar)"
        )
    return found.reshape(())
