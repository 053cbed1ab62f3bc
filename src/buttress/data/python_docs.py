"""Sentences of Python's own documentation: real text that is on every machine, without a download."""

from __future__ import annotations

import ast
import os
import re
import sys
import sysconfig
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from buttress.core import Data, Splits
from buttress.data.reading.memory import cached
from buttress.data.reading.progress import ReadingProgress
from buttress.data.sentences import Sentences

__all__ = ["PythonDocs"]

SENTENCE = re.compile(r"[A-Z][A-Za-z]*[ ,'-] ?[A-Za-z'-]+(?:[ ,] ?[A-Za-z'-]+)*\.")
"""A capital letter, words with commas, hyphens and apostrophes, and a full stop: no code, no numbers, no brackets. Each
character can match in one way only, so that no text takes long."""
WITHIN = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where statements lie within a statement, in the order of ``ast``."""
OTHERS = frozenset({"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"})
"""Folders of the standard library that are no part of its documentation, or not installed everywhere."""


@dataclass(frozen=True)
class PythonDocs(Data):
    """Sentences from the docstrings of the standard library and from the help on the language (``pydoc``).

    Some 7,000 of up to 16 words, in lower case. Which ones depends on the version of Python, so numbers measured on
    them differ a little from one to the next.

    Source: Python Software Foundation, the Python documentation.

    Args:
        vocabulary: Cap on the number of ids, the four special ones included.
        max_length: Longest sentence in tokens, EOS included; longer ones are left out.
        held_out: Share of sentences held out.

    Example:
        On the command line::

            buttress train python_docs --data.max_length 12
    """

    vocabulary: int = 2000
    max_length: int = 16
    held_out: float = 0.1

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        path = cached(("python_docs", 1, sys.version), _extract) / "sentences.txt"
        return Sentences(
            str(path),
            vocabulary=self.vocabulary,
            max_length=self.max_length,
            held_out=self.held_out,
            punctuation=True,
            lower=True,
        ).open()


def sentences(text: str) -> Iterator[str]:
    r"""The sentences of a docstring or a page of help that are made of words alone.

    Example:
        >>> list(sentences("Close the file, if any.  See f(x). It\n  is empty.\n\n    >>> 1"))
        ['Close the file, if any.', 'It is empty.']
    """
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in re.split(r"(?<=[.!?:;])\s+", " ".join(paragraph.split())):
            if SENTENCE.fullmatch(piece):
                yield piece


def _extract(folder: Path) -> None:
    from pydoc_data.topics import topics

    found, progress = dict[str, None](), ReadingProgress("reading Python's documentation")
    for text in chain(topics.values(), _docstrings(Path(sysconfig.get_paths()["stdlib"]))):
        found |= dict.fromkeys(sentences(text))
        progress(len(found))
    (folder / "sentences.txt").write_text("\n".join(found) + "\n", encoding="utf-8")


def _docstrings(library: Path) -> Iterator[str]:
    for place, folders, files in os.walk(library):
        folders[:] = sorted(set(folders) - OTHERS)
        for name in sorted(file for file in files if file.endswith(".py")):
            try:
                tree = ast.parse((Path(place) / name).read_text(encoding="utf-8"))
            except (OSError, SyntaxError, ValueError):
                continue  # a template, or of another encoding
            yield from _of_tree(tree)


def _of_tree(tree: ast.Module) -> Iterator[str]:
    """Docstrings, in the order of ``ast.walk``, which also looks into expressions, where there are none."""
    waiting = deque[ast.AST]([tree])
    while waiting:
        node = waiting.popleft()
        for place in WITHIN:
            waiting.extend(getattr(node, place, ()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
