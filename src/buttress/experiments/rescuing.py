"""``bt.rescue``: of a run, or of a model and a training loop of the user's own."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch.nn import Module

from buttress.experiments.rescue import Rescue
from buttress.experiments.rescue import rescue as of_run
from buttress.experiments.rescue_own import rescue_own
from buttress.runtime.arguments import check_names, check_type
from buttress.training.run import Run

__all__ = ["rescue"]


def _needed(function: Callable[..., Any]) -> list[str]:
    """Arguments without which it can't be called; none where they are not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def rescue(
    model: Any,
    data: Any = None,
    *,
    train: Callable[..., Any] | None = None,
    out: str | Path | None = None,
    remedies: str | Iterable[str] = (),
    **settings: Any,
) -> Rescue:
    """Find what brings the z of a collapsed model into use: remedies are tried on branches, measured and ranked.

    Args:
        model: A run or its folder; or, with ``train``, a function without arguments that makes a module of yours, whose
            ``forward(x)`` returns (recon, mu, logvar).
        data: For a module of yours: a loader (then ``held_out`` is needed too), or a tensor of examples. A run has its
            own.
        train: ``train(model, loader, settings)`` trains a module of yours in place for ``settings.steps`` steps. Its
            loss is ``settings.distortion(own, recon, x) + settings.rate(kl, step)``, kl of shape (B, G), and
            ``settings.batches(loader)`` gives (step, batch).
        out: Folder of the branches; asked again, a search goes on.
        remedies: What to try, in order, in place of what the verdict advises.
        settings: For a run ``budget``, ``most``, ``jobs``, ``by``, ``stop_early``; see
            :func:`buttress.experiments.rescue.rescue`. For a module of yours ``likelihood``, ``variance``,
            ``held_out``, ``steps``, ``seed``; see :func:`buttress.experiments.rescue_own.rescue_own`. For both
            ``evidence``, the settings of the diagnosis.

    Returns:
        Print it for the table. ``.ranking.winner`` is the first, ``.recipe`` what to train, ``.apply`` the command or
        the lines of code; where z is in use, ``.reason`` says so.

    Example:
        From Python::

            print(bt.rescue("runs/latest", budget=500, jobs=2))
    """
    if "evidence" in settings:
        settings["settings"] = settings.pop("evidence")
    check_type("out", out, str | os.PathLike, "a folder", optional=True)
    words = remedies.split(",") if isinstance(remedies, str) else remedies
    named = tuple(name.strip() for name in words if name.strip())
    if train is not None:
        if not callable(model) or isinstance(model, Module):
            came = f"the text {str(model)!r}" if isinstance(model, str | Path) else f"a {type(model).__name__}"
            raise ValueError(
                f"model is {came}, wanted a function that makes your module, such as its class: every branch trains a "
                "new one; a run is rescued without train="
            )
        if needed := _needed(model):
            raise ValueError(f"model needs {', '.join(needed)}, wanted a function without arguments; try lambda: ...")
        check_type("train", train, Callable, "a function (model, loader, settings)")
        check_names(settings, rescue_own, "a rescue of your own model")
        return rescue_own(model, data, train, "runs/rescue" if out is None else out, remedies=named, **settings)
    if isinstance(model, str | Path):
        model = Run.load(model)
    if isinstance(model, type) or not (hasattr(model, "diagnose") and hasattr(model, "folder")):
        came = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise ValueError(
            f"model is {came}, wanted a run or its folder; for a module of your own give the "
            "function that makes it, data, and train=, a function (model, loader, settings) that trains it"
        )
    if data is not None:
        raise ValueError("a run is rescued on its own data; leave the data out")
    check_names(settings, of_run, "a rescue")
    return of_run(model, out, remedies=named, **settings)
