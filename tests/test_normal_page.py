"""The page on what is normal: its tables say what the stored results say, and what it points to is there."""

import re
import runpy
from pathlib import Path

import pytest

from buttress.cli import main as cli
from buttress.report.quantities import QUANTITIES
from buttress.report.quantities_of_sound import QUANTITIES_OF_SOUND

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "normal.md").read_text(encoding="utf-8")
LINKS = sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE)))


def anchors(page: str) -> set[str]:
    """What GitHub calls the headings of a page in links."""
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", page, re.M)}


def test_the_tables_are_those_of_the_stored_results():
    renewed = runpy.run_path(str(DOCS / "normal_tables.py"))["renewed"]
    assert renewed(PAGE) == PAGE, "run python docs/normal_tables.py"


@pytest.mark.parametrize("link", LINKS)
def test_what_a_link_points_to_is_there(link):
    if link.startswith("https://"):
        return
    name, _, anchor = link.partition("#")
    assert (DOCS / (name or "normal.md")).is_file()
    assert not anchor or anchor in anchors((DOCS / (name or "normal.md")).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["../README.md", "guide.md", "diagnosis.md"])
def test_the_page_is_found(page):
    assert "normal.md)" in (DOCS / page).read_text(encoding="utf-8")


def test_commands_and_quantities_have_the_names_of_today():
    commands = {name.replace("-", "_") for name in re.findall(r"`buttress ([\w-]+)", PAGE)}
    assert commands and commands <= set(cli.functions())
    quantities = set(re.findall(r"`(\w+_\w+)`", PAGE)) - {"flow_prior"}
    assert quantities and quantities <= set(QUANTITIES) | set(QUANTITIES_OF_SOUND)
