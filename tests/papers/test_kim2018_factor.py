"""The trial of FactorVAE beside beta-VAE: its arms, its claims, and a tiny run of it."""

from __future__ import annotations

import json
import queue
from dataclasses import replace

import pytest

from buttress.core import remedy
from buttress.core.registry import from_plain, to_plain
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.shapes2d import Shapes2d
from buttress.encoders.mlp import MlpEncoder
from buttress.experiments import compare
from buttress.experiments.papers.kim2018_factor import RESULT, Kim2018Factor, claims

TINY = Kim2018Factor(
    data=Shapes2d(size=8, shapes=("square", "ellipse"), scales=1, orientations=1, positions=5),
    encoder=MlpEncoder(hidden=(8,)),
    dim=2,
    betas=(4.0,),
    gammas=(30.0,),
    steps=6,
    batch_size=16,
    discriminator_width=4,
    discriminator_layers=1,
    seeds=1,
)


def run(arm, seed, score, error, dependence=1.0, accuracy=None):
    found = {"arm": arm, "seed": seed, "factor_vae_score": score, "distortion": error, "total_correlation": dependence}
    return found if accuracy is None else found | {"discriminator_accuracy": accuracy}


def test_arms_are_the_same_recipe_but_for_what_is_compared():
    recipes = {arm: remedy.apply(name, TINY.recipe()) for arm, name in TINY.arms.items()}
    plain = recipes["VAE"]
    assert list(recipes) == ["VAE", "β-VAE 4", "FactorVAE 30"]
    assert replace(recipes["β-VAE 4"], objective=plain.objective, remedies=plain.remedies) == plain
    assert replace(recipes["FactorVAE 30"], algorithm=plain.algorithm, remedies=plain.remedies) == plain
    assert recipes["FactorVAE 30"].algorithm.discriminator_rate == 1e-3


def test_claims_compare_at_equal_reconstruction_error():
    line = [run("VAE", 0, 0.5, 4.0, 2.0), run("β-VAE 2", 0, 0.6, 6.0), run("β-VAE 4", 0, 0.4, 10.0)]
    inside = claims([*line, run("FactorVAE 30", 0, 0.7, 8.0, 1.0, 0.6)], (30.0,), (2.0, 4.0))
    assert [c.median for c in inside] == pytest.approx([0.2, 0.2, 2.0, 0.5, 0.6, 0.6])  # 0.5 is on the line at 8 nats
    assert all(c.held for c in inside)
    left = claims([*line, run("FactorVAE 30", 0, 0.7, 3.0, 1.9, 0.9)], (30.0,), (2.0, 4.0))
    assert left[1].median == pytest.approx(0.2) and [c.held for c in left] == [True, True, True, False, True, False]
    missing = claims(line, (30.0,), (2.0, 4.0))
    assert not any(c.held for c in missing)


def one_after_the_other(work, tasks, jobs, watch, ended):
    """The runs of a comparison in this process, for others take seconds to start."""
    return {name: work(*task, queue.Queue()) for name, task in tasks.items()}, {}


def test_a_tiny_run_writes_what_it_claims_and_goes_on_from_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    found = TINY.run(tmp_path)
    plain = json.loads((tmp_path / RESULT).read_text("utf-8"))
    assert len(plain["claims"]) == len(found) == 6 and [r["arm"] for r in plain["runs"]] == list(TINY.arms)
    assert {"factor_vae_score", "total_correlation", "disentanglement", "told_of_x"} <= plain["runs"][0].keys()
    assert plain["runs"][0]["images"] == 50 and 0 <= plain["runs"][2]["discriminator_accuracy"] <= 1
    assert all(path.stat().st_size < 200_000 for path in TINY.figures(tmp_path))
    before = (tmp_path / RESULT).read_bytes()
    TINY.run(tmp_path)
    assert (tmp_path / RESULT).read_bytes() == before


def test_the_papers_sizes_are_plain_data_and_impossible_settings_are_refused(tmp_path):
    full = Kim2018Factor.full()
    assert full.steps == 300_000 and full.data.sizes["orientation"] == 40
    assert from_plain(Kim2018Factor, to_plain(full)) == full
    for settings, complaint in (
        ({"dim": 1}, "dim is 1, wanted at least 2"),
        ({"betas": (1.0,)}, "wanted rising numbers above 1"),
        ({"gammas": (30.0, 10.0)}, "wanted rising numbers above 0"),
    ):
        with pytest.raises(ValueError, match=complaint):
            Kim2018Factor(**settings)
    with pytest.raises(ValueError, match="no known factors"):
        Kim2018Factor(data=LinearGaussianData(n=50)).run(tmp_path)
