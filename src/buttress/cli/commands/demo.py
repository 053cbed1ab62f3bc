"""buttress demo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

__all__ = ["demo"]

ARMS = ("none", "kl_annealing:fraction=0.15:hold=0.8:start=0.05", "free_bits:per_group=0.5", "local_decoder")
"""The baseline and one remedy of each kind that an image decoder knows; runs are short, so the charge comes late."""

GAIN = 0.0065
"""The decoder hears z so faintly that in a short run it learns to do without; at 1 this decoder does not collapse.

Fitted, with the schedule of annealing, to the demo's one seed (docs/log.md, 2026-11-25)."""

QUICK = {"samples": 1, "nll_samples": 20, "nll_examples": 100, "gap_steps": 40, "gap_examples": 50}
"""Less evidence than usual, so that all is seen within minutes; ``buttress diagnose`` measures more."""


def demo(out: Path = Path("runs/demo"), steps: int = 300, seeds: int = 1, jobs: int = 2) -> None:
    """Train a VAE on 5,000 real digits, bare and under three remedies, and see what each puts into z and at what cost.

    Args:
        out: Folder of the comparison; finished runs in it are kept.
        steps: Training steps of every run.
        seeds: Runs of each arm.
        jobs: Runs at a time.

    Example:
        On the command line::

            buttress demo --steps 100 --seeds 3
    """
    from buttress.baseline import baseline
    from buttress.cli.commands.compare import show
    from buttress.data.mnist5k import Mnist5k
    from buttress.data.opened import opened
    from buttress.decoders.pixelcnn import PixelCNN
    from buttress.encoders.conv import ConvEncoder
    from buttress.posteriors.gaussian import GaussianPosterior

    data = Mnist5k()
    recipe = baseline(data, opened(data).spec)
    recipe = replace(
        recipe,
        encoder=ConvEncoder(widths=(16, 32)),
        posterior=GaussianPosterior(16),
        decoder=PixelCNN(spatial=True, gain=GAIN),
        training=replace(recipe.training, steps=steps, learning_rate=1e-3, validate_every=60),
    )
    show(recipe, list(ARMS), out, seeds=seeds, jobs=jobs, settings=QUICK)
