"""The first pass over a text: its usable sentences, tidied and written one a line, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import TextIO

import numpy as np

from buttress.data.reading import lines
from buttress.data.reading.memory import Array
from buttress.data.reading.progress import ReadingProgress
from buttress.data.reading.records import TextBlock
from buttress.data.reading.split import Division
from buttress.data.reading.tidy import Tidy

__all__ = ["Collected", "collect"]


class Collected:
    """Sentences on disk, with their numbers in the source, hashes and classes.

    Args:
        path: Where the sentences are.

    Example:
        >>> import tempfile
        >>> block = TextBlock(np.array([1, 2, 3]), ["So  it is", "", "so be it"], ["good", "good", "bad"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = collect([block], Tidy(), Path(folder) / "all.txt", Division())
        ...     list(found.texts(np.array([False, True])))
        [['so be it']]
        >>> len(found), found.numbers.tolist(), found.blank.tolist(), found.values, found.codes.tolist()
        (2, [1, 3], [2], ['good', 'bad'], [0, 1])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: list[str] = []
        """The classes there are, in the order in which they were met."""
        nothing = np.empty(0, np.int64)
        self.numbers = self.blank = self.long = self.unlabelled = nothing
        """Places of the sentences; of blank lines, of lines too long to keep, of sentences without a label."""
        self.codes: Array | None = None
        """The class of each sentence, a position in ``values``."""
        self.hashes = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self.numbers)

    def texts(self, wanted: Array) -> Iterator[list[str]]:
        """The sentences where ``wanted``, shape (N,), is true: a list at a time."""
        start = 0
        with self.path.open(encoding="utf-8", newline="\n") as file:
            while block := file.readlines(lines.PIECE):
                here = wanted[start : start + len(block)]
                start += len(block)
                if here.any():
                    yield list(compress("".join(block)[:-1].split("\n"), here))


def collect(
    blocks: Iterable[TextBlock],
    tidy: Tidy,
    path: Path,
    division: Division | None,
    limit: int | None = None,
    what: str = "",
) -> Collected:
    """Read a text once.

    Args:
        blocks: The sentences as they are in the source.
        tidy: Brings them to one spelling.
        path: Where to write them.
        division: Gives their hashes, where they are to be divided.
        limit: How many to read at most.
        what: Names the text while it is read.

    Example:
        See :class:`Collected`.
    """
    collector, progress = _Collector(Collected(path), tidy, division), ReadingProgress(f"reading {what}")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for block in blocks:
            collector.add(block, file, None if limit is None else limit - collector.count)
            progress(collector.count)
            if collector.count == limit:
                break
    return collector.done()


class _Collector:
    def __init__(self, found: Collected, tidy: Tidy, division: Division | None) -> None:
        self.found, self.tidy, self.division = found, tidy, division
        self.count = 0
        self._classes: dict[str, int] = {}
        self._parts: dict[str, list[Array]] = {}

    def add(self, block: TextBlock, file: TextIO, most: int | None) -> None:
        long = _lengths(block.texts) > lines.LONGEST
        texts = self.tidy(["" if cut else text for text, cut in zip(block.texts, long, strict=True)])
        blank = (_lengths(texts) == 0) & ~long
        absent = np.zeros(len(texts), bool) if block.labels is None else (_lengths(block.labels) == 0) & ~blank & ~long
        kept = ~(long | blank | absent)
        end = (
            len(texts) if most is None else int(np.searchsorted(kept.cumsum(), most)) + 1
        )  # what is behind stays unread
        for name, some in (("numbers", kept), ("long", long), ("blank", blank), ("unlabelled", absent)):
            self._append(name, block.numbers[:end][some[:end]])
        self._keep(list(compress(texts[:end], kept)), file)
        if block.labels is not None:
            labels = compress(block.labels[:end], kept)
            codes = [self._classes.setdefault(label, len(self._classes)) for label in labels]
            self._append("codes", np.array(codes, np.int64))

    def _keep(self, texts: list[str], file: TextIO) -> None:
        self.count += len(texts)
        if texts:
            file.write("\n".join(texts) + "\n")
        if self.division is not None:
            self._append("hashes", self.division.digest([text.encode() for text in texts]))

    def _append(self, name: str, values: Array) -> None:
        self._parts.setdefault(name, []).append(values)

    def done(self) -> Collected:
        for name, parts in self._parts.items():
            setattr(self.found, name, np.concatenate(parts))
        self.found.values = list(self._classes)
        return self.found


def _lengths(texts: list[str]) -> Array:
    return np.fromiter(map(len, texts), np.int64, len(texts))
