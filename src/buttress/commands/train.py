"""buttress train DATA."""

from __future__ import annotations

import sys
from pathlib import Path

from buttress import remedy
from buttress.recipe import Recipe

__all__ = ["say_if_binarised", "train"]


def train(
    recipe: Recipe, out: Path = Path("runs/latest"), remedies: str = "none", resume: bool = False, devices: int = 1
) -> None:
    """Train a model, diagnose it, and write a report.

    Args:
        recipe: The recipe, made from DATA and the flags.
        out: Folder of the run.
        remedies: Remedies to apply, joined by +, such as kl_annealing+word_dropout.
        resume: Go on with the run in that folder.
        devices: Processes that share each batch.
    """
    from buttress.commands.diagnose import conclude
    from buttress.training.run import train as run

    changed = remedy.apply(remedies, recipe)
    say_if_binarised(changed)
    conclude(run(changed, out, resume=resume, devices=devices))


def say_if_binarised(recipe: Recipe) -> None:
    """Say on stderr where grey pixels become black and white."""
    from buttress.baseline import binarised
    from buttress.data.opened import opened

    if recipe.likelihood.name() == "bernoulli" and (note := binarised(recipe, opened(recipe.data).spec)):
        print(f"buttress: {note}", file=sys.stderr)
