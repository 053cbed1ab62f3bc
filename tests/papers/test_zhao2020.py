"""The trial of Zhao et al. 2020: a tiny one runs from end to end, is taken up again, and draws its figures."""

from __future__ import annotations

import json
import math
from queue import Queue

import pytest
import torch

from buttress.data.made_reviews import MadeReviews
from buttress.experiments import compare
from buttress.experiments.papers import _zhao2020_judge as judging
from buttress.experiments.papers import zhao2020
from buttress.experiments.papers._zhao2020_judge import use_of_codes
from buttress.experiments.papers.zhao2020 import SIZES, Zhao2020, claims

TINY = Zhao2020(
    data=MadeReviews(train=300, held_out=60),
    embedding=8,
    hidden=8,
    latents=2,
    dim=4,
    steps=15,
    learning_rate=1e-3,
    judged=8,
    seeds=1,
)


def one_after_the_other(run, tasks, jobs, watch, ended):
    """In this process, which is faster than starting others."""
    return {name: run(*task, Queue()) for name, task in tasks.items()}, {}


@pytest.mark.slow
def test_a_tiny_trial_runs_is_taken_up_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    monkeypatch.setattr(zhao2020, "SIZES", {"main": (2, 16)})
    monkeypatch.setattr(zhao2020, "claims", lambda runs: [])
    assert TINY.run(tmp_path) == []
    runs = json.loads((tmp_path / "result.json").read_text())["runs"]
    assert [run["arm"] for run in runs] == ["plain", "main"]
    assert {name for name in zhao2020.NUMBERS if not math.isfinite(runs[1][name])} == set()
    assert 1 <= runs[1]["perplexity"] <= 16 and runs[1]["rate"] > 0 and "random_bleu" in runs[1]
    assert "perplexity" not in runs[0] and 0 <= runs[0]["bleu_greedy"] <= 100
    monkeypatch.setattr(judging, "rewrite", None)  # nothing is judged twice
    assert TINY.run(tmp_path) == []
    assert json.loads((tmp_path / "result.json").read_text())["runs"] == runs
    for path in TINY.figures(tmp_path):
        assert path.stat().st_size > 5000


def test_what_needs_labels_is_no_claim_without_them():
    nats = {"plain": 42.0, "main": 36.0, "one chunk": 41.0, "few atoms": 38.0, "many atoms": 37.0}
    runs = [{"arm": arm, "seed": 0, "distortion": d, "rate": 30.0} for arm, d in nats.items()]
    found = {claim.says: claim for claim in claims(runs)}
    assert not found["rewritten sentences taken for the new label"].held
    assert found["nats that the learned prior saves, of M log K"].median == pytest.approx(8 * math.log(64) - 30)
    assert [c.held for says, c in found.items() if says.startswith("reconstruction")] == [True, True, True, False]


def test_arms_differ_in_chunks_and_atoms_alone():
    assert set(TINY.arms) == {"plain", *SIZES}
    assert {arm.replace(f"chunks={m}", "").replace(f"codes={k}", "") for (m, k), arm in zip(
        SIZES.values(), list(TINY.arms.values())[1:], strict=True
    )} == {"discretized_bottleneck:::dim=4:first=0.8"}  # fmt: skip


def test_the_use_of_one_codebook_is_counted_over_all_positions():
    """Two positions that use two codes each, one in common: three codes, of 1/4, 1/2 and 1/4."""
    use = use_of_codes(torch.tensor([[0, 1], [1, 2]] * 10), codes=5)
    assert use["perplexity"] == pytest.approx(math.exp(1.5 * math.log(2)))
    assert use["perplexity_of_positions"] == pytest.approx(2) and use["fewest_codes"] == 2
