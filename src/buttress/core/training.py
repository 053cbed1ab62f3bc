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
        learning_rate: Learning rate of the optimiser.
        optimizer: The optimiser: "adam", "adamax", "adamw" or "sgd".
        clip: Gradients of a larger global norm are scaled down to it; None for no clipping.
        precision: Of floats, "32-true" or "bf16-mixed". Posterior, prior and rate stay in float32 either way. "auto"
            times a few steps in both when a run begins, and the recipe of the run records the faster one.
        seed: Seed of initial weights, data order and all noise.
        validate_every: Steps between looks at held-out data (ELBO, rate, mutual information); also an aggressive
            algorithm's "epoch".
        checkpoint_every: Steps between checkpoints.
        patience: Stop after this many validations without a better held-out ELBO, and keep the best model; None to run
            all steps.
        decay: Every learning rate is multiplied by this after a validation without a better held-out ELBO (in the
            algorithm's last phase, once schedules have ended); 1 for constant ones.
        validation: Share of the held-out examples that only validations read, and with them ``patience``, ``decay`` and
            rules of an algorithm; evidence is then measured on the others. 0: validations read the first of those
            that evidence is measured on, and what is chosen by them looks better than it is.
        compile: Compile the model with torch.compile.
        quantize: Bits, 2 to 8, to which weights and activations of all layers are rounded, in training and after it
            (fake quantisation); 0 for full precision.
        quantize_after: Steps in full precision before rounding begins.
        quantize_parts: The parts to round: some of "condition", "encoder", "inference" (the posterior), "prior" and
            "decoder"; () for all.

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
    precision: Literal["32-true", "bf16-mixed", "auto"] = "32-true"
    seed: int = 0
    validate_every: int = 200
    checkpoint_every: int = 200
    patience: int | None = None
    decay: float = 1.0
    validation: float = 0.0
    compile: bool = False
    quantize: int = 0
    quantize_after: int = 100
    quantize_parts: tuple[str, ...] = ()

    def rounding(self, step: int) -> bool:
        """Whether a model that is to be quantised is so after ``step`` steps; True where none is to be.

        Example:
            >>> [Training(quantize=8, quantize_after=100).rounding(step) for step in (99, 100)]
            [False, True]
        """
        return not self.quantize or step >= self.quantize_after

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("steps", "batch_size", "validate_every", "checkpoint_every", "patience", "clip", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"training: {name} is {value}, wanted more than 0")
            if value == math.inf:
                raise ValueError(f"training: {name} is {value}, wanted a finite number")
        if not 0 < self.decay <= 1:
            raise ValueError(f"training: decay is {self.decay}, wanted a factor above 0 and at most 1")
        if not 0 <= self.validation < 1:
            raise ValueError(f"training: validation is {self.validation}, wanted a share of at least 0 and below 1")
        if self.quantize and not 2 <= self.quantize <= 8:
            raise ValueError(f"training: quantize is {self.quantize} bits, wanted 2 to 8, or 0 for full precision")
        if self.quantize_after < 0:
            raise ValueError(f"training: quantize_after is {self.quantize_after}, wanted 0 or more")
        check_seed(self.seed, "training")
