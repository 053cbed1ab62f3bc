"""The trial of Baevski et al. 2019: a tiny one runs from end to end, is taken up again, and draws its figure."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from queue import Queue

import pytest

from buttress.core import remedy
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.made_speech import MadeSpeech
from buttress.experiments import compare
from buttress.experiments.papers import baevski2019
from buttress.experiments.papers.baevski2019 import ARMS, Baevski2019

TINY = Baevski2019(
    data=MadeSpeech(train=24, held_out=12, phones=5, speakers=2, bands=6, spoken=6, words=3),
    codes=4,
    dim=2,
    width=6,
    negatives=3,
    steps=20,
    batch_size=8,
    masked_steps=3,
    seeds=1,
)


def one_after_the_other(run, tasks, jobs, watch, ended):
    """In this process, which is faster than starting others."""
    return {name: run(*task, Queue()) for name, task in tasks.items()}, {}


@pytest.mark.slow
def test_a_tiny_trial_runs_is_taken_up_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    found = TINY.run(tmp_path)
    assert len(found) == 12 and all(math.isfinite(claim.median) for claim in found)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [run["arm"] for run in result["runs"]] == list(ARMS)
    for run in result["runs"]:
        assert run["nominal_bits_per_second"] == pytest.approx(400) and len(run["accuracy"]) == 4
        assert all(0 <= run[name] <= 1 for name in ("accuracy_first", "used", "histogram", "masked"))
        assert run["accuracy_falls"] <= (run["accuracy"][0] - run["accuracy"][-1]) / 3 + 1e-6
    assert 0 <= result["runs"][0]["untrained"] <= 1
    monkeypatch.setattr(baevski2019, "judge", None)  # nothing is judged twice
    assert TINY.run(tmp_path) == found
    (picture,) = TINY.figures(tmp_path)
    assert picture.stat().st_size > 5000


def test_codewords_of_every_arm_are_revived_after_the_same_steps():
    recipe = TINY.recipe()
    arms = {arm: remedy.apply(written, recipe).posterior for arm, written in replace(TINY, revive=7).arms.items()}
    assert arms["kmeans"].revive == arms["flat"].revive == 7 and not hasattr(arms["gumbel"], "revive")


def test_data_of_which_nothing_is_known_are_refused():
    with pytest.raises(ValueError, match="got table data with the label 'word', wanted sound"):
        replace(TINY, data=LinearGaussianData(n=50)).recipe()
    with pytest.raises(ValueError, match=r"baevski2019: ahead is 1, wanted at least 2"):
        replace(TINY, ahead=1)
    with pytest.raises(ValueError, match=r"baevski2019: revive is 0, wanted at least 1"):
        replace(TINY, revive=0)
    with pytest.raises(ValueError, match="no condition 'digit'"):
        replace(TINY, label="digit").recipe()
