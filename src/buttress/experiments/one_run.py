"""One run of several: trained and diagnosed in whatever process it is given to, or taken up where it stopped."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buttress.core.recipe import Recipe
from buttress.experiments.pool import News

if TYPE_CHECKING:
    from buttress.experiments.halving import Halving

__all__ = ["AsBranch", "otherwise", "run_one", "save_by_example"]


@dataclass(frozen=True)
class AsBranch:
    """What a run is told besides where it is a branch, ranked with others.

    Args:
        init: The folder of a run whose weights it begins with; empty for new ones.
        halving: What may end it early; None for nothing.
    """

    init: str = ""
    halving: Halving | None = None


def run_one(
    recipe_yaml: str,
    folder: str,
    name: str,
    settings: Mapping[str, Any],
    branch: AsBranch | None,
    news: News,
) -> float:
    """Train and diagnose one run in this process, or take up what is there.

    Args:
        recipe_yaml: What to train.
        folder: Holds all runs.
        name: The folder of this one, inside.
        settings: Of its diagnosis.
        branch: What it is told as a branch; None where it is none.
        news: Hears (run, step, total).

    Returns:
        Seconds of training.
    """
    from buttress.experiments.report_examples import save_run_examples
    from buttress.training.callbacks import Callback, ProgressCallback
    from buttress.training.run import Run, train

    recipe, path = Recipe.from_yaml(recipe_yaml, name), Path(folder) / name
    news.put((name, 0, recipe.training.steps))
    outdated = otherwise(path, settings)
    callbacks: list[Callback] = [ProgressCallback(lambda step, total: news.put((name, step, total)))]
    if branch is not None and branch.halving is not None:
        from buttress.experiments.halving import StopEarly

        callbacks.append(StopEarly(branch.halving))
    more: dict[str, Any] = {"init": branch.init} if branch is not None and branch.init else {}
    run: Run = train(recipe, path, resume=True, progress=False, callbacks=callbacks, **more)
    if outdated or not (path / "evidence.json").exists():
        if branch is not None:
            seed = settings["seed"]
            save_by_example(path, run.evaluation_model(seed), run.held_out(seed), settings)
        run.diagnose(**settings)
        outdated = "measured now"
    if outdated or (run.model.density and not any(path.glob("examples.*"))):  # none where the disk was full then
        save_run_examples(run)
    news.put((name, recipe.training.steps, recipe.training.steps))
    return run.seconds


def save_by_example(folder: Path, model: Any, batches: Any, settings: Mapping[str, Any]) -> None:
    """Keep −ELBO and NLL of each of some held-out examples, the same ones for all models measured with one seed.

    Args:
        folder: Of the run.
        model: Keeps the protocol of the diagnostics.
        batches: Held-out data.
        settings: Of the diagnosis: how many samples and examples, and the seed.
    """
    import numpy as np

    from buttress.diagnostics.estimators.marginal_likelihood import likelihoods
    from buttress.report.ranking import BY_EXAMPLE
    from buttress.runtime.atomic_write import replace_file

    samples, examples = max(1, settings["nll_samples"]), settings["nll_examples"]
    found = likelihoods(model, batches, samples=samples, examples=examples, seed=settings["seed"])
    assert found.elbo is not None
    nll, elbo = found.nll.numpy(), -found.elbo.numpy()

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, nll=nll, elbo=elbo)

    replace_file(folder / BY_EXAMPLE, write)


def otherwise(run: Path, settings: Mapping[str, Any]) -> str:
    """Why the evidence of a run is not what was asked for; empty where it is, and where there is none.

    Args:
        run: Its folder.
        settings: Of the diagnosis that is asked for.

    Example:
        >>> otherwise(Path("no/such/run"), {})
        ''
    """
    from buttress.diagnostics.diagnose import LEAST, diagnose
    from buttress.diagnostics.evidence import Evidence

    if not (path := run / "evidence.json").is_file():
        return ""
    try:
        had = Evidence.load(path).settings
    except ValueError as error:
        return f"evidence.json was not readable ({error})"
    if _early(run, had):
        return "it had been measured before training was over"
    usual = {name: parameter.default for name, parameter in inspect.signature(diagnose).parameters.items()}
    asked = {name: settings.get(name, usual[name]) for name in (*LEAST, "seed")}
    return ", ".join(f"{name} was {had.get(name)}" for name, value in asked.items() if had.get(name) != value)


def _early(run: Path, measured: Mapping[str, Any]) -> bool:
    """Whether weights were still to change when this was measured. Of a finished run, earlier versions don't tell."""
    from buttress.training.progress import Progress

    try:
        done = Progress.read(run)
    except ValueError:  # training says what is wrong with it
        return True
    return not done.finished or measured.get("step", done.step) != done.step
