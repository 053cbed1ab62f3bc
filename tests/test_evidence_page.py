"""The page of evidence: its tables say what the stored results say, and what it points to is there."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "evidence.md").read_text(encoding="utf-8")
MADE = runpy.run_path(str(DOCS / "evidence_tables.py"))


@pytest.mark.parametrize("path", MADE["PAGES"], ids=lambda path: path.name)
def test_the_tables_are_those_of_the_stored_results(path):
    page = path.read_text(encoding="utf-8")
    assert MADE["renewed"](page, MADE["PAGES"][path]) == page, "run python docs/evidence_tables.py"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_what_a_link_points_to_is_there(link):
    assert (DOCS / link).exists()


@pytest.mark.parametrize("page", ["../README.md", "results.md", "guide.md"])
def test_the_page_is_found(page):
    assert "evidence.md" in (DOCS / page).read_text(encoding="utf-8")


def test_differences_are_of_runs_with_the_same_seed():
    plain = [{"seed": 0, "nll": 10.0}, {"seed": 1, "nll": 20.0}]
    runs = [
        {"seed": 1, "nll": 21.0},
        {"seed": 0, "nll": 12.0},
        {"seed": 2, "nll": 7.0},
        {"seed": 0, "broke_off": "NaN"},
    ]
    assert MADE["beside"](runs, plain, "nll") == [1.0, 2.0]
