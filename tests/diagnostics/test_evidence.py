import json
from dataclasses import replace

import pytest
from closed_forms import data

from buttress.diagnostics import telling
from buttress.diagnostics.diagnose import STAGES, diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups, Verdict
from buttress.diagnostics.finding import Finding


def made_up():
    estimates = {"elbo": Estimate(-1.5, 0.1, 9, "Monte Carlo"), "nll": Estimate(float("nan"), float("inf"), 9, "m")}
    verdict = Verdict("collapsed", None, ("because", "so"), ("kl_annealing",))
    return Evidence(9, "image", estimates, Groups(("a",), (0.5,), (None,), (0.1,)), {"seed": 3}, verdict)


def test_json_and_back(tmp_path):
    evidence = made_up()
    assert Evidence.from_json(evidence.to_json()) == evidence
    evidence.save(tmp_path / "evidence.json")
    assert Evidence.load(tmp_path / "evidence.json") == evidence


def test_findings_survive_json_and_evidence_without_them_still_opens():
    lag = Finding("inference lags", "borderline", ("gains 0.2 ± 0.1",), 800, confidence=0.4)
    verdict = Verdict("used", None, ("so",), (), "partly used", (lag,))
    evidence = replace(made_up(), verdict=verdict)
    assert Evidence.from_json(evidence.to_json()).verdict == verdict and verdict.causes == ()
    old = json.loads(evidence.to_json())
    del old["verdict"]["borderline"], old["verdict"]["findings"]
    assert Evidence.from_json(json.dumps(old)).verdict == Verdict("used", None, ("so",), ())


def test_people_read_it_in_lines():
    evidence = made_up()
    assert str(evidence.verdict).splitlines() == [
        "collapsed",
        "  because because",
        "  because so",
        "  try kl_annealing",
    ]
    assert repr(evidence.verdict).startswith("Verdict(state='collapsed'")
    shown = str(evidence)
    assert shown.startswith(f"{evidence.verdict}\n\n")
    _, *table = shown.removeprefix(f"{evidence.verdict}\n\n").splitlines()
    assert [line.split()[0] for line in table] == ["estimate", "elbo", "nll"]
    assert "-1.5 ± 0.1" in table[1] and "not measured" in table[2] and "not finite: nan" in table[2]


def test_the_layout():
    plain = json.loads(made_up().to_json())
    assert list(plain) == ["format", "n", "kind", "units", "estimates", "groups", "settings", "verdict", "notes"]
    assert (plain["format"], plain["units"]) == (1, "nats per example")
    assert list(plain["estimates"]["elbo"]) == ["value", "error", "n", "method", "ceiling", "note"]
    assert list(plain["groups"]) == [
        "names",
        "rate",
        "rate_error",
        "variance_of_mean",
        "shape",
        "perplexity",
        "followed",
        "critical_rate",
    ]
    assert list(plain["verdict"]) == ["state", "cause", "reasons", "advice", "borderline", "findings"]


def test_what_is_not_finite_is_null_with_a_note():
    text = made_up().to_json()
    plain = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert plain["estimates"]["nll"] == {
        "value": None,
        "error": None,
        "n": 9,
        "method": "m",
        "ceiling": None,
        "note": "not finite: nan",
    }


@pytest.mark.parametrize("text", ['{"format": 2}', "[]", '{"format": 1}'])
def test_what_is_no_evidence_is_refused(text):
    with pytest.raises(ValueError, match="evidence:"):
        Evidence.from_json(text)


def test_diagnosing_gives_every_number_and_says_how():
    model, batches = data(60)
    stages = []
    evidence = diagnose(
        model.vae(),
        batches,
        nll_samples=3,
        gap_steps=3,
        seed=7,
        groups=["a", "b"],
        progress=lambda name, done, total: stages.append((name, done, total)),
    )
    assert {
        "elbo", "distortion", "rate", "active_units", "mutual_information", "aggregate_kl", "nll",
        "effective_sample_size", "worth_shuffled", "worth_prior", "amortisation_gap",
    } <= set(evidence.estimates)  # fmt: skip
    assert "bits_per_dim" not in evidence.estimates  # a density of real columns has no bits
    assert all(e.value is not None and e.method for e in evidence.estimates.values())
    assert (evidence.n, evidence.kind, evidence.settings["seed"]) == (60, "table", 7)
    assert evidence.groups.names == ("a", "b") and None not in evidence.groups.rate
    assert stages == [(name, i, len(STAGES)) for i, name in enumerate(STAGES)]
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_a_stage_that_lasts_tells_what_it_is_at(monkeypatch):
    monkeypatch.setattr(telling, "EVERY", 0.0)
    model, batches = data(60)
    said = []
    wishes = {"nll_samples": 3, "gap_steps": 40, "gap_examples": 50}
    diagnose(model.lagging(), batches, **wishes, progress=lambda what, done, total: said.append((what, done)))
    gap = [what for what, done in said if done == STAGES.index("amortisation gap")]
    assert gap[0] == "amortisation gap" and all(what.startswith(gap[0]) for what in gap)
    best = "amortisation gap: the best q of examples 1 to 50 of 50"
    for what in ("Adam, step 1 of 12", "Adam, step 12 of 12", "moving the means", "fitting the scales"):
        assert f"{best}, {what}" in gap
    assert (f"likelihood: batch {len(batches)} of {len(batches)}", STAGES.index("likelihood")) in said
    assert (f"checking the model: batch 1 of {len(batches)}", 0) in said
    assert {what.partition(": ")[0] for what, _ in said} == {"checking the model", *STAGES}


def test_a_rate_without_groups_leaves_the_variance_curve():
    model, batches = data(60)
    groups = diagnose(model, batches, nll_samples=0, gap_steps=0).groups
    assert groups.names == ("z0", "z1") and groups.rate == (None, None) and None not in groups.variance_of_mean
