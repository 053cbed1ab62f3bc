"""No advice without evidence: what docs/results/cures.csv holds, and how it is made."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from buttress.core.remedy import catalogue
from buttress.experiments import cures as experiment
from buttress.experiments.cures import proven, run_cures, table
from buttress.experiments.cures_page import kept_section
from buttress.experiments.patients import UNTRIED, Patient, patients

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS = list(csv.DictReader((DOCS / "results" / "cures.csv").read_text("utf-8").splitlines()))


def test_every_declared_cure_was_seen() -> None:
    seen = proven(ROWS)
    for name, one in catalogue().items():
        for cause in one.cures if one.change.__module__.startswith("buttress.") else ():
            outcomes = seen.get((cause, name), [])
            assert experiment.CURED in outcomes or experiment.AT_A_PRICE in outcomes, f"{name}: {cause}: {outcomes}"


def test_every_remedy_was_tried_or_it_is_said_why_not() -> None:
    tried = {row["arm"].partition(":")[0] for row in ROWS}
    built_in = {name for name, one in catalogue().items() if one.change.__module__.startswith("buttress.")}
    assert built_in - tried == set(UNTRIED)


def test_the_page_names_what_was_seen_to_cure() -> None:
    table = (DOCS / "diagnosis.md").read_text("utf-8").partition("## The causes")[2]
    for (cause, name), outcomes in proven(ROWS).items():
        row = next((line for line in table.splitlines() if line.startswith("|") and cause in line), "")
        named = f"`{name}`" in row.rsplit("|", 2)[-2]
        assert named == (outcomes != [experiment.NOT_CURED] * len(outcomes)), f"{cause}: {name}: {outcomes}"


def test_every_stored_row_is_of_a_patient_and_arm_that_exist() -> None:
    known = {name: make() for name, make in patients().items()}
    stored = {(row["patient"], row["arm"]) for row in ROWS}
    assert stored == {(name, arm) for name, one in known.items() for arm in one.arms}


def test_a_patient_is_treated_measured_and_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = patients()["squared_error"]()
    arms = {arm: replace(one, training=replace(one.training, steps=3)) for arm, one in whole.arms.items()}
    monkeypatch.setattr(experiment, "patients", lambda: {"small": lambda: Patient(whole.cause, "", arms, name="small")})
    effort = {"nll_samples": 2, "nll_examples": 4, "gap_steps": 2, "gap_examples": 4}
    monkeypatch.setattr(experiment, "EFFORT", effort)
    monkeypatch.setattr(experiment, "run_all", in_this_process)
    done = run_cures(tmp_path)
    rows = list(csv.DictReader((tmp_path / "cures.csv").read_text().splitlines()))
    assert [(row["arm"], row["cured"] != "") for row in rows] == [("none", False), ("calibrated_variance", True)]
    assert float(rows[1]["price"]) == pytest.approx(done[0].told("elbo")[0] - done[1].told("elbo")[0], rel=1e-3)
    monkeypatch.setattr(experiment, "run_all", None)
    assert table(run_cures(tmp_path)) == table(done)
    with pytest.raises(ValueError, match="no patient 'large'; there are small"):
        run_cures(tmp_path, only=["large"])


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"jobs": 0}, "jobs is 0, wanted at least 1"),
        ({"remedies": ["none"]}, "no patient here is tried with 'none'"),
        ({"folder": Path(__file__)}, "is a file, wanted a folder"),
    ],
)
def test_slips_are_told_before_anything_is_trained(tmp_path: Path, wishes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run_cures(**{"folder": tmp_path / "out", "only": ["clusters"], **wishes})


def test_remedies_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = patients()["squared_error"]().arms["none"]
    arms = dict.fromkeys(["none", "vlae:field=3", "free_bits", "vlae:field=1"], recipe)
    made = {"a": lambda: Patient("", "", arms, name="a"), "b": lambda: Patient("", "", {"none": recipe}, name="b")}
    monkeypatch.setattr(experiment, "patients", lambda: made)
    found = experiment.chosen([], ["vlae"])
    assert [(one.name, list(one.arms)) for one in found] == [("a", ["none", "vlae:field=3", "vlae:field=1"])]
    assert [one.name for one in experiment.chosen([], [])] == ["a", "b"]
    with pytest.raises(ValueError, match="no patient here is tried with 'word_dropout'"):
        run_cures(tmp_path, only=["a"], remedies=["word_dropout"])


def in_this_process(work, tasks, jobs, watch, ended):
    from queue import Queue

    return {run: work(*task, Queue()) for run, task in tasks.items()}, {}


def test_the_page_of_patients_tells_what_each_advice_did() -> None:
    told = kept_section((DOCS / "patients.md").read_text("utf-8"))
    lines = {line.split("`")[1]: line for line in told.splitlines() if line.startswith("| `")}
    assert set(lines) == {row["patient"] for row in ROWS}
    for row in ROWS:
        assert row["arm"] == "none" or row["arm"].partition(":")[0] in lines[row["patient"]], row["arm"]
