"""A recipe: everything that decides a run, as plain data. With the weights beside it, it is the whole checkpoint.

Recipes are changed with :func:`dataclasses.replace`, compared with ``==`` and written as YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from buttress.catalogue import from_plain, to_plain
from buttress.model import LatentVariableModel
from buttress.parts import Algorithm, Data, DataSpec, Decoder, Encoder, Likelihood, Objective, Posterior, Prior

__all__ = ["Recipe", "Training"]


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
        if self.seed < 0:
            raise ValueError(f"training: seed is {self.seed}, wanted 0 or more")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run.

    Args:
        data: Where examples come from.
        encoder: x -> h.
        posterior: h -> q(z|x).
        prior: p(z).
        decoder: z -> p(x|z).
        likelihood: The family of p(x|z).
        objective: Terms -> scalar.
        algorithm: How parameters move.
        training: How long and how fast.
        remedies: The remedies that were applied, in order; a record, not an instruction.

    Errors:
        ValueError: A schedule cannot finish within ``training.steps``.
    """

    data: Data
    encoder: Encoder
    posterior: Posterior
    prior: Prior
    decoder: Decoder
    likelihood: Likelihood
    objective: Objective
    algorithm: Algorithm
    training: Training
    remedies: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse a recipe that would only fail later: a schedule longer than the run."""
        self.objective.check(self.training.steps)

    def model(self, spec: DataSpec) -> LatentVariableModel:
        """The untrained model for data like ``spec``. Seed torch first."""
        return LatentVariableModel(spec, self.encoder, self.posterior, self.prior, self.decoder, self.likelihood)

    def to_yaml(self) -> str:
        """The recipe as YAML."""
        return yaml.safe_dump(to_plain(self), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str, where: str = "recipe") -> Self:
        """The recipe that a YAML text describes. Only names of known parts are followed; nothing is run.

        Errors:
            ValueError: The text is not YAML, or a name or setting in it is unknown or of the wrong type.
        """
        try:
            plain: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"{where}: not readable as YAML: {error}") from error
        return from_plain(cls, plain, where)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe in a YAML file."""
        return cls.from_yaml(Path(path).read_text(encoding="utf-8"), str(path))

    def save(self, path: str | Path) -> None:
        """Write the recipe to a YAML file."""
        Path(path).write_text(self.to_yaml(), encoding="utf-8")
