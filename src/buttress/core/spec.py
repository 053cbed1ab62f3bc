"""What the parts must know of the data they are for, and of the z they share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from buttress.core.layout import Kind, Layout

__all__ = ["BOS", "EOS", "PAD", "UNK", "Column", "DataSpec", "Level", "Space"]

PAD, BOS, EOS, UNK = 0, 1, 2, 3
"""Token ids with a fixed meaning. A stored sentence is its words and then EOS; BOS is added by the decoder."""


@dataclass(frozen=True)
class Column:
    """A condition that the data offer beside x, such as a label or a speaker.

    Args:
        name: What it is called in ``given``.
        classes: Number of classes, integers from 0; 0 for real numbers.
        size: Numbers per example where it is real; most tokens where it is a sentence.
        values: Names of the classes, if they have any.
        symbols: Number of token ids where it is a sentence, padded with PAD; 0 where it is none.

    Example:
        >>> Column("label", classes=2, values=("cat", "dog")).number("dog")
        1
    """

    name: str
    classes: int = 0
    size: int = 1
    values: tuple[str, ...] = ()
    symbols: int = 0

    def number(self, written: str) -> float:
        """The value that a user means by a class name or a number.

        Errors:
            ValueError: It is neither, or there is no such class.
        """
        if written in self.values:
            return self.values.index(written)
        try:
            number = float(written)
        except ValueError:
            number = math.nan
        if math.isnan(number) or (self.classes and not (number.is_integer() and 0 <= number < self.classes)):
            wanted = ", ".join(self.values[:10]) or (f"0 to {self.classes - 1}" if self.classes else "a number")
            raise ValueError(f"{self.name}: got {written!r}, wanted {wanted}")
        return number

    def rows(self, values: Any, count: int) -> Tensor:
        """The values of ``count`` examples as the model reads them.

        Args:
            values: A tensor, or a list of numbers or class names, one for each example.
            count: How many examples.

        Errors:
            ValueError: It is another number of values, or one of them is no value of this condition.

        Example:
            >>> Column("label", classes=2, values=("cat", "dog")).rows(["dog", "cat", 1.0], 3)
            tensor([1, 0, 1])
        """
        several = hasattr(values, "__len__") and not isinstance(values, str) and getattr(values, "ndim", 1) > 0
        if not several or len(values) != count:
            came = f"{len(values)} values" if several else repr(values)
            raise ValueError(f"{self.name}: got {came} for {count} examples, wanted a list or tensor of {count}")
        if self.symbols:
            return torch.as_tensor(values).long()
        if self.size > 1 and not self.classes:
            return torch.as_tensor(values).float()
        listed = values.tolist() if hasattr(values, "tolist") else list(values)
        numbers = [self.number(str(value[0] if isinstance(value, list) else value)) for value in listed]
        return torch.tensor([int(n) for n in numbers]) if self.classes else torch.tensor(numbers)


@dataclass(frozen=True)
class DataSpec:
    """What the parts must know about the data.

    Args:
        layout: What one example is made of.
        mean: Mean of the training data per site, float, shape ``layout.moments_shape``; None for symbols or where
            unknown.
        std: Standard deviation of the same.
        columns: Names of a table's columns.
        tokenizer: JSON of the ``tokenizers.Tokenizer`` that made the ids, text only.
        given: The conditions that come with every example.
        categories: For each column of a table the number K of its categories, whose codes 0 to K - 1 are stored, or 0
            where it holds numbers; () where all do.
        words: For each column the names of its categories, in the order of their codes; "" names a missing value.
        missing: Whether numbers of a table may be missing; they are stored as NaN.
        offset: What was subtracted from the stored values, in float64, before they were rounded to 32 bits: a number
            for each column of a table, one for images; () for nothing.
        levels: 256 where every value of an image is a whole number from 0 to 255, 0 where values are other numbers,
            None where unknown.
        span: Smallest and largest value of the training images: what is drawn as black and as white.
        rate: Samples a second of sound, 0 for other data.
        hop: Samples of sound from one place to the next: 1 of samples, more of frames, 0 for other data.

    Example:
        >>> spec = DataSpec(Layout.text(1000, longest=20), given=(Column("label", classes=5),))
        >>> spec.kind, spec.shape, spec.vocabulary, spec.column("label").classes
        ('text', (20,), 1000, 5)
    """

    layout: Layout
    mean: Tensor | None = None
    std: Tensor | None = None
    columns: tuple[str, ...] = ()
    tokenizer: str | None = None
    given: tuple[Column, ...] = ()
    categories: tuple[int, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    missing: bool = False
    offset: tuple[float, ...] = ()
    levels: int | None = None
    span: tuple[float, float] | None = None
    rate: int = 0
    hop: int = 0

    @property
    def seconds(self) -> float:
        """Of sound, from one place to the next; 0 for other data."""
        return self.hop / self.rate if self.rate else 0.0

    @property
    def kind(self) -> Kind:
        """What people call such data."""
        return self.layout.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example: (C, H, W), (longest T,), (longest T, C) or (D,)."""
        return self.layout.shape

    @property
    def vocabulary(self) -> int:
        """Number of token ids or symbols; 0 for numbers."""
        return self.layout.symbols

    def rows(self, given: Mapping[str, Any], count: int) -> Mapping[str, Tensor]:
        """What is given beside ``count`` examples as the model reads it; see :meth:`Column.rows`.

        Lengths and numbers of examples, which are no conditions, stay as they are.
        """
        return {
            name: values if name in ("index", "lengths") else self.column(name).rows(values, count)
            for name, values in given.items()
        }

    def column(self, name: str) -> Column:
        """The condition of that name.

        Errors:
            ValueError: The data have none of that name.
        """
        for column in self.given:
            if column.name == name:
                return column
        have = ", ".join(column.name for column in self.given) or "none"
        raise ValueError(
            f"the data have no condition {name!r}; they have {have}; try one of these, or --data.label (tables), "
            "--data.folders or --data.table (sound) to read others"
        )


@dataclass(frozen=True)
class Level:
    """One level of a latent variable: a slice of the flat row of values, and its own shape.

    Args:
        name: Such as "top".
        shape: Of the level's own value.
        classes: Number K of values each coordinate can take; None for real numbers.
        start: Where the level begins in the flat row.

    Example:
        >>> level = Level("bottom", (2, 2, 1), classes=8, start=1)
        >>> level.stop, level.view(__import__("torch").arange(5)).shape
        (5, torch.Size([2, 2, 1]))
    """

    name: str
    shape: tuple[int, ...]
    classes: int | None = None
    start: int = 0

    @property
    def stop(self) -> int:
        """Where it ends."""
        return self.start + math.prod(self.shape)

    def view(self, value: Shaped[Tensor, "*batch N"]) -> Shaped[Tensor, "*rest"]:
        """This level of a flat row of values, in its own shape (*batch, *shape)."""
        return value[..., self.start : self.stop].unflatten(-1, self.shape)


@dataclass(frozen=True)
class Space:
    """Where the latent variable lives: what a prior must know of it.

    Args:
        shape: Of one value: (D,), (H', W', D), (T, D) for one z per position, or the places and slots of codes.
        classes: Number K of values each coordinate can take, integers from 0; None for real numbers.
        levels: The levels of a flat z, top first; () for a z of one level.
        shared: Whether the slots of codes choose from one codebook, and have not one each.

    Example:
        >>> Space((16,)), Space((7, 7, 1), classes=64)  # real z; a map of codes
        (Space(shape=(16,), classes=None, levels=()), Space(shape=(7, 7, 1), classes=64, levels=()))
        >>> [level.name for level in Space.stacked([("top", (1, 1, 1), 8), ("bottom", (2, 2, 1), 8)]).levels]
        ['top', 'bottom']
    """

    shape: tuple[int, ...]
    classes: int | None = None
    levels: tuple[Level, ...] = ()
    shared: bool = field(default=False, repr=False)

    @classmethod
    def stacked(cls, levels: list[tuple[str, tuple[int, ...], int | None]]) -> Space:
        """One flat space for several levels (name, shape, classes), top first; all are codes, or none is."""
        found: list[Level] = []
        for name, shape, classes in levels:
            found.append(Level(name, shape, classes, found[-1].stop if found else 0))
        classes = None if found[0].classes is None else max(level.classes or 0 for level in found)
        return cls((found[-1].stop,), classes, tuple(found))

    def level(self, name: str) -> Level:
        """The level of that name."""
        return next(level for level in self.levels if level.name == name)
