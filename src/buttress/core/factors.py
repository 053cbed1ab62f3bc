"""What is known to make examples differ: factors of few values each, such as shape, size and azimuth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["Factors"]


@dataclass(frozen=True, eq=False)
class Factors:
    """The value of each factor for each example, as a number from 0 on.

    Args:
        names: What the F factors are called.
        values: Which value each example has, shape (N, F).
        sizes: How many values each factor can take, F of them.

    Errors:
        ValueError: There are more or fewer names or sizes than columns of values.

    Example:
        >>> Factors(("shape", "x"), torch.tensor([[0, 2], [1, 0]]), (2, 3)).take(torch.tensor([1])).values.tolist()
        [[1, 0]]
    """

    names: tuple[str, ...]
    values: Int[Tensor, "N F"]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a table that does not fit its heads."""
        columns = self.values.shape[1] if self.values.dim() == 2 else 0
        if not columns or not columns == len(self.names) == len(self.sizes):
            raise ValueError(
                f"factors: values of shape {tuple(self.values.shape)} for the {len(self.names)} factors "
                f"{', '.join(self.names)}, wanted a column for each; try names for all columns"
            )

    def __len__(self) -> int:
        """Number of examples N."""
        return len(self.values)

    def take(self, index: Int[Tensor, " M"]) -> Factors:
        """The same of some examples."""
        return Factors(self.names, self.values[index.to(self.values.device)], self.sizes)

    @classmethod
    def of(cls, table: Any, names: Sequence[str] = (), where: str = "factors") -> Factors:
        """Factors whose values may be any numbers that recur: the distinct ones of a column are numbered in order.

        Columns with a single value tell nothing and are left out.

        Args:
            table: Numbers of shape (N, F): an array, a tensor or a list of rows; or a mapping from names to columns.
            names: What the columns are called; none for factor0, factor1 and so on, or the keys of the mapping.
            where: Names the table in errors.

        Errors:
            ValueError: It is no table of finite numbers, a name is missing, no column varies, or a column takes so many
                values that hardly two examples share one.

        Example:
            >>> Factors.of([[0.5, 1, 7], [0.5, 1, 9], [0.25, 1, 7], [0.25, 1, 9]], ("scale", "color", "x")).names
            ('scale', 'x')
        """
        if isinstance(table, Mapping):
            names, table = tuple(map(str, table)), np.stack([_numbers(c, where) for c in table.values()], 1)
        rows = _numbers(table, where)
        if rows.ndim != 2 or not rows.size:
            raise ValueError(f"{where}: shape {rows.shape}, wanted (examples, factors); try np.stack(columns, 1)")
        names = tuple(names) or tuple(f"factor{i}" for i in range(rows.shape[1]))
        if len(names) != rows.shape[1]:
            raise ValueError(f"{where}: {len(names)} names for {rows.shape[1]} factors; try a name for each column")
        found = [np.unique(column, return_inverse=True) for column in rows.T]
        kept = [i for i, (values, _) in enumerate(found) if len(values) > 1]
        if not kept:
            raise ValueError(f"{where}: every factor has one value throughout; wanted at least one that varies")
        for i in kept:
            if len(values := found[i][0]) > max(2, len(rows) // 2):
                raise ValueError(
                    f"{where}: factor {names[i]!r} takes {len(values):,} values in {len(rows):,} examples, wanted few "
                    "that recur; try numbers of bins, such as np.digitize gives, or leave it out"
                )
        numbered = np.stack([found[i][1] for i in kept], 1).astype(np.int64)
        return cls(tuple(names[i] for i in kept), torch.from_numpy(numbered), tuple(len(found[i][0]) for i in kept))


def _numbers(table: Any, where: str) -> np.ndarray:
    """A table or a column as an array of finite numbers."""
    try:
        rows = np.asarray(table.detach().cpu() if isinstance(table, Tensor) else table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: got a {type(table).__name__} that is no table of numbers ({error})") from error
    if rows.dtype.kind not in "biuf":
        raise ValueError(
            f"{where}: values of type {rows.dtype}, wanted numbers; try np.unique(..., return_inverse=True)"
        )
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise ValueError(f"{where}: a value is not finite; wanted a value of each factor for every example")
    return rows
