"""The trial of van Niekerk et al. 2020: a tiny one runs from end to end, is taken up again, and draws its figure."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from queue import Queue

import pytest

from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.made_speech import MadeSpeech
from buttress.experiments import compare
from buttress.experiments.papers import niekerk2020
from buttress.experiments.papers.niekerk2020 import ARMS, Niekerk2020

TINY = Niekerk2020(
    data=MadeSpeech(train=24, held_out=12, phones=5, speakers=2, bands=6, spoken=6),
    codes=6,
    dim=4,
    width=6,
    negatives=3,
    steps=10,
    batch_size=8,
    most=3,
    seeds=1,
)


def one_after_the_other(run, tasks, jobs, watch, ended):
    """In this process, which is faster than starting others."""
    return {name: run(*task, Queue()) for name, task in tasks.items()}, {}


@pytest.mark.slow
def test_a_tiny_trial_runs_is_taken_up_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    found = TINY.run(tmp_path)
    assert len(found) == 10 and all(math.isfinite(claim.median) for claim in found)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [run["arm"] for run in result["runs"]] == list(ARMS) and 0 <= result["frames"]["across"] <= 1
    for run in result["runs"]:
        assert run["code_bits_per_second"] <= 1.05 * 50 * math.log2(6)
        assert all(
            0 <= run[f"{name}_{what}"] <= 1 for name in ("vectors", "codewords") for what in ("speaker", "phone")
        )
    monkeypatch.setattr(niekerk2020, "judge", None)  # nothing is judged twice
    assert TINY.run(tmp_path) == found
    (picture,) = TINY.figures(tmp_path)
    assert picture.stat().st_size > 5000


def test_data_that_do_not_say_what_is_said_are_refused():
    with pytest.raises(ValueError, match="got table data without alignment, wanted frames of speech"):
        replace(TINY, data=LinearGaussianData(n=50)).recipe()
    with pytest.raises(ValueError, match=r"niekerk2020: steps is 4, wanted at least 10"):
        replace(TINY, steps=4)
    with pytest.raises(ValueError, match="no condition 'who'"):
        replace(TINY, speaker="who").recipe()
