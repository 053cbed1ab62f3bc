"""What a page announces in words, and the commands that it offers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Verdict
from buttress.report.advice import commands, notices
from buttress.report.results import MetricsTable, RunResult
from buttress.report.run import save_report

from . import made_up
from .test_run_report import read


def trained(nelbo: list[float], split: str = "held_out", steps: int = 100) -> RunResult:
    """A run whose −ELBO took these values at equal distances."""
    x = np.linspace(steps / len(nelbo), steps, len(nelbo))
    return RunResult(Path("runs/first"), metrics=MetricsTable({(split, "elbo"): (x, -np.array(nelbo, dtype=float))}))


def measured(
    gap: float, rate: float, prior: str = "standard_normal", at_ceiling: bool = False, **more: Any
) -> RunResult:
    """A run with a KL(q(z) ‖ p(z)) of a rate."""
    evidence = made_up.evidence(rate=rate)
    information = Estimate(6.9 if at_ceiling else rate - gap, 0.01, 1000, "", 6.91)
    numbers = {"aggregate_kl": Estimate(gap, 0.1, 1000, ""), "mutual_information": information}
    numbers |= {name: Estimate(value, None, 1000, "") for name, value in more.items()}
    estimates = {**evidence.estimates, **numbers}
    recipe = {**made_up.recipe([]), "prior": {"name": prior}}
    return RunResult(Path("runs/first"), recipe=recipe, evidence=replace(evidence, estimates=estimates))


@pytest.mark.parametrize("split", ["held_out", "train"])
def test_a_bound_that_still_falls_is_announced(split: str) -> None:
    (notice,) = notices(trained([150, 130, 120, 114, 110, 107, 105, 103.5, 102, 100.5], split))
    assert "Not converged: −ELBO still fell by 3.00 nats over the last 20% of training" in notice.text
    assert notice.flags == ("--training.steps", "200")


@pytest.mark.parametrize(
    "nelbo",
    [
        [150, 120, 110, 105, 103, 102, 101.9, 101.8, 101.7, 101.6],  # less than half a percent
        [4001, 4000, 3999, 3998, 3997, 3996, 3995, 3994, 3993, 3992],  # of much larger examples
        [0.9, 0.6, 0.5, 0.45, 0.42, 0.4, 0.39, 0.38, 0.37, 0.36],  # of a density near 1
        [150, 102],
        [100],
    ],
)
def test_a_bound_that_has_settled_or_was_hardly_seen_is_not(nelbo: list[float]) -> None:
    assert notices(trained(nelbo)) == []


def test_two_training_points_are_enough_to_see_a_fall() -> None:
    (notice,) = notices(trained([203.0, 196.0], "train", 60))
    assert "fell by 2.80 nats" in notice.text


def test_overfitting_names_the_best_step() -> None:
    (notice,) = notices(trained([120, 105, 100, 101, 102, 103, 104, 105, 106, 107]))
    assert "rose by 7.00 nats after step 30: the model overfits" in notice.text
    assert notice.flags == ("--training.steps", "30")


def test_a_prior_far_from_the_aggregate_posterior_is_announced() -> None:
    (notice,) = notices(measured(11.0, 16.0))
    assert notice.text.startswith("KL(q(z)‖p(z)) is 11.00 of a rate of 16.00 nats") and "will look worse" in notice.text
    assert notice.flags == ("--remedies", "flow_prior")
    (notice,) = notices(measured(11.0, 18.0, at_ceiling=True))
    assert "at most 11.00 of a rate of 18.00" in notice.text and "If samples look worse" in notice.text
    (notice,) = notices(measured(11.0, 16.0, "flow"))
    assert notice.flags == ()
    assert notices(measured(1.5, 16.0)) == [] == notices(measured(1.5, 2.0))


def test_codes_under_a_uniform_prior_have_other_advice() -> None:
    (notice,) = notices(measured(11.0, 16.0, "uniform", rate_uniform=16.0))
    assert "The prior over codes is uniform" in notice.text and not notice.flags
    assert notices(measured(11.0, 16.0, "pixelcnn", rate_uniform=20.0)) == []


def advised(run: RunResult, *advice: str) -> RunResult:
    assert run.evidence is not None
    return replace(run, evidence=replace(run.evidence, verdict=Verdict("collapsed", None, (), advice)))


def test_a_command_names_the_run_and_a_new_folder() -> None:
    run = advised(measured(0.0, 0.02), "free_bits", "local_decoder")
    assert commands(run) == [
        "buttress train --from runs/first --remedies free_bits --out runs/first-free_bits",
        "buttress train --from runs/first --remedies local_decoder --out runs/first-local_decoder",
    ]
    assert commands(replace(run, folder=Path("my runs/a")))[0].startswith(
        "buttress train --from 'my runs/a' --remedies"
    )


def test_what_was_tried_is_not_advised_again() -> None:
    run = advised(measured(0.0, 0.02), "free_bits:per_group=0.5", "local_decoder")
    tried = replace(run, recipe={**run.recipe, "remedies": ["free_bits:per_group=1"]})
    assert ["local_decoder" in line for line in commands(tried)] == [True]
    assert commands(replace(run, recipe={})) == []


def test_a_model_of_ones_own_has_a_page(tmp_path: Path) -> None:
    images = made_up.digits(6)
    given = {"samples": images, "originals": images, "reconstructions": 1 - images}
    page, text = read(save_report(made_up.evidence(), tmp_path / "page.html", "my <faces>", **given))
    assert "my <faces>" in text and "Latent groups after training" in text and "95.40 ± 0.62 nats" in text
    assert page.count("data:image/png") == 12 and "pre class" not in page
    assert not any(word in text for word in ("recipe.yaml", "Recipe", "metrics.csv", "no saved examples"))
    with pytest.raises(ValueError, match="with 4 dimensions"):
        save_report(made_up.evidence(), tmp_path / "page.html", samples=images[0])
