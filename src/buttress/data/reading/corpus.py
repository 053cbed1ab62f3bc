"""Sentences in order, from text files or a dataset, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from buttress.data.reading import hub, lines
from buttress.data.reading.memory import file_key, row_name

__all__ = ["Corpus", "is_dataset", "of_dataset", "of_files", "several"]


@dataclass(frozen=True)
class Corpus:
    """Sentences in order.

    Args:
        where: Names the whole in errors.
        key: Changes when the text does.
        read: All sentences with their numbers; None for one too long to keep.
        name: Names a sentence by its number.

    Example:
        >>> said = ["so it is", "", "so be it"]
        >>> corpus = Corpus("said.txt", key=said, read=lambda: enumerate(said), name="said.txt, line {}".format)
        >>> [(number, text) for number, text in corpus.read() if text], corpus.name(2)
        ([(0, 'so it is'), (2, 'so be it')], 'said.txt, line 2')
    """

    where: str
    key: Any
    read: Callable[[], Iterator[tuple[int, str | None]]]
    name: Callable[[int], str]


def several(path: str | tuple[str, ...]) -> tuple[str, ...]:
    """The paths that are meant, which may be written with commas between.

    Example:
        >>> several("a.txt,b.txt")
        ('a.txt', 'b.txt')
    """
    if isinstance(path, tuple):
        return path
    return (path,) if Path(path).expanduser().exists() else tuple(p.strip() for p in path.split(","))


def is_dataset(path: str) -> bool:
    """Whether a path means a Hugging Face dataset rather than text files.

    Example:
        >>> is_dataset("stanfordnlp/imdb"), is_dataset("my/words.txt"), is_dataset("/no/such/folder")
        (True, False, False)
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return hub.is_dataset(folder)
    return not folder.exists() and folder.suffix not in (".txt", ".gz") and not folder.is_absolute()


def of_files(paths: tuple[str, ...], encoding: str, lower: bool) -> Corpus:
    r"""The lines of text files (see :func:`buttress.data.reading.lines.find`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("So it is"), Path(folder, "b.txt").write_text("\nSo be it")
        ...     corpus = of_files((folder,), "utf-8", lower=True)
        ...     numbers, texts = zip(*corpus.read(), strict=True)
        >>> texts, corpus.name(numbers[2])
        (('so it is', '', 'so be it'), '...b.txt, line 2')
    """
    files = lines.find(paths)
    bits = 40  # a sentence's number is its file's number and then its line's

    def read() -> Iterator[tuple[int, str | None]]:
        for i, file in enumerate(files):
            for number, text in lines.read(file, encoding):
                yield (i << bits) + number, text.lower() if lower and text else text

    return Corpus(", ".join(map(str, files)), [file_key(f) for f in files], read, partial(_line, files, bits))


def of_dataset(path: str, subset: str, column: str | None, lower: bool) -> Corpus:
    """A column of a Hugging Face dataset (see :func:`buttress.data.reading.hub.load`).

    Example:
        >>> import tempfile, datasets
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = datasets.Dataset.from_dict({"text": ["So  it is", "so be it"], "stars": [5, 4]})
        ...     data.save_to_disk(folder)
        ...     corpus = of_dataset(folder, "train", column=None, lower=True)
        ...     list(corpus.read())
        [(0, 'so it is'), (1, 'so be it')]
    """
    data = hub.load(path, subset)
    used = hub.text_column(data, path, column)

    def read() -> Iterator[tuple[int, str | None]]:
        for number, row in enumerate(data.select_columns([used])):
            text = " ".join((row[used] or "").split())
            text = text.lower() if lower else text
            yield number, None if len(text) > lines.LONGEST else text

    where = f"{path}, split {subset!r}, column {used!r}"
    return Corpus(where, (hub.fingerprint(data), used), read, partial(row_name, where))


def _line(files: tuple[Path, ...], bits: int, number: int) -> str:
    return f"{files[number >> bits]}, line {number & (1 << bits) - 1}"
