"""``metrics.csv``: one row for each (step, split), every quantity a column, numbers in nats per example.

Columns: ``step`` (updates made so far), ``split`` ("train": means over the steps since the row before; "held_out"),
``loss``, ``elbo``, ``distortion``, ``rate``, ``beta``, ``mutual_information``, ``active_units``, then where z is made
of codes ``code_perplexity`` and ``codes_used_share`` of the held-out examples looked at, then what the algorithm adds
(``inner_steps``, penalties), then ``rate/<group>``. A cell is empty where a split has no such quantity.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Means", "Metrics"]

FIXED = ("step", "split", "loss", "elbo", "distortion", "rate", "beta", "mutual_information", "active_units")


class Metrics:
    """A growing table of metrics that survives being killed.

    Args:
        path: The file.
        kept: Bytes of it that the checkpoint vouches for; what was written after that is written again.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     metrics = Metrics(Path(folder) / "metrics.csv")
        ...     metrics.append(50, "train", {"loss": 12.5}, names=["inner_steps"])
        ...     kept = metrics.position()  # a checkpoint is made here
        ...     metrics.append(100, "train", {"loss": 11.0}, names=["inner_steps"])
        ...     Metrics(metrics.path, kept).append(100, "train", {"loss": 11.0, "inner_steps": 3}, names=[])
        ...     metrics.path.read_text().splitlines()[1:]
        ['50,train,12.5,,,,,,,', '100,train,11,,,,,,,3']
    """

    def __init__(self, path: Path, kept: int = 0) -> None:
        self.path = path
        self.columns: tuple[str, ...] = ()
        with path.open("ab") as file:
            file.truncate(min(kept, path.stat().st_size))
        if kept:
            with path.open(newline="", encoding="utf-8") as lines:
                self.columns = tuple(next(csv.reader(lines), ()))

    def append(self, step: int, split: str, values: Mapping[str, float], names: Sequence[str]) -> None:
        """Add a row. The first one fixes the columns: the usual ones, then ``names``."""
        row = {"step": step, "split": split, **{k: f"{v:.9g}" for k, v in values.items()}}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            if not self.columns:
                self.columns = (*FIXED, *(n for n in names if n not in FIXED))
                file.write(_line(self.columns))
            file.write(_line([row.get(c, "") for c in self.columns]))

    def position(self) -> int:
        """Bytes written, all of them on the disk."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()


def _line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


class Means:
    """Means of what an algorithm logs, summed on the device so that no step has to wait for a number.

    Args:
        groups: Names of the latent groups.

    Example:
        >>> means = Means(groups=("z0", "z1"))
        >>> for distortion in (10.0, 12.0):
        ...     means.add({"loss": distortion + 3.0, "distortion": distortion, "rate": torch.tensor([1.0, 2.0])})
        >>> means.take()
        {'loss': 14.0, 'distortion': 11.0, 'rate/z0': 1.0, 'rate/z1': 2.0, 'rate': 3.0, 'elbo': -14.0}
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = groups
        self.names: list[str] = []
        self.sums: Tensor | None = None
        self.count = 0

    def add(self, logs: Mapping[str, float | Tensor]) -> None:
        """Add what one step logged."""
        if not self.names:
            extra = [name for name in logs if name not in ("loss", "distortion", "rate")]
            self.names = ["loss", "distortion", *extra, *(f"rate/{group}" for group in self.groups)]
        names = self.names[: len(self.names) - len(self.groups)]
        scalars = [torch.as_tensor(logs[name], dtype=torch.float32) for name in names]
        rate = torch.as_tensor(logs["rate"])
        row: Float[Tensor, " K"] = torch.cat([torch.stack([s.to(rate.device) for s in scalars]), rate.float()])
        self.sums = row if self.sums is None else self.sums + row
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means by name, with the totals ``rate`` and ``elbo``; starts anew."""
        assert self.sums is not None
        values = dict(zip(self.names, (self.sums / self.count).tolist(), strict=True))
        rate = sum(values[f"rate/{group}"] for group in self.groups)
        self.sums, self.count = None, 0
        return {**values, "rate": rate, "elbo": -values["distortion"] - rate}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"names": self.names, "sums": self.sums, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """The inverse of :meth:`state_dict`, with sums on the device of the training."""
        self.names, self.sums, self.count = state["names"], state["sums"], state["count"]
        if self.sums is not None:
            self.sums = self.sums.to(device)
