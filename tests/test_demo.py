"""The demo: a collapse is trained, diagnosed, treated as advised, diagnosed again, and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from queue import Queue

import pytest

from buttress.baseline import baseline
from buttress.data import python_docs
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.python_docs import PythonDocs
from buttress.data.reading.tokens import decode
from buttress.experiments import collapses as experiment
from buttress.experiments.collapses import Collapse, run_collapses
from buttress.report.demo import CURED, demo_lines, demo_table, write_demo

LITTLE = {"nll_samples": 4, "nll_examples": 30, "gap_steps": 0, "mi_examples": 30, "seed": 0}


def ill(variance: float) -> Collapse:
    """A table and a likelihood of some variance."""
    data = LinearGaussianData(dim=8, latent_dim=2, noise=0.3, n=300)
    start = baseline(data, data.open().spec)
    training = replace(start.training, steps=40, learning_rate=2e-2, validate_every=10, checkpoint_every=10)
    likelihood = start.likelihood.replace(learned="fixed", variance=variance)
    return Collapse(f"A variance of {variance:g}", "A table.", replace(start, training=training, likelihood=likelihood))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo of two models, one of which is healthy."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "EFFORT", LITTLE)
        patch.setattr(experiment, "run_all", in_this_process)
        run_collapses(folder, {"ill": ill(50.0), "well": ill(0.1)})
    write_demo(folder)
    return folder


def in_this_process(work, tasks, jobs, watch, ended):
    return {run: work(*task, Queue()) for run, task in tasks.items()}, {}


def test_a_model_is_treated_as_its_verdict_advises(shown):
    told = {one["name"]: one for one in json.loads((shown / "demo.json").read_text())["models"]}
    assert [one["remedy"] for one in told["ill"]["tried"]] == ["calibrated_variance"]
    assert told["ill"]["tried"][0]["cured"] in CURED  # so few steps need not be enough
    assert told["well"]["tried"] == []
    assert "- calibrated_variance" in (shown / "ill" / "calibrated_variance" / "recipe.yaml").read_text()


def test_what_is_finished_is_kept(shown, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in shown.rglob("evidence.json")}
    monkeypatch.setattr(experiment, "EFFORT", LITTLE)
    monkeypatch.setattr(experiment, "run_all", in_this_process)
    run_collapses(shown, {"ill": ill(50.0), "well": ill(0.1)})
    assert len(before) == 3 and {path: path.stat().st_mtime_ns for path in before} == before


def test_the_page_shows_both_sides_and_needs_nothing_from_outside(shown):
    page = (shown / "report.html").read_text(encoding="utf-8")
    assert "Before" in page and "After:" in page and "the optimum is collapsed" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert page.count("<table") >= 4  # the rows of both sides, and the numbers of each model


def test_the_terminal_gets_the_cause_the_remedy_and_the_numbers(shown):
    said = demo_lines(shown)
    assert said[0] == "A variance of 50: collapsed, the optimum is collapsed"
    assert said[2].startswith("  calibrated_variance: ")
    assert demo_table(shown).row_count == 3
    rows = (shown / "demo.md").read_text(encoding="utf-8").splitlines()
    assert rows[2].startswith("| ill | `none` |") and rows[3].startswith("|  | `calibrated_variance` |")


def test_a_damaged_folder_is_told_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"demo\.json: missing or damaged .*; run the demo again"):
        write_demo(tmp_path)


def test_sentences_of_python_are_read_in_lower_case(tmp_path, monkeypatch):
    monkeypatch.setenv("BUTTRESS_CACHE", str(tmp_path))
    monkeypatch.setattr(python_docs, "_docstrings", lambda library: iter(["Return the number of arguments.\n\nx = 1"]))
    splits = PythonDocs(vocabulary=300, max_length=12).open()
    assert len(splits.train) > 200 and int(splits.train.lengths.max()) <= 12
    words = decode(splits.spec, splits.held_out.read(splits.held_out.lengths.argsort()[:20]).x)
    assert all(line == line.lower() and line.endswith(" .") for line in words)
