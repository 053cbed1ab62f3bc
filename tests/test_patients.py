"""Patients: what is true of them by construction, that the halves stay what they are, and what is made of diagnoses."""

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from buttress.diagnostics.cause import catalogue, found
from buttress.diagnostics.confidence import ODDS, confidences, drawn, plain
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups, Verdict
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.state import COLLAPSED, USED
from buttress.experiments import ward
from buttress.experiments.ward import EFFORT, Visit, look, run_ward
from buttress.experiments.ward_page import write_ward
from buttress.experiments.ward_tables import calibration, confusion, fitted_odds, half_table, share
from buttress.patients import HEALTHY, half_of, patients

QUICK = {**EFFORT, "nll_examples": 100, "gap_examples": 30}
ONE_OF_EACH = (
    "two_slots", "the_word_before", "one_topic", "codes_by_place", "mean_squared_error", "an_unread_slot",
    "untrained_reader", "no_constants", "padding_counts", "the_sum_of_six_in_words", "weak_levels",
    "length_in_codes", "moved_words", "light_words", "a_hundredth_of_sentences", "pictures_of_their_label",
    "raw_rows", "averaged_and_weighted", "four_topics_of_30",
    "words_without_their_z", "a_detached_z", "cancelled_in_sixteen_bits",
)  # fmt: skip
"""Of the development half, the quickest."""


def test_there_are_enough_of_them_and_every_cause_is_in_both_halves():
    known = patients().values()
    assert len(known) >= 60 and sum(one.cause == HEALTHY for one in known) >= 12
    halves = {half: {one.cause for one in known if one.half == half} for half in ("development", "unseen")}
    assert halves["development"] == halves["unseen"] == {one.cause for one in known}
    assert {one.over for one in known} >= {"tables", "images", "sentences", "codes", "conditional", "hierarchical"}
    assert sum(one.borderline for one in known) >= 2 and sum(len(one.true) > 1 for one in known) >= 5
    assert all(one.about.endswith(".") for one in known)


def test_a_half_follows_from_the_name_alone():
    assert (half_of("four_factors"), half_of("wide_table")) == ("unseen", "development")
    assert {patients()[name].half for name in ONE_OF_EACH} == {"development"}
    assert {patients()[name].cause for name in ONE_OF_EACH} == {one.cause for one in patients().values()}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_patient_of_each_cause_is_known_for_what_it_is(name):
    patient = patients()[name]
    found = Visit(patient, look(patient, QUICK), {})
    assert found.right, f"{patient.cause}: {found.evidence.verdict}"


def made_up(name, cause, state=USED, confidence=None):
    findings = () if cause is None else (Finding(cause, "holds", ()),)
    verdict = Verdict(state, cause, (), (), findings=findings)
    evidence = Evidence(9, "table", {}, Groups((), (), (), ()), verdict=verdict)
    return Visit(patients()[name], evidence, confidence or {})


LAGS = "inference lags"
WARD = [
    made_up("four_factors", None),
    made_up("wide_table", LAGS, COLLAPSED, {LAGS: 0.6}),
    made_up("half_a_signal", LAGS, confidence={LAGS: 1.0}),
    made_up("weight_of_five", "the rate has a weight of about 5.1", confidence={"the rate has a weight": 0.95}),
    made_up("untrained_encoder", None, "partly used"),
]


def test_what_is_right_wrong_and_alarming_is_counted():
    assert [one.right for one in WARD] == [True, False, True, True, False]
    assert [one.first for one in WARD[3:]] == ["the rate has a weight", "not known"]
    assert [one.false_alarm for one in WARD] == [False, True, False, False, False]
    rows, columns, counts = confusion(WARD)
    assert sum(map(sum, counts)) == len(WARD) and counts[rows.index(HEALTHY)][columns.index(LAGS)] == 1
    assert calibration(WARD) == [
        ("0.5 to 0.9", 1, 0.6, 0.0), ("0.9 to 1.0", 1, 0.95, 1.0), ("1", 1, 1.0, 1.0)
    ]  # fmt: skip
    assert calibration(WARD, least=3) == [("0.5 to 1.0", 3, pytest.approx(0.85), pytest.approx(2 / 3))]
    assert "| healthy, called collapsed |" in half_table(WARD) and share(0, 0) == "none"


def test_a_borderline_patient_may_be_on_either_side():
    one = next(one for one in patients().values() if one.borderline)
    assert all(one.right(cause) for cause in (one.cause, *one.allowed)) and not one.right("made up")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("faint_at_a_stated_weight", "inference lags"),
        ("four_to_one", HEALTHY),
        ("a_hair_of_z", "the model ignores z"),
        ("detached_for_a_look", HEALTHY),
        ("a_right_loss_handed_over", HEALTHY),
    ],
)
def test_a_near_miss_of_a_new_cause_is_passed_by(name, cause):
    assert half_of(name) == "development" and Visit(patients()[name], look(patients()[name], QUICK), {}).first == cause


def test_the_factor_of_the_odds_is_fitted_to_findings_that_are_neither_certain_nor_never_drawn():
    half = {"drawn": {LAGS: (0.5, 1.0)}}
    seen = [replace(made_up("untrained_eye" if k < 3 else "wide_table", None), **half) for k in range(10)]
    certain = replace(made_up("wide_table", None), drawn={LAGS: (1.0, 0.5)})
    assert fitted_odds([*seen, certain]) == pytest.approx(3 / 7, rel=0.02)  # 3 of 10 are true
    assert [row[2] for row in calibration(seen, odds=1.0)] == [0.5]
    assert [row[2] for row in calibration(seen)] == [pytest.approx(ODDS / (1 + ODDS))]


def test_the_page_shows_what_the_factor_was_fitted_to():
    page = (Path(__file__).parents[1] / "docs" / "patients.md").read_text("utf-8")
    assert f"multiplied by {ODDS:g}; fitted to these findings of the development half: {ODDS:.2f}." in page


def test_the_confidence_of_a_cause_falls_with_the_error_of_its_numbers():
    def sure(error):
        gap = {name: Estimate(0.2, error, 100, "made up") for name in ("amortisation_gap", "decoder_gain")}
        none = Estimate(0.0, 0.0, 100, "made up")
        silent = dict.fromkeys(("rate", "mutual_information", "worth_shuffled"), none)
        return confidences(Evidence(9, "table", {**silent, **gap}, Groups((), (), (), ())), draws=60)[LAGS]

    assert sure(0.0) == 1.0 > sure(0.1) > sure(1.0)  # a cause of two conditions is less sure than each


def test_a_ward_takes_up_what_is_there_and_writes_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr(ward, "drawn", lambda numbers: {})
    taken = []
    seen = run_ward(tmp_path / "runs", only=["one_colour", "two_slots"], seen=lambda one, s: taken.append(s))
    again = run_ward(tmp_path / "runs", only=["one_colour", "two_slots"], seen=lambda one, s: taken.append(s))
    assert [one.evidence for one in seen] == [one.evidence for one in again] and taken[2:] == [0.0, 0.0]
    write_ward(WARD, tmp_path / "out", tmp_path / "page.md")
    rows = list(csv.DictReader((tmp_path / "out" / "patients.csv").read_text().splitlines()))
    assert [row["right"] for row in rows] == ["yes", "no", "yes", "yes", "no"]
    page = (tmp_path / "page.md").read_text()
    assert "(out/patients.png)" in page and "- `untrained_encoder` (tables)" in page
    with pytest.raises(ValueError, match="no patient 'nobody'"):
        run_ward(tmp_path, only=["nobody"])
    with pytest.raises(ValueError, match="half is 'third'"):
        run_ward(tmp_path, half="third")


def test_a_ward_says_what_is_wrong_and_makes_the_folder_of_its_page(tmp_path):
    seen = run_ward(tmp_path, only=["one_colour"])
    write_ward(seen, tmp_path, tmp_path / "new" / "page.md")
    assert (tmp_path / "new" / "page.md").exists()
    with pytest.raises(ValueError, match="none of one_colour is of the development half"):
        run_ward(tmp_path, "development", ["one_colour"])
    (tmp_path / "one_colour.json").write_text("{")
    with pytest.raises(ValueError, match=r"one_colour\.json: .*; remove it"):
        run_ward(tmp_path, only=["one_colour"])


def test_the_share_of_draws_is_that_of_causes_asked_of_each_draw_afresh():
    """What does not vary is shared, and causes of errors are asked once: that changes no share."""
    close = {
        "rate": (0.12, 0.02),
        "mutual_information": (0.11, 0.02),
        "worth_shuffled": (0.1, 0.02),
        "elbo": (-9.0, 0.1),
    }
    gap = {"amortisation_gap": (0.2, 0.08), "decoder_gain": (0.25, 0.09), "optimum_ratio": (1.3, 0.2)}
    vague = {"rate": (9.0, 0.1), "mutual_information": (2.0, 9.0), "worth_shuffled": (9.0, 9.0), "nll": (None, None)}
    for values in (close | gap, vague | gap | {"effective_beta": (3.0, 1.0), "posterior_scale": (0.9, 0.0)}):
        numbers = Numbers({name: Estimate(*value, 100, "made up") for name, value in values.items()})
        counted = defaultdict(list)
        own = torch.Generator().manual_seed(3)
        for row in torch.randn(40, len(values), generator=own, dtype=torch.float64).tolist():
            exact = {
                name: replace(one, value=one.value + e * one.error, error=0.0) if one.error else one
                for e, (name, one) in zip(row, numbers.estimates.items(), strict=True)
            }
            of_errors = {one: one.find(numbers) for one in catalogue() if one.of_errors}
            for said in found(Numbers(exact), of_errors):
                counted[plain(said.cause)] += [said.share] * (said.holds or said.share < 1)
        shares = drawn(numbers, draws=40, seed=3)
        assert len(shares) >= 2
        for cause, told in shares.items():
            if told != (1.0, 1.0):
                assert told == (len(counted[cause]) / 40, sum(counted[cause]) / len(counted[cause]))
