"""docs/papers/README.md says what the stored results say, and each trial with a result has a page that shows them."""

import json
import re
import runpy
from pathlib import Path

import pytest

from buttress.experiments.papers import experiments

PAPERS = Path(__file__).parents[1] / "docs" / "papers"


def test_the_table_is_that_of_the_stored_results():
    written = runpy.run_path(str(PAPERS / "table.py"))["page"]()
    assert (PAPERS / "README.md").read_text("utf-8") == written, "run python docs/papers/table.py"


@pytest.mark.parametrize("path", sorted(PAPERS.glob("*_*.md")) + sorted(PAPERS.glob("*20*.md")), ids=lambda p: p.stem)
def test_every_page_belongs_to_an_experiment_and_its_pictures_are_there(path):
    assert path.stem in experiments()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", sorted((PAPERS.parent / "results").glob("*/result.json")), ids=lambda p: p.parent.name)
def test_every_stored_result_has_its_page(path):
    assert (PAPERS / f"{path.parent.name}.md").exists()
    assert json.loads(path.read_text("utf-8"))["claims"]
