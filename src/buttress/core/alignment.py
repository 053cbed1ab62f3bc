"""What is said when, in each example: phones or words with their times, for evaluation and never for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["NOTHING", "Alignment"]

NOTHING = -1
"""The label of a moment at which nothing is said to be."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Segments of each of N examples; those of one example follow each other in time and do not overlap.

    Args:
        names: What the labels are called, in the order of their numbers.
        first: The first segment of each example, and behind them the number of segments, shape (N + 1,).
        start: When each segment begins, seconds from the beginning of its example, shape (M,).
        end: When it ends, shape (M,).
        label: The number of its label, shape (M,).

    Example:
        >>> one = Alignment.of([[(0.0, 0.2, "s"), (0.2, 0.5, "ow")], [(0.1, 0.3, "s")]])
        >>> one.names, one.at(torch.tensor([1, 0]), torch.tensor([0.0, 0.1, 0.25, 0.4])).tolist()
        (('ow', 's'), [[-1, 1, 1, -1], [1, 1, 0, 0]])
    """

    names: tuple[str, ...]
    first: Int[np.ndarray, " N1"]
    start: Float[np.ndarray, " M"]
    end: Float[np.ndarray, " M"]
    label: Int[np.ndarray, " M"]

    def __len__(self) -> int:
        """Number of examples N."""
        return len(self.first) - 1

    @classmethod
    def of(
        cls,
        examples: Sequence[Sequence[tuple[float, float, str]]],
        names: Sequence[str] = (),
        called: Sequence[str] = (),
    ) -> Alignment:
        """From (start, end, label) of the segments of each example.

        Args:
            examples: Segments in any order.
            names: All labels there are; none for those that occur, sorted.
            called: What errors call each example; none for its number.

        Errors:
            ValueError: A segment ends before it begins, a time is not finite, two overlap, or a label is not among
                ``names``.
        """
        rows = [sorted(segments) for segments in examples]
        names = tuple(names) or tuple(sorted({label for segments in rows for *_, label in segments}))
        for number, segments in enumerate(rows):
            _check(called[number] if called else f"example {number}", segments, names)
        number_of = {name: i for i, name in enumerate(names)}
        flat = [segment for segments in rows for segment in segments]
        return cls(
            names,
            np.cumsum([0, *map(len, rows)]),
            np.array([s for s, _, _ in flat], np.float64),
            np.array([e for _, e, _ in flat], np.float64),
            np.array([number_of[label] for *_, label in flat], np.int64),
        )

    def at(self, index: Int[Tensor, " B"], seconds: Float[Tensor, " T"]) -> Int[Tensor, "B T"]:
        """The label of each of some moments of some examples; ``NOTHING`` where there is none.

        Args:
            index: The examples.
            seconds: The moments, from the beginning of each example.
        """
        times, found = seconds.double().numpy(), np.full((len(index), len(seconds)), NOTHING, np.int64)
        for row, example in zip(found, index.tolist(), strict=True):
            mine = slice(self.first[example], self.first[example + 1])
            start, end, label = self.start[mine], self.end[mine], self.label[mine]
            if len(start):
                which = np.searchsorted(start, times, side="right") - 1
                inside = (which >= 0) & (times < end[which])
                row[inside] = label[which[inside]]
        return torch.from_numpy(found)

    def pieces(self, example: Int[np.ndarray, " P"], begin: Float[np.ndarray, " P"]) -> Alignment:
        """The same of P pieces that are cut out of the examples.

        Args:
            example: Which one each piece is cut out of.
            begin: Seconds of that example at which the piece begins.
        """
        sizes = np.diff(self.first)[example]
        first = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.arange(first[-1]) - np.repeat(first[:-1] - self.first[example], sizes)
        back = np.repeat(begin, sizes)
        return Alignment(self.names, first, self.start[rows] - back, self.end[rows] - back, self.label[rows])


def _check(example: str, segments: Sequence[tuple[float, float, str]], names: Sequence[str]) -> None:
    before = -np.inf
    for start, end, label in segments:
        said = f"alignment of {example}: {label!r} from {start:g} to {end:g} s"
        if not -np.inf < start <= end < np.inf:
            raise ValueError(f"{said} ends before it begins, or has no such times; wanted seconds, the start first")
        if start < before - 1e-6:
            raise ValueError(
                f"{said} begins before {before:g} s, where another ends; wanted one after the other, such as those of "
                "a single tier"
            )
        if label not in names:
            raise ValueError(f"alignment of {example}: label {label!r}, wanted one of {', '.join(names)}")
        before = end
