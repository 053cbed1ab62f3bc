"""A rescue of somebody's own model: their training function is called with remedies that act on its loss from outside.

Everything happens in this process, one branch after another, since a function of the user's own can't travel. A branch
is the unit: a search that was interrupted keeps the branches that are finished, and one that raises loses itself alone.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from buttress.diagnostics.adapters import adapted
from buttress.diagnostics.adapters.loaders import as_tensor
from buttress.diagnostics.check import check
from buttress.diagnostics.check_data import check_batches
from buttress.diagnostics.diagnose import check_effort, diagnose
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import conditional
from buttress.diagnostics.verdict import COLLAPSED, PARTLY, UNKNOWN
from buttress.experiments.branches import (
    EFFORT,
    UNTOUCHED,
    Watch,
    all_failed,
    budget_in_words,
    entry,
    refuse_run,
    write_branches,
)
from buttress.experiments.one_run import save_by_example
from buttress.experiments.outside import OUTSIDE, TrainingWishes, lines_of
from buttress.experiments.own_code import identity
from buttress.experiments.pool import News, run_here
from buttress.experiments.rescue import Rescue, healthy
from buttress.report.comparison import write_comparison
from buttress.report.ranking import UNCHANGED, Ranking, rank_folder, save_ranking
from buttress.runtime.arguments import check_number, check_type, check_whole
from buttress.runtime.atomic_write import write_text
from buttress.runtime.one_line import one_line
from buttress.runtime.plain_data import load_json
from buttress.runtime.randomness import check_seed, seed_step
from buttress.training import checkpoint
from buttress.training.lock import refuse_file

__all__ = ["Own", "rescue_own"]

FIRST = "first"
"""The folder of the model as it is trained without a remedy: what is to be rescued."""
HELD_OUT = 0.2
"""Share of a tensor of examples, its last ones, that is held out."""
FEWEST = 4
"""Examples of a tensor, two of which are held out, since errors are measured on no fewer."""
NO_STEP = (
    "train(model, loader, settings) changed no weight of the model it was given, wanted one that trains it in place; "
    "see that it calls optimizer.step() on that model's parameters, with a learning rate above 0, and trains no copy"
)
WEIGHTS, ASKED = "weights.safetensors", "branch.json"


@dataclass(frozen=True)
class Own:
    """What a user brings.

    Args:
        make_model: () -> a module whose ``forward(x)`` returns (recon, mu, logvar), untrained.
        train: (model, loader, settings) trains it in place; see
            :class:`buttress.experiments.outside.TrainingWishes`.
        loader: Training data, as ``train`` wants them.
        held_out: What is measured on.
        likelihood: Of the reconstruction, as for a diagnosis.
        variance: sigma^2 of "gaussian".
        steps: Of every branch.
        seed: Of weights and noise.
        made_of: Fingerprints of model and training function, by which branches of others are told.
    """

    make_model: Callable[[], nn.Module]
    train: Callable[[nn.Module, Any, TrainingWishes], Any]
    loader: Any
    held_out: Any
    likelihood: str | None
    variance: float | None
    steps: int
    seed: int = 0
    made_of: Mapping[str, str] = field(default_factory=dict)


def rescue_own(
    make_model: Callable[[], nn.Module],
    data: Any,
    train: Callable[[nn.Module, Any, TrainingWishes], Any],
    out: str | Path = "runs/rescue",
    *,
    held_out: Any = None,
    likelihood: str | None = None,
    variance: float | None = None,
    steps: int = 1000,
    remedies: Sequence[str] = (),
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Rescue:
    """Train somebody's model as it is, and where its z is not in use, under what may bring it into use.

    Args:
        make_model: () -> an untrained module; see :class:`Own`.
        data: A loader, or a tensor of examples, whose last fifth is then held out.
        train: Trains a model in place for ``settings.steps`` steps. Its loss is
            ``settings.distortion(own, recon, x) + settings.rate(kl, step)``.
        out: Folder of the branches.
        held_out: Examples to measure on, where ``data`` is a loader.
        likelihood: Of the reconstruction; see :func:`buttress.diagnostics.diagnose.diagnose`.
        variance: sigma^2 of "gaussian".
        steps: Of every branch.
        remedies: What to try in place of the advice; the names in :data:`buttress.experiments.outside.OUTSIDE`.
        seed: Of weights and noise.
        settings: Of every diagnosis.
        watch: Who hears of it.

    Returns:
        The ranking, and as ``apply`` the lines of code that put the first one's remedy into the loss. Where z is in
        use, or nothing that is advised can act from outside, the reason.

    Errors:
        ValueError: There is nothing to measure on, a remedy can't act from outside, the model can't be measured, or
            ``train`` changes no weight of it.
    """
    check_type("evidence", settings, Mapping, "a dict of settings of the diagnosis", optional=True)
    if twice := {"likelihood", "variance"} & set(settings or ()):
        raise ValueError(f"{min(twice)} came among the settings of the diagnosis; give it to the rescue itself")
    check_number("variance", variance, optional=True)
    variance = None if variance is None else float(variance)
    check_seed(seed)
    effort = {**EFFORT, **(settings or {}), "seed": seed}
    check_effort(effort)
    check_whole("steps", steps)
    if steps < 1:
        raise ValueError(f"steps is {steps}, wanted at least 1")
    if unknown := [name for name in remedies if name not in OUTSIDE]:
        raise ValueError(f"{unknown[0]} can't act from outside; wanted some of {', '.join(OUTSIDE)}")
    refuse_file(Path(out))
    refuse_run(Path(out))
    made_of = identity(_made_twice(make_model, seed), train)
    loader, rest = _parted(data, held_out, seed)
    _refuse_few(rest)
    own, folder = Own(make_model, train, loader, rest, likelihood, variance, int(steps), int(seed), made_of), Path(out)
    watch = Watch() if watch is None else watch
    _refuse_unreadable(own)
    began = time.monotonic()
    try:
        spent = _branch(own, folder, FIRST, UNTOUCHED, False, effort)
    except (RuntimeError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"training your model as it is failed with {type(error).__name__}: {one_line(str(error))[:300]}; try "
            "train(make_model(), loader, settings) alone"
        ) from error
    each = max(spent, time.monotonic() - began)  # with its diagnosis, unless it was there already
    found = Evidence.load(folder / FIRST / "evidence.json")
    if found.verdict.state == UNKNOWN:
        raise ValueError(f"no verdict, so nothing says what to try: {'; '.join(found.verdict.reasons)}")
    if found.verdict.state not in (COLLAPSED, PARTLY) and not remedies:
        return Rescue(folder, healthy(found))
    names, left_out = _advised(found, remedies, own.likelihood)
    if not names:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "it advises nothing"
        why = f"{why}. First see whether the loss is right (bt.lint); or name what to try: remedies={list(OUTSIDE)}"
        return Rescue(folder, f"nothing can be tried ({'; '.join(found.verdict.causes)}): {why}", left_out=left_out)
    plan = {UNTOUCHED: (UNTOUCHED, True)}
    for name in names:
        plan |= {f"{name}@step-{steps}": (name, True), f"{name}@scratch": (name, False)}
    watch.begin(len(plan), budget_in_words(len(plan), own.steps, 1, each))
    arms = _grown(own, folder, plan, effort, watch)
    arms.append(entry(f"{UNTOUCHED}@scratch", FIRST, {FIRST: spent}, {}))
    write_branches(folder, "your model", steps, arms, left_out)
    ranking = rank_folder(folder)
    apply = _lines(ranking, plan, steps)
    save_ranking(folder, ranking, apply=apply, left_out=left_out)
    return Rescue(folder, "", ranking, None, apply, left_out, write_comparison(folder))


def _advised(found: Evidence, remedies: Sequence[str], likelihood: str | None) -> tuple[list[str], dict[str, str]]:
    """What to try, and why other advice is left out."""
    names = list(remedies) or [name for name in found.verdict.advice if name in OUTSIDE]
    left_out = {
        name: "it needs the training of buttress (buttress train), and can't act on a loss from outside"
        for name in found.verdict.advice
        if name not in OUTSIDE and not remedies
    }
    if likelihood not in ("gaussian", "mse") and "calibrated_variance" in names:
        names.remove("calibrated_variance")
        left_out["calibrated_variance"] = f"it is for squared errors, and the likelihood is {likelihood}"
    return names, left_out


def _grown(
    own: Own, folder: Path, plan: Mapping[str, tuple[str, bool]], effort: Mapping[str, Any], watch: Watch
) -> list[dict[str, Any]]:
    """Train and measure every branch; what is written of each."""

    def work(branch: str, news: News) -> float:
        news.put((branch, 0, own.steps))
        taken = _branch(own, folder, branch, *plan[branch], effort)
        news.put((branch, own.steps, own.steps))
        return taken

    seconds, failed = run_here(work, {branch: (branch,) for branch in plan}, watch.step, watch.ended)
    if not seconds:
        raise ValueError(all_failed(failed))
    return [entry(branch, branch, seconds, failed) for branch in plan]


def _parted(data: Any, held_out: Any, seed: int) -> tuple[Any, Any]:
    """What is trained on and what is measured on."""
    if data is None:
        raise ValueError("got no data to train your model on; give a loader or a tensor of examples")
    data, held_out = as_tensor(data), as_tensor(held_out)
    if isinstance(data, Iterator):
        raise ValueError(
            f"data is a {type(data).__name__}, which can be read once, and every branch reads it anew; give a "
            "DataLoader or a list of batches"
        )
    if isinstance(data, Tensor) and data.dim() and len(data) > 1:
        check_batches([data])
    if held_out is not None or not isinstance(data, Tensor):
        if held_out is None:
            raise ValueError("got a loader and nothing to measure on; give held-out examples as held_out")
        return data if not isinstance(data, Tensor) else _loader(data, seed), held_out
    count = len(data) if data.dim() else 0
    if count < FEWEST:
        raise ValueError(f"got {count} examples, wanted at least {FEWEST} to train on some and measure on others")
    cut = count - max(2, round(HELD_OUT * count))
    return _loader(data[:cut], seed), data[cut:]


def _refuse_few(held_out: Any) -> None:
    """Refuse what a diagnosis would refuse once the first model is trained; a loader is left to it."""
    if isinstance(held_out, list | tuple) and all(isinstance(batch, Tensor) and batch.dim() for batch in held_out):
        count = sum(len(batch) for batch in held_out)
    elif isinstance(held_out, Tensor | np.ndarray) and held_out.ndim:
        count = len(held_out)
    else:
        return
    if count < 2:
        raise ValueError(
            f"held_out has {count} example{'s' * (count != 1)}, wanted at least 2 to measure on (some hundreds for "
            "usable standard errors)"
        )


def _loader(x: Tensor, seed: int) -> Iterable[Tensor]:
    shuffled, rows = torch.Generator().manual_seed(seed), cast(Any, x)  # a tensor is a data set of its rows
    return DataLoader(rows, batch_size=min(64, len(x)), shuffle=True, generator=shuffled)


def _branch(own: Own, folder: Path, branch: str, name: str, trained: bool, effort: Mapping[str, Any]) -> float:
    """Train and measure one branch, or take up what is there; seconds of training."""
    place = folder / branch
    asked: dict[str, Any] = {"remedy": name, "steps": own.steps, "seed": own.seed, "trained": trained}
    asked |= {"likelihood": own.likelihood, "variance": own.variance, "held_out": _size(own.held_out)}
    asked |= {key: effort[key] for key in EFFORT}
    if (place / "evidence.json").exists() and (place / ASKED).exists():
        had = load_json(place / ASKED)
        if other := [
            f"{key} is {had.get(key)} there and {asked[key]} here" for key in asked if had.get(key) != asked[key]
        ]:
            raise ValueError(f"{place} holds another branch: {'; '.join(other)}; choose another folder with out")
        _refuse_changed(own.made_of, had.get("made_of"), place)
        return float(had["seconds"])
    with torch.random.fork_rng([]):
        seed_step(own.seed, 0)
        model = own.make_model()
        if trained:
            _take_weights(model, folder / FIRST / WEIGHTS)
        before = [weight.detach().clone() for weight in model.parameters()]
        began = time.monotonic()
        model.train()
        own.train(model, own.loader, TrainingWishes(own.steps, name))
        asked |= {"seconds": time.monotonic() - began, "made_of": dict(own.made_of)}
    unchanged = all(map(torch.equal, before, (weight.detach() for weight in model.parameters())))
    if unchanged and branch == FIRST:
        raise ValueError(NO_STEP)
    place.mkdir(parents=True, exist_ok=True)
    checkpoint.save(place / WEIGHTS, model.state_dict())
    _measure(own, model, place, TrainingWishes(own.steps, name).outside.variance, effort, unchanged)
    write_text(place / ASKED, json.dumps(asked) + "\n")
    return float(asked["seconds"])


def _refuse_changed(now: Mapping[str, str], then: Mapping[str, str] | None, place: Path) -> None:
    """Refuse a branch of a model or a training function that has changed; earlier versions did not record them."""
    changed = [name for name in now if then and then.get(name) and now[name] and then[name] != now[name]]
    if changed:
        raise ValueError(
            f"{place} holds a branch of another model or loss: the {' and the '.join(changed)} "
            f"{'is' if len(changed) == 1 else 'are'} not what {'it was' if len(changed) == 1 else 'they were'}; choose "
            "another folder with out, or delete this one"
        )


def _made_twice(make_model: Callable[[], nn.Module], seed: int) -> list[nn.Module]:
    """Two models under one seed. Refuse what gives no module, or the same one again: a branch from scratch would begin
    with another's weights.
    """
    models = []
    with torch.random.fork_rng([]):
        for _ in range(2):
            seed_step(seed, 0)
            models.append(make_model())
            if not isinstance(models[0], nn.Module):
                raise ValueError(f"make_model() gave a {type(models[0]).__name__}, wanted a torch.nn.Module")
    if models[0] is models[1]:
        raise ValueError(
            "make_model() gave the same module twice, wanted a new, untrained one at each call; make it inside the "
            "function"
        )
    return models


def _refuse_unreadable(own: Own) -> None:
    """Refuse a model that can't be measured on the held-out examples before any time is spent on training it."""
    with torch.random.fork_rng([]):
        seed_step(own.seed, 0)
        found = adapted(own.make_model(), own.held_out, own.likelihood, own.variance, None)
        check(found.model, found.batches, own.seed)


def _take_weights(model: nn.Module, path: Path) -> None:
    try:
        model.load_state_dict(checkpoint.load(path))
    except RuntimeError as error:
        raise ValueError(f"{path} holds the weights of another model; choose another folder with out") from error


def _size(held_out: Any) -> str:
    """What tells held-out examples from others, as far as it can be told without reading a loader."""
    if isinstance(held_out, Tensor):
        return f"{tuple(held_out.shape)}, mean {held_out.double().mean():.6g}"
    try:
        return f"{len(held_out)} batches or examples"
    except TypeError:  # a loader has a length only where its data have one
        return type(held_out).__name__


def _measure(
    own: Own, model: nn.Module, place: Path, variance: bool, effort: Mapping[str, Any], unchanged: bool
) -> None:
    """Measure a model under the likelihood that it was trained for, and note whether training changed no weight."""
    named, sigma2 = ("gaussian", _mean_square(own, model)) if variance else (own.likelihood, own.variance)
    found = adapted(model, own.held_out, named, sigma2, None)
    save_by_example(place, found.model, found.batches, effort)
    evidence = diagnose(model, own.held_out, likelihood=named, variance=sigma2, **effort)
    evidence = replace(evidence, settings={**evidence.settings, "step": own.steps, UNCHANGED: unchanged})
    write_text(place / "evidence.json", evidence.to_json() + "\n")


def _mean_square(own: Own, model: nn.Module) -> float:
    """The mean squared error of reconstructions of training data: the variance that a learned one ends at."""
    total = count = 0.0
    seen = [
        batch[:2] if isinstance(batch, list | tuple) else batch for _, batch in TrainingWishes(20).batches(own.loader)
    ]
    found = adapted(model, seen, "gaussian", 1 / (2 * math.pi), None)  # log p(x|z) = -pi ||x - recon||^2
    asked = conditional(found.model)
    with evaluating(model, own.seed):
        for batch in (as_batch(found.batches[i]) for i in range(len(found.batches))):
            z = asked.posterior(batch.x, batch.given).sample((1,))
            total -= float(asked.log_likelihood(batch.x, z, batch.given).double().sum()) / math.pi
            count += batch.x.numel()
    return max(total / count, 1e-12)


def _lines(ranking: Ranking, plan: Mapping[str, tuple[str, bool]], steps: int) -> str:
    """What to write into the loss."""
    if ranking.winner is None or ranking.winner.name not in plan:
        return ""
    name, trained = plan[ranking.winner.name]
    if name == UNTOUCHED:
        return f"# no remedy is clearly better than training for {2 * steps} steps as it is"
    where = f"# {name}, {'going on from the trained weights' if trained else 'from scratch'}, {steps} steps"
    return f"{where}\n{lines_of(name, steps)}"
