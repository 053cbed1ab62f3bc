"""How many threads this process may use: what the user, the scheduler and the container allow."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["allowed_threads", "quota"]

CGROUPS = Path("/sys/fs/cgroup")


def allowed_threads(jobs: int = 1) -> int:
    """Threads for each of ``jobs`` processes at a time, at least 1.

    The smallest of ``OMP_NUM_THREADS``, what torch is set to, the cores this process may run on and the container's
    share of processor time, divided by ``jobs``.

    Args:
        jobs: Processes that share the machine.

    Example:
        >>> allowed_threads(jobs=10_000)
        1
    """
    limits = [float(torch.get_num_threads()), float(_cores()), quota()]
    with suppress(ValueError):
        limits.append(float(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]))
    return max(1, int(min(limits) // jobs))


def _cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores' worth of processor time that the control groups above this process allow; infinite where none limits it.

    Args:
        root: Where control groups are mounted, of version 2 or, below ``cpu``, of version 1.
        own: Names the groups of this process.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "cpu.max").write_text("150000 100000")
        ...     quota(Path(folder))
        1.5
    """
    with suppress(OSError):
        groups = [line.split(":", 2)[-1].strip("/") for line in own.read_text().splitlines()]
        folders = [folder for group in groups for folder in (Path(group), *Path(group).parents)]
        return min([_limit(base / folder) for base in (root, root / "cpu") for folder in (*folders, Path())])
    return min(_limit(root), _limit(root / "cpu"))


def _limit(folder: Path) -> float:
    """The limit of one control group."""
    with suppress(OSError, ValueError):
        if (folder / "cpu.max").is_file():
            most, period = (folder / "cpu.max").read_text().split()
        else:
            most, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if float(most) > 0:  # "max" is no number, and version 1 writes -1
            return float(most) / float(period)
    return float("inf")
