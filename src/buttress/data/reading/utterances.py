"""What a table says of sound files: their speakers and labels, and what is said in them when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from buttress.core import Alignment
from buttress.core.registry import suggest
from buttress.data.reading.conversion import Asked
from buttress.data.reading.delimited import text_rows
from buttress.data.reading.labels import numbered
from buttress.data.reading.memory import Array
from buttress.data.reading.textgrid import intervals

__all__ = ["ColumnOfFiles", "alignment_beside", "alignment_in", "columns_in"]

FILE = ("file", "path", "filename", "wav", "audio")
"""Names of the column that says which file a row is about."""
ColumnOfFiles = tuple[Array, tuple[str, ...]]
"""The number of each file's class, and the names of the classes."""
Segment = tuple[float, float, str]


class TableOfFiles:
    """Rows of a .csv or .tsv file with names at its head, each about one of some files.

    Args:
        path: The table; a column ``file`` names each file by its path in the folder, its name, or that without ending.
        root: The folder of the files.
        files: They themselves.

    Errors:
        ValueError: There is no such table, or no such column.
    """

    def __init__(self, path: Path, root: Path, files: Sequence[Path]) -> None:
        if not path.exists():
            raise ValueError(f"{path}: there is no such table (looked in {Path.cwd()}); try an absolute path")
        tab = path.suffix.lower() == ".tsv"
        rows = [cells for _, cells in text_rows(path, Asked(delimiter="\t" if tab else ","))]
        head = [name.strip().lower() for name in rows[0]] if rows else []
        at = next((head.index(name) for name in FILE if name in head), None)
        if at is None:
            raise ValueError(f"{path}: wanted a column 'file' that says which sound file a row is about, it has {head}")
        self.path, self.head, self.files = path, head, files
        known = _by_name(root, files)
        short = next((cells for cells in rows[1:] if len(cells) != len(head)), None)
        if short is not None:
            raise ValueError(f"{path}: a row of {len(short)} cells below {len(head)} names: {short}; try adding commas")
        self.rows = [(known.get(Path(cells[at]).as_posix()), cells) for cells in rows[1:]]

    def column(self, name: str) -> int:
        """Where a column is.

        Errors:
            ValueError: There is none of that name.
        """
        if name not in self.head:
            raise ValueError(f"{self.path}: no column {name!r}; {suggest(name, self.head, 'it has')} {self.head}")
        return self.head.index(name)


def _by_name(root: Path, files: Sequence[Path]) -> dict[str, int]:
    """The number of a file by each name that only it has."""
    found: dict[str, int | None] = {}
    for number, file in enumerate(files):
        inside = file.relative_to(root)
        for name in {inside.as_posix(), inside.with_suffix("").as_posix(), inside.name, inside.stem, file.as_posix()}:
            found[name] = None if name in found else number
    return {name: number for name, number in found.items() if number is not None}


def columns_in(path: Path, root: Path, files: Sequence[Path]) -> dict[str, ColumnOfFiles]:
    r"""The columns of a table with a row for each file.

    Args:
        path: The table, see :class:`TableOfFiles`.
        root: The folder of the files.
        files: They themselves.

    Errors:
        ValueError: A file has no row, or two that differ.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "who.csv").write_text("file,speaker\nb,ann\na.wav,bob\n")
        ...     columns_in(Path(folder, "who.csv"), Path(folder), [Path(folder, "a.wav"), Path(folder, "b.wav")])
        {'speaker': (array([1, 0]), ('ann', 'bob'))}
    """
    table = TableOfFiles(path, root, files)
    rows: dict[int, list[str]] = {}
    for number, cells in table.rows:
        if number is not None and rows.setdefault(number, cells) != cells:
            raise ValueError(f"{path}: two rows about {files[number]}, {rows[number]} and {cells}; try removing one")
    if missing := [str(files[i]) for i in range(len(files)) if i not in rows]:
        raise ValueError(f"{path}: no row for {missing[0]} and {len(missing) - 1} other files; try adding them")
    found = {}
    for at, name in enumerate(table.head):
        if name in FILE or not name:
            continue
        numbers, names = numbered([rows[i][at] for i in range(len(files))])
        found[name] = (numbers, tuple(names))
    return found


def alignment_in(path: Path, root: Path, files: Sequence[Path]) -> Alignment:
    r"""What is said when, from a table with a row for each segment: ``file``, ``start``, ``end`` and ``label``.

    Errors:
        ValueError: A column is missing, a time is no number, segments overlap, or no row is about one of the files.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "phones.csv").write_text("file,start,end,label\na,0,0.5,ah\na,0.5,0.75,t\n")
        ...     alignment_in(Path(folder, "phones.csv"), Path(folder), [Path(folder, "a.wav")]).names
        ('ah', 't')
    """
    table = TableOfFiles(path, root, files)
    start, end, label = (table.column(name) for name in ("start", "end", "label"))
    segments: list[list[Segment]] = [[] for _ in files]
    for number, cells in table.rows:
        if number is None:
            continue
        try:
            segments[number].append((float(cells[start]), float(cells[end]), cells[label]))
        except ValueError:
            raise ValueError(
                f"{path}: start {cells[start]!r} and end {cells[end]!r} of a row about {files[number]}, wanted seconds"
            ) from None
    if not any(segments):
        raise ValueError(
            f"{path}: none of its {len(table.rows)} rows is about one of the {len(files)} sound files in {root}; try "
            f"{files[0].relative_to(root).as_posix()!r} for the first of them"
        )
    return _of(segments, str(path), files)


def alignment_beside(files: Sequence[Path], tier: str) -> Alignment | None:
    """What the TextGrid files beside sound files, of the same names, say is said when; None where there are none.

    Args:
        files: The sound files.
        tier: The tier that is meant.

    Errors:
        ValueError: A TextGrid cannot be read, or has no such tier.
    """
    grids = [
        next((g for e in (".TextGrid", ".textgrid") if (g := file.with_suffix(e)).is_file()), None) for file in files
    ]
    if not any(grids):
        return None
    return _of([[] if grid is None else intervals(grid, tier) for grid in grids], "TextGrid", files)


def _of(segments: list[list[Segment]], where: str, files: Sequence[Path]) -> Alignment:
    try:
        return Alignment.of(segments, called=[str(file) for file in files])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
