"""Three models that collapse, each for another reason: trained, diagnosed, and trained anew as the verdict advises.

Nothing is staged: each is a model as people write it, trained until its rate has settled. What is tried is what the
verdict advises and fits the recipe, with default settings, one after the other, until one cures
(:func:`buttress.experiments.cures.judged`) or :data:`MOST` are tried. Those that do not cure are shown too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from buttress.algorithms.joint import Joint
from buttress.baseline import baseline
from buttress.core import Data, remedy
from buttress.core.recipe import Recipe
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.data.python_docs import PythonDocs
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.diagnostics.evidence import Evidence
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.experiments.cures import NOT_CURED, Outcome, judged
from buttress.experiments.one_run import run_one
from buttress.experiments.pool import News, run_all
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.uniform import Uniform
from buttress.runtime.atomic_write import write_text

__all__ = ["Collapse", "collapses", "run_collapses", "treat"]

EFFORT = {"nll_samples": 20, "nll_examples": 100, "gap_steps": 40, "gap_examples": 50, "mi_examples": 1000, "seed": 0}
"""Of every diagnosis: less than usual, so that all is seen within minutes."""
MOST = 4
"""Remedies that are tried on one model, at most."""
FOUND = "demo.json"
"""In the folder: the models in order, with the runs of each."""


@dataclass(frozen=True)
class Collapse:
    """A model that collapses.

    Args:
        title: What it is, in a few words.
        about: How it is made, and where such models are met.
        recipe: How it is trained.
    """

    title: str
    about: str
    recipe: Recipe


def collapses() -> dict[str, Collapse]:
    """The three models by name; with two jobs the sentences, which take longest, run beside the others.

    Example:
        What ``buttress demo`` does with them::

            run_collapses(Path("runs/demo"), collapses(), jobs=2)
    """
    return {"digits": digits(), "sentences": sentences(), "codes": codes()}


def digits() -> Collapse:
    """A squared error averaged over pixels beside a summed KL."""
    data = Mnist5k()
    pixels = 28 * 28
    recipe = replace(
        _start(data, steps=1500, rate=1e-3),
        encoder=MlpEncoder(hidden=(256,)),
        decoder=MlpDecoder(hidden=(256,)),
        posterior=GaussianPosterior(16),
        likelihood=GaussianLikelihood(learned="fixed", variance=pixels / 2),
    )
    about = (
        "A VAE as it is often written: loss = F.mse_loss(recon, x) + KL, on 5,000 handwritten digits. mse_loss "
        f"averages over the {pixels} pixels and the KL is a sum, so the loss is that of a Gaussian whose variance is "
        f"{pixels // 2}."
    )
    return Collapse("A squared error that was averaged", about, recipe)


def sentences() -> Collapse:
    """An LSTM that predicts each word from those before it."""
    recipe = replace(
        _start(PythonDocs(), steps=1000, rate=4e-3),
        encoder=RecurrentEncoder(embedding=64, hidden=64),
        decoder=RecurrentDecoder(embedding=64, hidden=96),
        posterior=GaussianPosterior(16),
    )
    about = (
        "The sentence VAE of Bowman et al. (2016), small: LSTMs on sentences of Python's own documentation. The "
        "decoder learns to predict each word from the words before it sooner than the encoder learns to say anything."
    )
    return Collapse("A decoder that does without z", about, recipe)


def codes() -> Collapse:
    """A codebook of random numbers, learned by gradient, as in the first VQ-VAE."""
    recipe = replace(
        _start(Mnist5k(), steps=600, rate=2e-3),
        encoder=ConvEncoder(widths=(32, 64), blocks=0, spatial=True),
        posterior=VectorQuantized(codes=64, dim=16, learning="gradient", start="random", revive=10**9),
        prior=Uniform(),
        algorithm=Joint(),
    )
    about = (
        "A VQ-VAE on the digits, as van den Oord et al. (2017) describe it: 64 codewords that start at random and "
        "learn by gradient. A codeword that nothing is near to is never chosen, so it never moves."
    )
    return Collapse("A codebook that dies", about, recipe)


def _start(data: Data, steps: int, rate: float) -> Recipe:
    start = baseline(data, opened(data).spec)
    training = replace(
        start.training,
        steps=steps,
        batch_size=64,
        learning_rate=rate,
        validate_every=max(1, steps // 10),
        checkpoint_every=max(1, steps // 4),
    )
    return replace(start, training=training)


def treat(name: str, recipe_yaml: str, folder: str, news: News) -> float:
    """Train and diagnose one model, then as its verdict advises, in this process; seconds of training.

    Args:
        name: Of the model; its runs lie in the folder of this name.
        recipe_yaml: What to train.
        folder: Holds all models.
        news: Hears (run, step, total).
    """
    recipe, seconds = Recipe.from_yaml(recipe_yaml, name), 0.0
    seconds += run_one(recipe_yaml, folder, f"{name}/none", EFFORT, None, news)
    for arm in _advised(Path(folder) / name, recipe):
        changed = remedy.apply(arm, recipe)
        seconds += run_one(changed.to_yaml(), folder, f"{name}/{arm}", EFFORT, None, news)
        if _cured(Path(folder) / name, recipe, arm) != NOT_CURED:
            break
    return seconds


def _advised(folder: Path, recipe: Recipe) -> tuple[str, ...]:
    verdict = Evidence.load(folder / "none" / "evidence.json").verdict
    return remedy.fitting(verdict.advice, recipe)[:MOST]


def _cured(folder: Path, recipe: Recipe, arm: str) -> str:
    """Whether a remedy cured a model, as :func:`judged` says it."""
    before, after = (Evidence.load(folder / run / "evidence.json") for run in ("none", arm))
    holds = [one.remedies_for or one.cause for one in before.verdict.findings if one.holds]
    of_model = (folder.name, holds[0] if holds else "", recipe.training.seed, recipe.training.steps)
    name, cause, seed, steps = of_model
    outcomes = (Outcome(name, cause, run, seed, steps, one) for run, one in (("none", before), (arm, after)))
    return judged(*outcomes)[0]


def run_collapses(
    folder: Path,
    models: Mapping[str, Collapse],
    jobs: int = 1,
    watch: Callable[[str, int, int], None] = lambda run, step, total: None,
    ended: Callable[[str, str], None] = lambda run, outcome: None,
) -> None:
    """Treat all models and write what came of them to ``demo.json``; what is finished in the folder is kept.

    Args:
        folder: Where the runs go.
        models: By name.
        jobs: Models at a time.
        watch: Called with (run, step, total) as runs proceed.
        ended: Called with (model, outcome in words) as each ends.

    Errors:
        ValueError: A model could not be trained or measured.
    """
    tasks = {name: (name, one.recipe.to_yaml(), str(folder)) for name, one in models.items()}
    _, failed = run_all(treat, tasks, jobs, watch, ended)
    if failed:
        raise ValueError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    told = [_told(folder / name, one) for name, one in models.items()]
    write_text(folder / FOUND, json.dumps({"format": 1, "models": told}, indent=1, ensure_ascii=False) + "\n")


def _told(folder: Path, model: Collapse) -> dict[str, object]:
    """What ``demo.json`` holds of one model: words, and its runs up to the first that cures."""
    tried: list[dict[str, str]] = []
    for arm in _advised(folder, model.recipe):
        if (folder / arm / "evidence.json").exists() and (not tried or tried[-1]["cured"] == NOT_CURED):
            tried.append({"remedy": arm, "cured": _cured(folder, model.recipe, arm)})
    return {"name": folder.name, "title": model.title, "about": model.about, "tried": tried}
