"""Sentences of Python's documentation: read in the order of the files, in little time, and not in silence."""

from __future__ import annotations

import ast
import itertools
import re

from buttress.data import python_docs
from buttress.data.python_docs import SENTENCE, _docstrings
from buttress.data.reading import progress

AMBIGUOUS = re.compile(r"[A-Z][A-Za-z]*(?:[ ,'-] ?[A-Za-z'-]+)+\.")
"""The same sentences, but quotes and hyphens can match in two ways each: this takes years for a row of them."""
LIBRARY = '''
"""First."""
async def a():
    try:
        class B:
            "Within."
    except E:
        def c(): "Caught."
    else:
        def d(): "Else."
    finally:
        def e(): "At last."
match x:
    case 1:
        def f(): "Case."
if x:
    def g(): "If."
class H:
    """Outer."""
    with x:
        def i(self): "With."
'''


def test_the_pattern_takes_the_same_sentences_in_one_way_only():
    for length in range(6):
        for piece in map("".join, itertools.product("Aa ,'-.", repeat=length)):
            assert bool(SENTENCE.fullmatch(f"A{piece}")) == bool(AMBIGUOUS.fullmatch(f"A{piece}")), piece
    assert not SENTENCE.fullmatch("A" + 100 * "-a" + "!")  # by the other one, 2^100 ways to fail


def test_docstrings_come_in_the_order_of_a_walk_through_the_tree(tmp_path):
    (tmp_path / "a.py").write_text(LIBRARY)
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    walked = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(LIBRARY)) if isinstance(node, kinds)]
    assert list(_docstrings(tmp_path)) == walked and len(list(filter(None, walked))) == 9


def test_reading_tells_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(python_docs, "_docstrings", lambda library: iter(["It is so.", "It was so, then."]))
    python_docs._extract(tmp_path)
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith("data: reading Python's documentation: ") for line in told) and len(told) > 2
    assert (tmp_path / "sentences.txt").read_text().endswith("It is so.\nIt was so, then.\n")
