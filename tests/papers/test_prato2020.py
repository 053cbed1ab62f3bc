"""The trial of Prato et al. 2020: a tiny one runs from end to end, is taken up again, and draws its figure."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.made_translations import MadeTranslations
from buttress.experiments.papers import prato2020
from buttress.experiments.papers.prato2020 import Prato2020

TINY = Prato2020(
    data=MadeTranslations(train=60, held_out=20, words=5, shortest=2, longest=4),
    hidden=8, layers=1, heads=2, steps=4, quantize_after=2, batch_size=8, judged=15, seeds=1,
)  # fmt: skip


@pytest.mark.slow
def test_a_tiny_trial_runs_is_taken_up_and_draws(tmp_path, monkeypatch):
    found = TINY.run(tmp_path)
    assert len(found) == 4
    runs = json.loads((tmp_path / "result.json").read_text())["runs"]
    trained, after = ([f"{kind}_{bits}" for bits in (8, 6, 4)] for kind in ("trained", "after"))
    assert [run["arm"] for run in runs] == ["whole", *trained, *after]
    of = {run["arm"]: run for run in runs}
    assert of["whole"]["bytes"] > of["after_8"]["bytes"] == of["trained_8"]["bytes"] > of["trained_4"]["bytes"]
    assert all(0 <= run["sentences"] <= 100 and 0 <= run["tokens"] <= 100 and run["elbo"] < 0 for run in runs)
    assert math.isclose(found[0].seen[0], of["trained_8"]["tokens"] - of["whole"]["tokens"], abs_tol=1e-9)
    assert len({run["elbo"] for run in runs}) == 7, "every arm is another model"
    monkeypatch.setattr(prato2020, "judge", None)  # nothing is judged twice
    monkeypatch.setattr(prato2020, "quantize_run", None)  # nor rounded
    assert TINY.run(tmp_path) == found  # nor trained: what is finished stays
    (picture,) = TINY.figures(tmp_path)
    assert picture.stat().st_size > 5000


@pytest.mark.slow
def test_two_trainings_at_a_time_give_what_one_after_the_other_gives(tmp_path):
    both = replace(TINY, trained=(8, 6), steps=3)
    assert both.run(tmp_path / "two", jobs=2) == both.run(tmp_path / "one")


def test_what_cannot_be_tried_is_refused():
    with pytest.raises(ValueError, match="linear_gaussian data have no source sentence"):
        replace(TINY, data=LinearGaussianData(n=50)).recipe()
    with pytest.raises(ValueError, match=r"after is \(8, 4\), wanted 6 too"):
        replace(TINY, after=(8, 4))
    with pytest.raises(ValueError, match="quantize_after is 4, wanted at least 0 and below steps 4"):
        replace(TINY, quantize_after=4)
