"""Imports between rooms point one way, as docs/architecture.md lists them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import buttress

SOURCE = Path(buttress.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"
KNOW_LESS = {"report": {"diagnostics"}, "diagnostics": {"core", "distributions", "objectives"}}
"""What these rooms may import of the lines from ``core`` on."""
OTHER_WAY = {("data/codes.py", "training")}
"""(File, room): the exceptions that the document gives reasons for."""


def lines_of_the_document() -> list[list[str]]:
    listed = re.search(r"Imports point one way.*?```text\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert listed
    return [line.split(", ") for line in listed[1].strip().splitlines()]


STEP = {room: step for step, line in enumerate(lines_of_the_document()) for room in line}


def statements(block: list[ast.stmt]) -> Iterator[ast.AST]:
    """All statements of a block, however deep: imports and functions are such, and of all nodes they are a tenth."""
    for node in block:
        yield node
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            yield from statements(getattr(node, name, []))


def imported(path: Path) -> set[str]:
    """Rooms that a file imports from, wherever in it, its own included."""
    names = []
    for node in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    inside = [name.split(".")[1] for name in names if name.startswith("buttress.")]
    return {room for room in inside if not room.startswith("__")}


def against_the_order(file: str, room: str, found: set[str]) -> set[str]:
    """What a file of a room imports and should not."""
    others = {other for other in found - {room} if (file, other) not in OTHER_WAY}
    wrong = {other for other in others if STEP[other] >= STEP[room]}
    if room in KNOW_LESS:
        wrong |= {other for other in others if STEP[other] >= STEP["core"]} - KNOW_LESS[room]
    return wrong


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path not in (SOURCE / "__init__.py", SOURCE / "__main__.py")]


def test_the_document_lists_every_room_once():
    listed = [room for line in lines_of_the_document() for room in line]
    assert sorted(listed) == sorted({room_of(path) for path in FILES})


def test_imports_point_one_way():
    names = {path.relative_to(SOURCE).as_posix(): path for path in FILES}
    wrong = {name: against_the_order(name, room_of(path), imported(path)) for name, path in names.items()}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_the_exceptions_are_needed():
    assert all(room in imported(SOURCE / file) for file, room in OTHER_WAY)


def test_an_import_that_points_the_other_way_is_seen(tmp_path):
    file = tmp_path / "some.py"
    lines = ["def f():", "    from buttress.diagnostics.refined import Refined", "    from buttress.core import recipe"]
    file.write_text("\n".join([*lines, "    from buttress import baseline", ""]))
    found = {"diagnostics", "core", "baseline"}
    assert imported(file) == found
    assert against_the_order("nn/some.py", "nn", found) == found
    assert against_the_order("diagnostics/some.py", "diagnostics", found) == {"baseline"}


def test_no_two_public_classes_share_a_name():
    homes: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(path.relative_to(SOURCE).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_no_file_and_no_function_is_long():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in statements(ast.parse(text).body):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1:] if ast.get_docstring(node) else node.body
                assert not first or node.body[-1].end_lineno - first[0].lineno < 60, f"{path}: {node.name}"


def test_at_most_two_modules_stand_outside_the_folders():
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py", "__main__.py", "api.py", "baseline.py"}
