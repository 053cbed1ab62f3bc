"""The settings of training: what an algorithm is built with, and the engine runs by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from buttress.runtime.randomness import check_seed

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """How long, how fast, and how reproducibly.

    Args:
        steps: Training steps (decoder updates).
        batch_size: Examples per step over all processes together.
        learning_rate: Of the optimiser.
        optimizer: "adam", "adamax", "adamw" or "sgd".
        clip: Largest global gradient norm; None for no clipping.
        precision: "32-true" or "bf16-mixed". Posterior, prior and rate stay in float32 either way.
        seed: Of initial weights, data order and all noise.
        validate_every: Steps between looks at held-out data (ELBO, rate, mutual information); also an aggressive
            algorithm's "epoch".
        checkpoint_every: Steps between checkpoints.
        patience: Stop after this many validations without a better held-out ELBO; None to run all steps.
        compile: Compile the model with torch.compile.

    Example:
        >>> Training(steps=300, batch_size=50).learning_rate
        0.001
        >>> Training(batch_size=0)
        Traceback (most recent call last):
        ValueError: training: batch_size is 0, wanted more than 0
    """

    steps: int = 2000
    batch_size: int = 64
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "adamax", "adamw", "sgd"] = "adam"
    clip: float | None = 5.0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    seed: int = 0
    validate_every: int = 200
    checkpoint_every: int = 200
    patience: int | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("steps", "batch_size", "validate_every", "checkpoint_every", "patience", "clip", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"training: {name} is {value}, wanted more than 0")
            if value == math.inf:
                raise ValueError(f"training: {name} is {value}, wanted a finite number")
        check_seed(self.seed, "training")
