"""Sentences in order, from text files, files of named columns or a dataset, read a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from buttress.data.reading import hub, lines, records
from buttress.data.reading.cells import Fields
from buttress.data.reading.endings import PACKED, RECORDS, ending
from buttress.data.reading.memory import file_key, row_name
from buttress.data.reading.records import TextBlock
from buttress.runtime.safe_files import expanded

__all__ = ["Corpus", "is_dataset", "of_dataset", "of_files", "several"]

_BITS = 40  # a sentence's number is its file's number and then its line's


@dataclass(frozen=True)
class Corpus:
    """Sentences in order.

    Args:
        where: Names the source in errors.
        key: Changes when the text does.
        blocks: All sentences, a block at a time.
        name: Names a sentence by its number.
        classes: The classes in the order of their numbers, where the source has such an order.
        notes: What a person should know about how the source was read.

    Example:
        >>> said = TextBlock(np.arange(3), ["so it is", "", "so be it"])
        >>> corpus = Corpus("said.txt", key=1, blocks=lambda: iter([said]), name="said.txt, line {}".format)
        >>> [block.texts[0] for block in corpus.blocks()], corpus.name(2)
        (['so it is'], 'said.txt, line 2')
    """

    where: str
    key: Any
    blocks: Callable[[], Iterator[TextBlock]]
    name: Callable[[int], str]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def several(path: str | tuple[str, ...]) -> tuple[str, ...]:
    """The paths that are meant, which may be written with commas between.

    Example:
        >>> several("a.txt,b.txt")
        ('a.txt', 'b.txt')
    """
    if isinstance(path, tuple):
        return path
    return (path,) if expanded(path).exists() else tuple(p.strip() for p in path.split(","))


def is_dataset(path: str) -> bool:
    """Whether a path means a Hugging Face dataset rather than files.

    Example:
        >>> is_dataset("stanfordnlp/imdb"), is_dataset("my/words.txt"), is_dataset("/no/such/folder")
        (True, False, False)
    """
    folder = expanded(path)
    if folder.is_dir():
        return hub.is_dataset(folder)
    named = folder.suffix.lower() in PACKED or ending(folder) in (".txt", *RECORDS)
    return not folder.exists() and not named and not folder.is_absolute()


def of_files(paths: tuple[str, ...], fields: Fields) -> Corpus:
    r"""The lines of text files, and the rows of files of named columns (see :func:`buttress.data.reading.lines.find`).

    Errors:
        ValueError: There is no such file, or a setting does not apply to it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("So it is"), Path(folder, "b.txt").write_text("\nSo be it")
        ...     corpus = of_files((folder,), Fields())
        ...     blocks = list(corpus.blocks())
        >>> [text for block in blocks for text in block.texts], corpus.name(int(blocks[-1].numbers[-1]))
        (['So it is', '', 'So be it'], '...b.txt, line 2')
    """
    files = lines.find(paths)
    notes = [note for file in files for note in _notes(file, fields)]

    def blocks() -> Iterator[TextBlock]:
        for i, file in enumerate(files):
            for block in records.sentences(file, fields) if ending(file) in RECORDS else _lines(file, fields.encoding):
                yield replace(block, numbers=(i << _BITS) + block.numbers)

    where = ", ".join(map(str, files))
    return Corpus(where, [file_key(f) for f in files], blocks, partial(_place, files), notes=tuple(notes))


def _lines(file: Path, encoding: str) -> Iterator[TextBlock]:
    for number, texts in lines.blocks(file, encoding):
        yield TextBlock(np.arange(number, number + len(texts)), texts)


def _notes(file: Path, fields: Fields) -> Iterator[str]:
    """What was found out about a file; refuses what was set for files of another kind."""
    kind = ending(file)
    needs = {"delimiter": (".csv", ".tsv"), "header": (".csv", ".tsv"), "column": RECORDS, "label": RECORDS}
    for setting, kinds in needs.items():
        if getattr(fields, setting) is not None and kind not in kinds:
            raise ValueError(f"{file}: {setting} applies to files ending in {', '.join(kinds)}; try leaving it out")
    if kind != ".parquet" and (note := lines.encoding_in(file, fields.encoding).note):
        yield f"{file}: {note}"
    if kind in RECORDS:
        label = "" if fields.label is None else f" with the labels of column {fields.label!r}"
        yield f"{file}: read the sentences of column {records.chosen(file, fields)!r}{label}"


def of_dataset(path: str, subset: str, column: str | None, label: str | None = None) -> Corpus:
    """A column of a Hugging Face dataset (see :func:`buttress.data.reading.hub.load`), maybe with class labels.

    Errors:
        ValueError: There is no such dataset or column, or it is unclear which column is meant.

    Example:
        >>> import tempfile, datasets
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = datasets.Dataset.from_dict({"text": ["So  it is", "so be it"], "stars": [5, 4]})
        ...     data.save_to_disk(folder)
        ...     corpus = of_dataset(folder, "train", column=None, label="stars")
        ...     [(block.texts, block.labels) for block in corpus.blocks()]
        [(['So  it is', 'so be it'], ['5', '4'])]
    """
    data = hub.load(path, subset)
    used = hub.text_column(data, path, column, label)
    names = () if label is None else hub.class_names(data, path, label)
    where = f"{path}, split {subset!r}, column {used!r}"

    def blocks() -> Iterator[TextBlock]:
        for start, columns in hub.blocks(data, [used] if label is None else [used, label]):
            numbers = np.arange(start, start + len(columns[used]))
            texts = [text or "" for text in columns[used]]
            labels = None if label is None else [_class(cell, names, where, label) for cell in columns[label]]
            yield TextBlock(numbers, texts, labels)

    notes = () if column == used else (f"{path}: read the sentences of column {used!r}",)
    return Corpus(where, (hub.fingerprint(data), used), blocks, partial(row_name, where), names, notes)


def _class(cell: Any, names: tuple[str, ...], where: str, label: str) -> str:
    if names and isinstance(cell, int):
        return names[cell] if cell >= 0 else ""  # -1 is a class that is not known
    return records.label_text(cell, where, label)


def _place(files: tuple[Path, ...], number: int) -> str:
    file, line = files[number >> _BITS], number & (1 << _BITS) - 1
    return row_name(str(file), line) if ending(file) == ".parquet" else f"{file}, line {line}"
