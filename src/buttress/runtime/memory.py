"""How much is decoded at once, so that memory stays flat however many examples and samples there are."""

from __future__ import annotations

import importlib
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ROWS", "Budget", "NoRoom", "check_memory", "pairs_at_once", "total_memory"]

ROWS = 256
"""Most examples looked at together."""
NUMBERS = 2**18
"""Most numbers of x decoded together: the memory of a decoder grows with it."""
TOKEN = 64
"""How many numbers a token or a pixel class counts for: a decoder holds a score for each possible value of it."""


def pairs_at_once(x: Tensor) -> int:
    """How many pairs (sample, example) to decode together.

    Args:
        x: Some of the examples, shape (B, ...).

    Example:
        >>> import torch
        >>> pairs_at_once(torch.zeros(2, 3)), pairs_at_once(torch.zeros(2, 3, 64, 64))
        (256, 21)
    """
    weight = 1 if x.is_floating_point() else TOKEN
    return min(ROWS, max(16, NUMBERS // max(1, weight * x[0].numel())))


def total_memory() -> int:
    """Bytes of memory that this process may have: of the machine, its container, or a limit of its own."""
    found = [2**62]
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(ValueError, OSError):
            found.append(int(Path(name).read_text()))
    with suppress(ImportError, ValueError, OSError):  # not on Windows
        resource = importlib.import_module("resource")
        limits = [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
        found += [max(0, limit - _mapped()) for limit in limits]
    return min(found)


def _mapped() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    with suppress(ValueError, OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class NoRoom(ValueError):
    """Something needs more memory than there is."""


def check_memory(needed: int, what: str, advice: str, total: int | None = None) -> None:
    """Refuse what needs more memory than there is, before any of it is taken.

    Args:
        needed: Bytes, roughly.
        what: What needs them, in the plural.
        advice: What to try.
        total: Bytes that there are; None for :func:`total_memory`.

    Errors:
        NoRoom: They are more than there are.

    Example:
        >>> check_memory(4 * 10**15, "10^15 samples", "a smaller count")
        Traceback (most recent call last):
        buttress.runtime.memory.NoRoom: 10^15 samples need about 4,000,000 GB of memory, ...; try a smaller count
    """
    total = total_memory() if total is None else total
    if needed > total:
        raise NoRoom(f"{what} need {_gigabytes(needed)} of memory, and there are {_gigabytes(total)}; try {advice}")


def _gigabytes(count: int) -> str:
    if count >= 10**24:
        return "more than 10^15 GB"
    return f"about {count / 1e9:.1f} GB" if count < 10**11 else f"about {count // 10**9:,} GB"


_SHAPED = (torch.empty, torch.zeros, torch.ones, torch.randn, torch.rand)
"""What makes a tensor of a shape; parameters begin as one of these."""
_MADE = 4_000
"""Most tensors that a model begins with."""


class Budget(TorchFunctionMode):
    """While this lasts, tensors are made only as far as they fit into memory together.

    Args:
        what: What they are for, in the plural.
        advice: What to try where they do not.
        each: Bytes that a number takes.

    Errors:
        NoRoom: The next one would not fit; it is not made.

    Example:
        >>> with Budget("the parameters of this model", "smaller sizes"):
        ...     torch.nn.Linear(10**9, 10**9)
        Traceback (most recent call last):
        buttress.runtime.memory.NoRoom: the parameters of this model need about 4,000,000,000 GB of memory, ...
    """

    def __init__(self, what: str, advice: str, each: int = 4) -> None:
        super().__init__()
        self.what, self.advice, self.each = what, advice, each
        self.bytes = self.made = 0
        self.total = total_memory()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _SHAPED:
            self._count(args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def _count(self, args: Any, kwargs: Any) -> None:
        shape = args[0] if args and isinstance(args[0], tuple | list) else args or kwargs.get("size", ())
        self.bytes += self.each * math.prod(int(n) for n in shape)
        self.made += 1
        check_memory(self.bytes, self.what, self.advice, self.total)
        if self.made > _MADE:
            raise NoRoom(f"{self.what} are more than {_MADE:,} tensors; try {self.advice}")
