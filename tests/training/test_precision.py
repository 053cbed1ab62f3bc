"""The precision that ``auto`` chooses: measured once, recorded, and the same for all runs of a comparison."""

import json
from dataclasses import replace

import pytest
import small

from buttress.core.recipe import Recipe
from buttress.experiments import compare as comparing
from buttress.training import course, precision
from buttress.training.precision import Timing, chosen, timed
from buttress.training.run import train


def auto(**settings):
    recipe = small.joint(**settings)
    return replace(recipe, training=replace(recipe.training, precision="auto"))


def always(wanted, calls):
    """A choice that does not hang on the machine."""

    def choose(recipe, splits):
        if recipe.training.precision != "auto":
            return recipe, ""
        calls.append(recipe)
        return replace(recipe, training=replace(recipe.training, precision=wanted)), f"precision {wanted}"

    return choose


@pytest.mark.parametrize(
    ("timing", "wanted"),
    [
        (Timing(0.2, 0.1, 0.001), "bf16-mixed"),
        (Timing(0.2, 0.19, 0.001), "32-true"),  # within what timings differ by
        (Timing(0.2, 0.1, 0.03), "32-true"),  # another loss
        (Timing(0.2, 0.1, float("nan")), "32-true"),
        (Timing(0.1, 0.2, 0.0), "32-true"),
    ],
)
def test_the_faster_precision_is_taken_where_the_loss_is_the_same(timing, wanted):
    assert timing.precision == wanted
    assert wanted in str(timing)


def test_both_precisions_are_timed_on_the_same_batch_and_noise():
    recipe = auto()
    found = timed(recipe, recipe.data.open())
    assert found.whole > 0 and found.mixed > 0
    assert 0 <= found.apart < precision.SAME  # not the noise of two draws, which moves the loss by more


def test_mixed_precision_that_breaks_the_loss_is_refused(monkeypatch):
    monkeypatch.setattr(precision, "_pass", lambda recipe, model, batch, mixed: (0.1, float("nan") if mixed else 1.0))
    recipe, said = chosen(auto(), auto().data.open())
    assert recipe.training.precision == "32-true"
    assert "nan" in said


@pytest.mark.parametrize("wanted", ["32-true", "bf16-mixed"])
def test_a_run_records_its_choice_and_keeps_it(tmp_path, monkeypatch, wanted):
    calls = []
    monkeypatch.setattr(course, "chosen", always(wanted, calls))
    run = train(auto(), tmp_path / "run", progress=False)
    assert run.recipe.training.precision == wanted
    assert Recipe.load(tmp_path / "run" / "recipe.yaml").training.precision == wanted
    longer = replace(auto(), training=replace(auto().training, steps=auto().training.steps + 2))
    again = train(longer, tmp_path / "run", resume=True, progress=False)
    assert again.recipe.training.precision == wanted
    assert len(calls) == 1


def test_all_runs_of_a_comparison_have_one_precision(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(comparing, "chosen", always("bf16-mixed", calls))
    effort = {"nll_samples": 0, "gap_steps": 0, "mi_examples": 50}
    for seeds in (1, 2):
        comparing.compare(auto(), ["none", "free_bits"], tmp_path / "c", seeds=seeds, settings=effort)
    recipes = [Recipe.load(path).training.precision for path in (tmp_path / "c").glob("*/*/recipe.yaml")]
    assert recipes == ["bf16-mixed"] * 4
    assert len(calls) == 1
    assert len(json.loads((tmp_path / "c" / "comparison.json").read_text())["arms"]) == 2
