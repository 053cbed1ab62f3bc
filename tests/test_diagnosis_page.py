"""The page on how to read a diagnosis shows what is printed today, and names every cause."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "diagnosis.md").read_text(encoding="utf-8")
CAUSES = DOCS.parent / "src" / "buttress" / "diagnostics" / "causes"


def examples() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagnosis_examples", DOCS / "diagnosis_examples.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(text: str) -> str:
    """The text without its numbers, whose last digits depend on the machine."""
    return re.sub(r"\d[\d.]*(e-?\d+)?", "#", text)


def test_the_examples_are_those_that_are_printed_today() -> None:
    assert words(examples().renewed(PAGE)) == words(PAGE), "run python docs/diagnosis_examples.py"


def test_the_table_names_every_cause() -> None:
    table = PAGE.partition("## The causes")[2]
    for path in CAUSES.glob("[a-z]*.py"):
        for name in re.findall(r'[Ss]entences?: "([^"]+)"', path.read_text(encoding="utf-8")):
            assert name in table, f"{path.name}: {name}"
