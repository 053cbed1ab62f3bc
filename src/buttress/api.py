"""The public functions: train, diagnose, lint, compare, prescribe, load, register.

>>> import tempfile
>>> import buttress as bt
>>> with tempfile.TemporaryDirectory() as folder:
...     run = bt.train("linear_gaussian", out=f"{folder}/first", steps=50, progress=False)
...     evidence = bt.diagnose(run, nll_samples=0, gap_steps=0)
...     bt.load(f"{folder}/first").progress.step
50
>>> evidence.verdict.state
'...used...'
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from torch import nn

    from buttress.core.recipe import Recipe
    from buttress.core.remedy import Remedy
    from buttress.diagnostics.evidence import Evidence
    from buttress.diagnostics.lint.finding import LintReport
    from buttress.experiments.compare import Comparison
    from buttress.experiments.rescue import Rescue
    from buttress.training.run import Run

__all__ = ["compare", "diagnose", "lint", "load", "prescribe", "recipe_for", "register", "train"]


def train(
    data: Any,
    out: str | Path | None = None,
    *,
    remedies: str | Remedy | Iterable[str | Remedy] = "none",
    recipe: Recipe | None = None,
    resume: bool = False,
    devices: int = 1,
    progress: bool = True,
    **parts: Any,
) -> Run:
    """Train a model on your data.

    Args:
        data: A path, the name of a data set, a tensor or NumPy array of examples, a list of sentences, a torch
            ``Dataset``, a ``DataLoader`` of x, (x, y) or dicts, or a data part. y becomes a label.
        out: Folder of the run; by default the next free one under ``runs``.
        remedies: What to apply, as text (``"kl_annealing+free_bits:per_group=0.5"``) or as objects.
        recipe: What to start from; by default the baseline for such data.
        resume: Go on with the run in ``out``.
        devices: Processes (GPUs where there are some) that share each batch.
        progress: Show a progress bar and notes about the data.
        parts: Parts of the recipe and settings of training by name: ``decoder="pixelcnn"``, ``posterior=...``,
            ``steps=500``, ``batch_size=64``. ``encoder`` and ``decoder`` may be a ``torch.nn.Module`` of yours.

    Returns:
        The run: ``run.sample(16)``, ``run.diagnose()``, ``run.folder`` ...

    Errors:
        ValueError: Data, recipe or folder are not fit for it; found before the first step.

    Example:
        >>> import tempfile, torch
        >>> x = torch.randn(200, 1) @ torch.randn(1, 5) + 0.1 * torch.randn(200, 5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(x, f"{folder}/mine", encoder=torch.nn.Linear(5, 8), steps=20, progress=False)
        ...     run.sample(3).shape
        torch.Size([3, 5])
    """
    from buttress.core import remedy
    from buttress.runtime.arguments import check_type, check_whole
    from buttress.training.run import train as run
    from buttress.training.run_names import next_free, point_latest

    check_whole("devices", devices)
    check_type("out", out, str | os.PathLike, "a folder", optional=True)
    changed = remedy.apply(_remedies(remedies), recipe_for(data, recipe, **parts))
    folder = Path(out) if out is not None else next_free(changed.data)
    trained = run(changed, folder, resume=resume, devices=devices, progress=progress)
    if out is None:
        point_latest(folder)
    return trained


def recipe_for(data: Any, recipe: Recipe | None = None, **parts: Any) -> Recipe:
    """The recipe that :func:`train` starts from: that of the data, with the parts and settings you name.

    Args:
        data: As for :func:`train`.
        recipe: What to start from; None for the baseline.
        parts: As for :func:`train`.

    Errors:
        ValueError: There is no such part or setting.

    Example:
        >>> recipe = recipe_for("linear_gaussian", posterior="gaussian", steps=100)
        >>> recipe.posterior.dim, recipe.training.steps
        (16, 100)
    """
    from buttress.baseline import baseline
    from buttress.core.recipe import Recipe, Training
    from buttress.core.registry import from_plain
    from buttress.data.in_memory import as_data
    from buttress.data.opened import opened
    from buttress.runtime.arguments import check_type

    check_type("recipe", recipe, Recipe, "a Recipe", optional=True)
    source = as_data(data)
    if recipe is None:
        splits = opened(source)
        start = baseline(source, splits.spec, len(splits.train))
    else:
        start = replace(recipe, data=source)
    settings = get_type_hints(Training)
    chosen_settings = {k: from_plain(settings[k], v, k) for k, v in parts.items() if k in settings}
    training = replace(start.training, **chosen_settings)
    chosen = {role: _part(role, value) for role, value in parts.items() if role not in settings}
    return replace(start, training=training, **chosen)


def _part(role: str, value: Any) -> Any:
    """A part by name, as a part, or from a module of the user's own."""
    from buttress.core import Part, own, registry

    folders = {base.__name__.lower(): folder for folder, base in registry.ROOMS.items()}
    if role not in folders:
        raise ValueError(
            f"there is no part or setting {role!r}; {registry.suggest(role, folders)}parts: {', '.join(folders)}"
        )
    if isinstance(value, Part):
        return value
    if isinstance(value, str):
        return registry.part(folders[role], value)()
    if role in ("encoder", "decoder"):
        kind: Any = registry.part(folders[role], "own")
        return kind(module=own.keep(value, role))
    raise ValueError(f"{role} is a {type(value).__name__}, wanted the name of a part, or a part")


def diagnose(
    model: Any, data: Any = None, *, progress: bool | Callable[[str, int, int], None] = True, **settings: Any
) -> Evidence:
    """Measure whether z is used, and why not.

    Where it takes minutes, ``nll_samples=0`` and ``gap_steps=0`` leave out its longest parts.

    Args:
        model: A run or its folder; or your own model: an :class:`buttress.Adapter` of three callables, or a
            ``torch.nn.Module`` that returns (reconstruction, mu, logvar) or a dict of these, with
            ``likelihood="bernoulli"``, ``"gaussian"``, ``"mse"`` or ``"poisson"``.
        data: Held-out data for a model of your own: batches, a ``DataLoader``, a tensor. A run has its own.
        progress: Tell on stderr how far it is where it takes more than a few seconds; or a function to be told, called
            with (stage, stages done, stages in all).
        settings: See :func:`buttress.diagnostics.diagnose.diagnose`.

    Returns:
        The evidence. Printed, it is the verdict (state, causes with their confidence, what they rest on, what to try)
        and a table of every number; ``.verdict`` is the conclusion alone, ``.verdict.findings`` has the causes, each
        with its ``confidence``.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=4, latents=1)
        >>> diagnose(model.vae(), [model.sample(200)[0]], nll_samples=0, gap_steps=0).verdict.state
        'used'
    """
    from buttress.diagnostics.telling import listener
    from buttress.runtime.arguments import check_names

    settings["progress"] = listener(progress)
    if isinstance(model, str | Path):
        model = load(model)
    if hasattr(model, "diagnose") and hasattr(model, "folder"):
        if data is not None:
            raise ValueError("a run is measured on its own held-out data; leave the data out")
        return model.diagnose(**settings)
    from buttress.diagnostics.diagnose import diagnose as measure

    check_names(settings, measure, "a diagnosis")
    if data is None:
        raise ValueError("got no data to measure your model on; give held-out batches, as in diagnose(model, loader)")
    return measure(model, data, **settings)


def lint(model: Any, loss_fn: Callable[..., Any], batch: Any, **settings: Any) -> LintReport:
    """Look for mistakes in the loss and the wiring of a VAE of yours, from one batch; it takes seconds.

    Args:
        model: A ``torch.nn.Module`` whose ``forward(x)`` returns (recon, mu, logvar), or such names.
        loss_fn: ``loss_fn(model, batch)`` or ``loss_fn(recon, x, mu, logvar)``.
        batch: What the training loop gets from its loader.
        settings: See :func:`buttress.diagnostics.lint.run.lint`.

    Example:
        >>> import torch
        >>> class Vae(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encoder, self.decoder = torch.nn.Linear(9, 4), torch.nn.Linear(2, 9)
        ...     def forward(self, x):
        ...         mu, logvar = self.encoder(x).chunk(2, -1)
        ...         return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar
        >>> def loss(recon, x, mu, logvar):
        ...     kl = 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        ...     return (recon - x).square().sum(1).mean() + kl
        >>> lint(Vae(), loss, torch.randn(64, 9)).findings[0].rule
        'kl-sign'
    """
    from buttress.diagnostics.lint.run import lint as run

    return run(model, loss_fn, batch, **settings)


def compare(
    data: Any,
    remedies: str | Iterable[str | Remedy] = ("none", "kl_annealing", "free_bits"),
    *,
    out: str | Path = "runs/comparison",
    seeds: int = 3,
    jobs: int = 1,
    recipe: Recipe | None = None,
    evidence: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Comparison:
    """Train and diagnose the same model under several remedies, with several seeds.

    Args:
        data: As for :func:`train`.
        remedies: The arms: texts such as ``"free_bits+word_dropout"``, or remedies as objects; ``"none"`` is the
            baseline.
        out: Folder of the comparison; an interrupted one goes on.
        seeds: Runs of each arm.
        jobs: Runs at a time. With a module of your own, runs are made one after another in this process.
        recipe: What to start from; None for the baseline of the data.
        evidence: Settings of the diagnosis, such as ``{"nll_samples": 50}``.
        parts: Parts and settings of training by name, as for :func:`train`.

    Returns:
        The comparison; print it for the table.

    Example:
        From Python::

            print(bt.compare("mnist5k", ["none", "free_bits"], seeds=3, steps=500))
    """
    from buttress.experiments.compare import compare as run
    from buttress.runtime.arguments import check_type, check_whole

    for name, value in {"seeds": seeds, "jobs": jobs}.items():
        check_whole(name, value)
    check_type("evidence", evidence, Mapping, "a dict of settings of the diagnosis", optional=True)
    check_type("out", out, str | os.PathLike, "a folder")
    given = _remedies(remedies)
    arms = [_named(arm) for arm in ([given] if isinstance(given, str) or callable(given) else given)]
    return run(recipe_for(data, recipe, **parts), arms, out, seeds=seeds, jobs=jobs, settings=evidence)


def prescribe(
    data: Any,
    *,
    out: str | Path = "runs/prescription",
    remedies: str | Iterable[str] = (),
    recipe: Recipe | None = None,
    budget: int | None = None,
    jobs: int = 1,
    by: Any = "processes",
    stop_early: bool = True,
    evidence: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Rescue:
    """Find a recipe for some data: the baseline and every remedy that fits, measured and ranked.

    Args:
        data: As for :func:`train`.
        out: Folder of the branches; it also gets ``front.png``, likelihood against information.
        remedies: What to try; empty for all that fit.
        recipe: What to start from; None for the baseline of the data.
        budget: Steps of each branch; None for those of the recipe.
        jobs: Branches at a time.
        by: "processes", "here" or "ray".
        stop_early: Whether hopeless branches end early (with Optuna).
        evidence: Settings of the diagnosis.
        parts: Parts and settings of training by name, as for :func:`train`.

    Returns:
        As :func:`buttress.rescue`.

    Example:
        From Python::

            print(bt.prescribe("mnist5k", budget=500, jobs=2))
    """
    from buttress.experiments.prescribe import prescribe as run
    from buttress.runtime.arguments import check_type, listed

    check_type("evidence", evidence, Mapping, "a dict of settings of the diagnosis", optional=True)
    check_type("out", out, str | os.PathLike, "a folder")
    named = listed(remedies) if isinstance(remedies, str) and remedies else tuple(remedies)
    wishes: dict[str, Any] = {"budget": budget, "jobs": jobs, "by": by, "stop_early": stop_early, "settings": evidence}
    return run(recipe_for(data, recipe, **parts), out, remedies=named, **wishes)


def _remedies(given: Any) -> Any:
    """Remedies as they may come: text, one or several."""
    from buttress.core.remedy import Remedy, check_declared

    for one in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        check_declared(one)
        if not isinstance(one, str | Remedy):
            raise ValueError(f"remedies: got {one!r}, wanted names such as 'free_bits', or remedies; 'none' for none")
    return given


def _named(arm: str | Remedy) -> str:
    """The name of an arm; a remedy given as an object is registered."""
    if isinstance(arm, str):
        return arm
    from buttress.core import remedy

    remedy.check_declared(arm)
    if remedy.catalogue().get(arm.name) is not arm:
        remedy.add(arm)
    return arm.name


def load(folder: str | Path, *, encoder: nn.Module | Callable[[], nn.Module] | None = None, decoder: Any = None) -> Run:
    """Open a run, finished or not. Nothing in the folder is executed.

    Args:
        folder: Where it lives.
        encoder: The module of your own that it was trained with, if any.
        decoder: The same for the decoder.

    Errors:
        FileNotFoundError: There is no run.
        ValueError: A file is damaged, or a part of the run is not known here.
    """
    from buttress.core import own
    from buttress.runtime.arguments import check_type
    from buttress.training.run import Run

    check_type("folder", folder, str | os.PathLike, "the folder of a run")
    for role, module in {"encoder": encoder, "decoder": decoder}.items():
        if module is not None:
            own.keep(module, role)
    return Run.load(folder)


def register(thing: Any, name: str = "") -> Any:
    """Make a part or a remedy of your own known by a name, so that recipes, ``compare`` and the command line take it.

    Call it where your script or package is imported, before anything is trained or opened. Installed packages can do
    the same by entry points ``buttress.parts`` and ``buttress.remedies``.

    Args:
        thing: A part (a frozen dataclass derived from a class of :mod:`buttress.core`), or a remedy (a function under
            :func:`buttress.remedy`).
        name: What to call a part; by default its class name in lower case with underscores.

    Returns:
        The same, so that it can be used as a decorator.

    Errors:
        ValueError: It is neither, or the name is that of a built-in.

    Example:
        >>> import buttress as bt
        >>> @bt.register
        ... @bt.remedy(family="tweak the ELBO", source="you", takes={"training.learning_rate": ...})
        ... def slower(recipe, factor: float = 0.5):
        ...     '''Train with a smaller learning rate.'''
        ...     from dataclasses import replace
        ...     rate = factor * recipe.training.learning_rate
        ...     return replace(recipe, training=replace(recipe.training, learning_rate=rate))
        >>> recipe_for("linear_gaussian").training.learning_rate, slower.name
        (0.001, 'slower')
    """
    from buttress.core import Part, registry, remedy

    if isinstance(thing, remedy.Remedy):
        remedy.add(thing)
    elif isinstance(thing, type) and issubclass(thing, Part):
        registry.add(thing, name or _snake(thing.__name__))
    else:
        raise ValueError(
            f"register: got {thing!r}, wanted a part (a class derived from one in buttress.core) or a remedy (a "
            "function under buttress.remedy)"
        )
    return thing


def _snake(name: str) -> str:
    """``MyEncoder`` -> ``my_encoder``."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))
