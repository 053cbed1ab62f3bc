"""buttress train DATA."""

from __future__ import annotations

import sys
from pathlib import Path

from buttress.core import remedy
from buttress.core.recipe import Recipe

__all__ = ["say_if_binarised", "train"]


def train(
    recipe: Recipe,
    out: Path = Path("runs/latest"),
    remedies: str = "none",
    resume: bool = False,
    devices: int = 1,
    nll_samples: int = 100,
    nll_examples: int | None = 1000,
    gap_steps: int = 100,
    gap_examples: int | None = 200,
    mi_examples: int | None = 5000,
) -> None:
    """Train a model, diagnose it, and write a report.

    The diagnosis takes long where decoding does; --nll_samples 0 --gap_steps 0 leaves out its longest parts.

    Args:
        recipe: The recipe, made from DATA and the flags.
        out: Folder of the run.
        remedies: Remedies to apply, joined by +, such as kl_annealing+word_dropout.
        resume: Go on with the run in that folder.
        devices: Processes that share each batch.
        nll_samples: Importance samples of each example for the NLL; 0 leaves it out.
        nll_examples: Held-out examples on which the NLL is measured, at most; null for all.
        gap_steps: Steps of refining each example's q for the amortisation gap; 0 leaves it out, and with it the cause.
        gap_examples: Held-out examples on which the gap is measured, at most; null for all.
        mi_examples: Held-out examples among which mutual information is measured, at most; null for all.

    Example:
        On the command line::

            buttress train DATA --remedies kl_annealing+free_bits:per_group=0.5 --training.steps 5000 --out runs/first
    """
    from buttress.cli.commands.diagnose import conclude
    from buttress.diagnostics.diagnose import check_effort
    from buttress.training.run import train as run

    effort = {
        "nll_samples": nll_samples,
        "nll_examples": nll_examples,
        "gap_steps": gap_steps,
        "gap_examples": gap_examples,
        "mi_examples": mi_examples,
    }
    check_effort(effort)
    changed = remedy.apply(remedies, recipe)
    say_if_binarised(changed)
    conclude(run(changed, out, resume=resume, devices=devices), **effort)


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
