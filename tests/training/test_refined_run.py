"""A run that refines q is evaluated with the refined q, and its evidence says so."""

import csv

import pytest
import small
import torch

from buttress.algorithms.refined import Refined
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.evidence import Evidence
from buttress.training.held_out import VALIDATION_EXAMPLES, look
from buttress.training.run import train

QUICK = {"nll_samples": 0, "gap_steps": 0}


@pytest.fixture(scope="module", params=["sa", "svi"])
def finished(request, tmp_path_factory):
    recipe = small.semi_amortized(request.param, steps=30, validate_every=15)
    return train(recipe, tmp_path_factory.mktemp("runs") / request.param, progress=False)


def last_row(run):
    with (run.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))[-1]


def test_evidence_measures_the_refined_q_and_says_so(finished):
    evidence = finished.diagnose(**QUICK)
    assert evidence.settings["inference"].startswith("refined for each example: 3 gradient steps of 0.1")
    assert evidence.estimates["elbo"] == bound(finished.evaluation_model(), finished.held_out()).elbo
    own = bound(finished.model, finished.held_out())
    if finished.recipe.algorithm.variant == "sa":
        assert "from the encoder's q" in evidence.settings["inference"]
        assert evidence.estimates["elbo_amortised"] == own.elbo
        assert evidence.estimates["rate_amortised"] == own.rate
    else:
        assert "from the prior" in evidence.settings["inference"] and "elbo_amortised" not in evidence.estimates
    assert evidence.estimates["elbo"].value > own.elbo.value + 1
    assert evidence.groups.names == finished.model.groups
    assert finished.diagnose(**QUICK).to_json() == evidence.to_json()
    assert Evidence.load(finished.folder / "evidence.json") == evidence


def test_held_out_curves_are_those_of_the_refined_q(finished):
    seen = look(finished.evaluation_model(), finished.held_out(0, VALIDATION_EXAMPLES), 0)
    for name, value in seen.items():
        assert value == pytest.approx(float(last_row(finished)[name]), rel=1e-4, abs=1e-5), name
    assert seen["elbo"] > look(finished.model, finished.held_out(0, VALIDATION_EXAMPLES), 0)["elbo"]


def test_reconstructions_are_drawn_from_the_refined_q(finished):
    raw = finished.splits().held_out.batch(torch.arange(4))
    drawn, asked = finished.reconstruct(raw, 3), finished.evaluation_model(3)
    torch.manual_seed(0)
    assert isinstance(asked, Refined) and drawn.shape == (4, 4)
    assert torch.equal(drawn, finished.reconstruct(raw, 3)) and not torch.equal(drawn, finished.reconstruct(raw, 4))
    assert finished.interpolate(raw[:2], raw[2:], 3).shape == (3, 2, 4)


def test_a_run_without_refinement_says_that_its_q_is_amortised(tmp_path):
    run = train(small.joint(), tmp_path / "run", progress=False)
    evidence = run.diagnose(**QUICK)
    assert run.evaluation_model() is run.model
    assert evidence.settings["inference"] == "amortised: q(z|x) as the encoder gives it"


def test_bf16_refines(tmp_path):
    run = train(small.semi_amortized(precision="bf16-mixed"), tmp_path / "run", progress=False)
    full = train(small.semi_amortized(), tmp_path / "full", progress=False)
    assert float(last_row(run)["elbo"]) == pytest.approx(float(last_row(full)["elbo"]), rel=0.05)
