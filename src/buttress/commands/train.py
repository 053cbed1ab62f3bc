"""buttress train DATA."""

from __future__ import annotations

from pathlib import Path

from buttress import remedy
from buttress.recipe import Recipe

__all__ = ["train"]


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

    Example:
        On the command line::

            buttress train DATA --remedies kl_annealing+free_bits:per_group=0.5 --training.steps 5000 --out runs/first
    """
    from buttress.commands.diagnose import conclude
    from buttress.training.run import train as run

    changed = remedy.apply(remedies, recipe)
    conclude(run(changed, out, resume=resume, devices=devices))
