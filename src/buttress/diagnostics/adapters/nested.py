"""Several levels of z that ``forward`` returns side by side, as pairs of mean and log-variance or as two lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from buttress.diagnostics.adapters.outputs import LOG_VARIANCE, MEAN, RECON, Output, by_names

__all__ = ["levels"]


def levels(value: Any, n: int) -> list[Output]:
    """Each level with the reconstruction that they share; none where ``forward`` returned something else.

    Read are (recon, [(mu, logvar), ...]), (recon, (mu, logvar), (mu, logvar)), (recon, [mu, ...], [logvar, ...]) and
    such entries of a dict or an object, the lists by the names that a single level has. Two tuples of two are pairs,
    two lists are one of means and one of log-variances, where the shapes allow both.

    Args:
        value: What it returned.
        n: Examples B, the length of each tensor.

    Example:
        >>> import torch
        >>> recon, one, two = torch.zeros(5, 9), torch.zeros(5, 2), torch.ones(5, 3)
        >>> [out.mean.shape[1] for out in levels((recon, [(one, one), (two, two)]), 5)]
        [2, 3]
        >>> [out.mean.shape[1] for out in levels({"recon": recon, "mus": [one, two], "logvars": [one, two]}, 5)]
        [2, 3]
    """
    named = by_names(value)
    if named is not None:
        recon = next((named[name] for name in RECON if isinstance(named.get(name), Tensor)), None)
        means, variances = (next((named[k] for k in names if _row(named.get(k))), ()) for names in (MEAN, LOG_VARIANCE))
        pairs = _zipped(means, variances, n) or _pairs(list(named.values()), n)
    elif isinstance(value, tuple | list) and value and isinstance(value[0], Tensor):
        recon, rest = value[0], [one for one in value[1:] if not isinstance(one, Tensor)]
        zipped = _zipped(rest[0], rest[1], n) if len(rest) == 2 else []
        as_lists = zipped if all(isinstance(one, list) for one in rest) else []
        pairs = as_lists or _pairs(rest, n) or zipped
    else:
        return []
    return [Output(recon, *pair) for pair in pairs] if isinstance(recon, Tensor) else []


def _pairs(values: list[Any], n: int) -> list[tuple[Tensor, Tensor]]:
    """The pairs among the entries of a value, or among some values: a pair beside a list of pairs is their prior's."""
    own = [(one[0], one[1]) for one in values if _pair(one, n)]
    inside = (one for one in values if _row(one, anything=True) and all(_pair(part, n) for part in one))
    return [(part[0], part[1]) for part in next(inside, ())] or own


def _zipped(means: Any, variances: Any, n: int) -> list[tuple[Tensor, Tensor]]:
    if not (_row(means) and _row(variances) and len(means) == len(variances)):
        return []
    pairs = list(zip(means, variances, strict=True))
    return pairs if all(_pair(pair, n) for pair in pairs) else []


def _row(value: Any, anything: bool = False) -> bool:
    """Whether it is a list or tuple of tensors, or of anything."""
    filled = isinstance(value, tuple | list) and len(value) > 0
    return filled and (anything or all(isinstance(one, Tensor) for one in value))


def _pair(value: Any, n: int) -> bool:
    """Whether it can be mean and log-variance of n examples."""
    if isinstance(value, Mapping) or not _row(value) or len(value) != 2:
        return False
    mean, log_variance = value
    real = mean.is_floating_point() and log_variance.is_floating_point()
    return real and mean.shape == log_variance.shape and mean.dim() > 1 and len(mean) == n
