"""buttress train DATA."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from buttress.core import remedy
from buttress.core.recipe import Recipe

__all__ = ["say_if_binarised", "say_if_lost", "train"]


def train(
    recipe: Recipe,
    out: Path | None = None,
    remedies: str = "none",
    resume: bool = False,
    init: Path | None = None,
    devices: int = 1,
    diagnose: bool = True,
    nll_samples: int = 100,
    nll_examples: int | None = 1000,
    gap_steps: int = 100,
    gap_examples: int | None = 200,
    mi_examples: int | None = 5000,
) -> None:
    """Train a model, diagnose it, and write a report.

    The diagnosis takes long where decoding does; --nll_samples 0 --gap_steps 0 leaves out its longest parts, and
    --diagnose false all of it.

    Args:
        recipe: The recipe, made from DATA and the flags.
        out: Folder of the run; none for the next free one, such as runs/photos-1, to which runs/latest then leads.
        remedies: Remedies to apply, joined by +, such as kl_annealing+word_dropout.
        resume: Continue the run in that folder (without --out, the newest). DATA may then be left out, and the run
            keeps its recipe; a finished run is trained further with --training.steps MORE.
        init: A run whose weights to begin with, where names and shapes agree.
        devices: Processes that share each batch.
        diagnose: Whether to diagnose the run once it is trained.
        nll_samples: Importance samples of each example for the NLL; 0 leaves it out.
        nll_examples: Held-out examples on which the NLL is measured, at most; none for all.
        gap_steps: Most steps of refining each example's q for the amortisation gap; 0 leaves it out, and with it the
            cause.
        gap_examples: Held-out examples on which the gap is measured, at most; none for all.
        mi_examples: Held-out examples among which mutual information is measured, at most; none for all.

    Example:
        On the command line::

            buttress train DATA --remedies kl_annealing+free_bits:per_group=0.5 --training.steps 5000 --out runs/first
    """
    from buttress.cli.commands.diagnose import conclude
    from buttress.diagnostics.diagnose import check_effort
    from buttress.training.run import train as run
    from buttress.training.run_names import point_latest

    effort: dict[str, Any] = {
        "nll_samples": nll_samples,
        "nll_examples": nll_examples,
        "gap_steps": gap_steps,
        "gap_examples": gap_examples,
        "mi_examples": mi_examples,
    }
    check_effort(effort)
    changed = remedy.apply(remedies, recipe)
    changed.check()
    say_if_binarised(changed)
    say_if_lost(recipe, changed)
    folder = out or _folder(changed, resume)
    callbacks = [_first_steps(changed, folder)] if devices == 1 else []
    more: dict[str, Any] = {} if init is None else {"init": init}
    trained = run(changed, folder, resume=resume, devices=devices, callbacks=callbacks, **more)
    point_latest(folder)
    if diagnose:
        conclude(trained, **effort)
    else:
        print(f"trained: {folder}; buttress diagnose {folder} measures whether z is used")


def _folder(recipe: Recipe, resume: bool) -> Path:
    """The newest run where it is to be resumed, else the next free folder."""
    from buttress.cli.recipes import NEWEST
    from buttress.training.run_names import next_free

    newest = Path(NEWEST)
    if resume and newest.exists():
        return newest.parent / os.readlink(newest) if newest.is_symlink() else newest
    return next_free(recipe.data)


def _first_steps(recipe: Recipe, folder: Path) -> Any:
    """What is done at the first steps: the model is told, the run becomes the newest, and the time is estimated."""
    from buttress.cli.preview import estimate, preview, say_on_stderr
    from buttress.training.callbacks import ProgressCallback
    from buttress.training.run_names import point_latest

    class FirstSteps(ProgressCallback):
        def begin(self, engine: Any) -> None:
            point_latest(folder)
            for line in preview(recipe, folder, engine.model):
                say_on_stderr(line)

    return FirstSteps(estimate(say_on_stderr), 1)


def say_if_binarised(recipe: Recipe) -> None:
    """Say on stderr where grey pixels become black and white.

    Example:
        What a user reads on stderr who asks for Bernoulli pixels where there is grey::

            $ buttress train photos.npy --likelihood bernoulli
            buttress: grey pixels are binarised at random; --likelihood logistic_mixture models grey levels
    """
    from buttress.baseline import binarised
    from buttress.data.opened import opened

    if recipe.likelihood.name() == "bernoulli" and (note := binarised(recipe, opened(recipe.data).spec)):
        print(f"buttress: {note}", file=sys.stderr)


def say_if_lost(asked: Recipe, changed: Recipe) -> None:
    """Say on stderr which settings of a part are lost, because a remedy put another part in its place.

    Example:
        What a user reads on stderr who sets the layers of a decoder that the remedy replaces::

            $ buttress train speech/ --decoder.layers 4 --remedies speech_codes
            buttress: decoder.layers has no effect: remedies put wavenet in the place of the causal_conv decoder; ...
    """
    from buttress.baseline import baseline
    from buttress.data.opened import opened

    splits = opened(asked.data)
    start = baseline(asked.data, splits.spec, len(splits.train))
    for room in ("encoder", "posterior", "prior", "decoder", "condition", "critic"):
        first, old, new = (getattr(recipe, room) for recipe in (start, asked, changed))
        if type(first) is not type(old) or type(old) is type(new):
            continue
        if lost := [f"{room}.{f.name}" for f in fields(old) if getattr(first, f.name) != getattr(old, f.name)]:
            said = f"{', '.join(lost)} {'has' if len(lost) == 1 else 'have'} no effect"
            print(
                f"buttress: {said}: remedies put {new.name()} in the place of the {old.name()} {room}; try settings of "
                f"the remedy, or --{room} {new.name()} with its own",
                file=sys.stderr,
            )
