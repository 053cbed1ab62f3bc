"""The two trials of the whole catalogue: every arm fits, cheap ones go first, and a run says how long it was."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from buttress.core import remedy
from buttress.data.lstm_text import LstmText
from buttress.experiments.papers._catalogue import Arms, claims
from buttress.experiments.papers.image_remedies import ImageRemedies
from buttress.experiments.papers.sentence_remedies import SentenceRemedies

SMALL = {"hidden": 8, "words": 20, "length": 4, "train": 200, "held_out": 40, "test": 10}
TINY = {"data": LstmText(**SMALL), "embedding": 4, "hidden": 4, "latents": 2, "batch_size": 10, "seeds": 1}
TRIALS = (SentenceRemedies(data=LstmText(**SMALL)), ImageRemedies())


@pytest.mark.parametrize("trial", TRIALS, ids=("sentences", "images"))
def test_every_arm_fits_the_model_and_ends_its_schedules_in_time(trial):
    recipe = trial.recipe()
    for name, written in trial.arms.all.items():
        changed = remedy.apply(written, recipe)
        changed.check()
        assert (changed == recipe) == (name == "none")


def test_floors_and_targets_are_the_same_number_of_nats():
    sentences, images = (trial.arms.cheap for trial in TRIALS)
    assert math.prod((0.25, SentenceRemedies().latents)) == 4
    assert "per_group=0.25" in sentences["free bits"]
    assert {sentences[name].rpartition("=")[2] for name in ("pretraining and floor", "target rate")} == {"4"}
    assert math.prod((0.5, ImageRemedies().latents)) == 8
    assert "per_group=0.5" in images["free bits"]
    assert {images[name].rpartition("=")[2] for name in ("VLAE", "target rate")} == {"8"}


def test_a_trial_measures_every_arm_and_counts_its_steps(tmp_path, monkeypatch):
    few = Arms(cheap={"none": "none"}, dear={"aggressive": "aggressive:max_inner=3"})
    monkeypatch.setattr(SentenceRemedies, "arms", few)
    trial = SentenceRemedies(
        data=LstmText(**SMALL), embedding=4, hidden=4, latents=2, steps=50, validate_every=50, batch_size=10, seeds=1
    )
    found = trial.run(tmp_path / "trial")
    assert [one.says.partition(":")[0] for one in found[:2]] == ["none", "aggressive"]
    stored = json.loads((tmp_path / "trial" / "result.json").read_text("utf-8"))
    runs = {run["arm"]: run for run in stored["runs"]}
    assert list(runs) == list(few.all.values())
    assert all(run["steps"] == run["best_step"] == 50 and run["nll"] is not None for run in runs.values())
    assert "inner_steps" not in runs["none"]
    assert runs["aggressive:max_inner=3"]["inner_steps"] == 150
    assert [path.name for path in trial.figures(tmp_path / "trial")] == ["arms.png"]


def test_a_run_that_broke_off_leaves_its_claim_without_a_number():
    arms = {"none": "none", "delta-VAE": "delta_vae"}
    plain = {"arm": "none", "seed": 0, "nll": 40.0, "mutual_information": 0.0, "worth_shuffled": 0.0}
    found = claims([plain, {"arm": "delta_vae", "seed": 0, "broke_off": "step 3: mu became NaN"}], arms)
    assert [one.held for one in found] == [True, False, False]
    assert (found[1].missing, found[2].missing) == ("the run broke off", "z is in use in no arm")


def test_a_trial_in_pieces_is_the_whole_trial(tmp_path, monkeypatch):
    few = Arms(cheap={"none": "none", "annealing": "kl_annealing"}, dear={"aggressive": "aggressive:max_inner=3"})
    monkeypatch.setattr(SentenceRemedies, "arms", few)
    trial = SentenceRemedies(
        data=LstmText(**SMALL), embedding=4, hidden=4, latents=2, steps=20, validate_every=20, batch_size=10, seeds=1
    )
    first = replace(trial, only=("annealing",)).run(tmp_path / "trial")
    assert [one.missing for one in first[:3]] == ["", "", "it was not run"]
    whole = replace(trial, only=("aggressive",)).run(tmp_path / "trial")
    assert not any(one.missing for one in whole[:3])
    assert whole[1].seen == first[1].seen


def test_an_arm_that_there_is_not_is_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match=r"no arm 'agressive'; did you mean 'aggressive'\? There are none, annealing"):
        SentenceRemedies(only=("agressive",))
