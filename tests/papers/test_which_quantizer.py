"""The trial of quantisers: what it counts is what the posteriors choose, and a run leaves all of its files."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from rich.console import Console

from buttress.core import remedy
from buttress.data.images import Images
from buttress.experiments.claims import claims_table
from buttress.experiments.papers import which_quantizer as paper
from buttress.experiments.papers.which_quantizer import (
    EMA_DATA,
    FINITE,
    GRADIENT,
    GUMBEL,
    RESIDUAL,
    WhichQuantizer,
    claims,
    step_costs,
    usage,
)
from buttress.training.run import train


@pytest.fixture
def trial(tmp_path) -> WhichQuantizer:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    small = {"widths": (2, 2), "stages": 1, "levels": (4, 3), "dim": 2, "steps": 8, "batch_size": 8, "seeds": 1}
    return WhichQuantizer(Images(str(tmp_path / "images.npy")), **small)


def test_arms_have_almost_as_many_codes_at_each_place():
    trial = WhichQuantizer()
    found = {arm: remedy.apply(written, trial.recipe()).posterior for arm, written in trial.arms.items()}
    assert {posterior.codes for arm, posterior in found.items() if arm not in (RESIDUAL, FINITE)} == {256}
    assert found[RESIDUAL].codes ** found[RESIDUAL].stages == 256 and np.prod(found[FINITE].levels) == 240
    assert all(
        found[arm].revive > trial.steps for arm in trial.arms if "data" not in arm and hasattr(found[arm], "start")
    )


def test_what_is_counted_is_what_the_posterior_chooses_on_held_out_data(trial, tmp_path):
    """Two stages of 16 that a place takes together are one of 256."""
    recipe = remedy.apply(replace(trial, stages=2).arms[RESIDUAL], trial.recipe())
    run = train(recipe, tmp_path / "run", progress=False)
    found = usage(run.folder)
    held_out = run.held_out(0)
    codes = torch.cat([run.model.posterior(held_out[i].x).sample() for i in range(len(held_out))])
    pairs = torch.stack(codes.chunk(2, 1), -1).view(-1, 2)
    share = pairs.unique(dim=0, return_counts=True)[1].double() / len(pairs)
    assert found["codes"] == 256 and found["share_used"] == len(share) / 256
    assert found["perplexity"] == pytest.approx((-share * share.log()).sum().exp().item())


def test_a_small_trial_leaves_its_result_and_figure(trial, tmp_path, monkeypatch):
    some = {arm: written for arm, written in trial.arms.items() if arm == GUMBEL}
    monkeypatch.setattr(WhichQuantizer, "arms", property(lambda self: some))
    found = trial.run(tmp_path / "out")
    runs = json.loads((tmp_path / "out" / "result.json").read_text())["runs"]
    assert {run["arm"] for run in runs} == set(some) and all(0 < run["share_used"] <= 1 for run in runs)
    assert all(run["step_ms"] > 0 for run in runs)
    assert not found[0].held  # of arms that were not run
    assert [path.name for path in trial.figures(tmp_path / "out")] == ["arms.png"]


def test_a_run_that_broke_off_is_null_with_its_reason_and_its_claims_say_so(trial, tmp_path, monkeypatch):
    """Of two random codewords one is nearest to all that an encoder says at first: no prior is fitted to that."""
    some = {GUMBEL: trial.arms[GUMBEL], GRADIENT: trial.arms[GRADIENT].replace("codes=16", "codes=2")}
    monkeypatch.setattr(WhichQuantizer, "arms", property(lambda self: some))
    monkeypatch.setattr(paper, "step_costs", partial(step_costs, rounds=1, steps=1))  # steps of the first stage
    found = trial.run(tmp_path / "out")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    result = json.loads((tmp_path / "out" / "result.json").read_text(), parse_constant=refuse)
    (lost,) = [run for run in result["runs"] if run["arm"] == GRADIENT]
    assert lost["share_used"] is None and lost["total"] is None and lost["broke_off"]
    about = result["claims"][6]
    assert about["median"] is None and about["missing"] == "the run broke off" and not about["held"]
    console = Console(width=200)
    with console.capture() as caught:
        console.print(claims_table(found))
    assert "no number: the run broke off" in caught.get()
    assert [path.name for path in trial.figures(tmp_path / "out")] == ["arms.png"]


def test_the_cost_of_a_step_is_measured_of_every_arm(trial):
    found = step_costs(
        {arm: remedy.apply(trial.arms[arm], trial.recipe()) for arm in (FINITE, RESIDUAL)}, rounds=2, steps=1
    )
    assert set(found) == {FINITE, RESIDUAL} and min(found.values()) > 0


def test_a_claim_about_all_of_three_needs_all_three():
    runs = [{"arm": arm, "seed": 0, "share_used": 1.0, "evenness": 1.0, "total": 100.0} for arm in (EMA_DATA, FINITE)]
    assert not claims(runs, 784)[-1].held
