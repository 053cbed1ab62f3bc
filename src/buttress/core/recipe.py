"""A recipe: everything that decides a run, as plain data. With the weights beside it, it is the whole checkpoint.

Recipes are changed with :func:`dataclasses.replace`, compared with ``==`` and written as YAML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
import yaml

from buttress.core import (
    Algorithm,
    Condition,
    Critic,
    Data,
    DataSpec,
    Decoder,
    Encoder,
    Likelihood,
    Objective,
    Posterior,
    Prior,
    Training,
)
from buttress.core.model import LatentVariableModel
from buttress.core.registry import from_yaml, load, part, to_plain
from buttress.runtime.memory import Budget, NoRoom

__all__ = ["Recipe", "Training"]


def _unconditional() -> Condition:
    none: Any = part("conditions", "none")
    return none()


def _no_critic() -> Critic:
    none: Any = part("critics", "none")
    return none()


BUILT = 12
"""Bytes of a parameter while a model is built: its value, and what it is computed from."""


def _budget(each: int = 4) -> Budget:
    return Budget("the parameters of this model", "smaller sizes of its parts", each)


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
        condition: What is given beside x, and how posterior and decoder read it.
        critic: What stands where the decoder stands, in a model without p(x|z): the decoder is then not built, and the
            likelihood says no more than how x is observed and read.

    Errors:
        ValueError: A schedule cannot finish within ``training.steps``.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> print(recipe.to_yaml().splitlines()[1].strip(), "...", Recipe.from_yaml(recipe.to_yaml()) == recipe)
        name: mnist5k ... True
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
    condition: Condition = field(default_factory=_unconditional)
    critic: Critic = field(default_factory=_no_critic)

    def check(self) -> None:
        """Refuse a recipe that would only fail later: a schedule longer than the run, or one that can't be read back.

        Errors:
            ValueError: A schedule cannot finish, or a part is not registered, so that no one could open the run.
        """
        self.objective.check(self.training.steps)
        try:
            same = type(self).from_yaml(self.to_yaml()) == self
        except ValueError as error:
            raise ValueError(f"{error}; if it is your own, register it first with buttress.register(...)") from error
        if not same:
            raise ValueError(
                "the recipe differs once it is written and read back, so its run could not be opened; keep to numbers, "
                "texts and tuples in the fields of your own parts"
            )

    def model(self, spec: DataSpec) -> LatentVariableModel:
        """The untrained model for data like ``spec``. Seed torch first.

        Errors:
            ValueError: A part does not fit the data, or the parameters do not fit into memory: they are counted on a
                device without memory first.
        """
        try:
            with _budget(BUILT), torch.device("meta"):
                self._model(spec)
        except NoRoom:
            raise
        except Exception:  # some parts compute while they are built; what is wrong shows again below
            pass
        with _budget():
            return self._model(spec)

    def _model(self, spec: DataSpec) -> LatentVariableModel:
        model = LatentVariableModel(
            spec,
            self.encoder,
            self.posterior,
            self.prior,
            self.decoder,
            self.likelihood,
            self.condition,
            self.critic,
        )
        if self.training.quantize:
            model.quantize(self.training.quantize, self.training.quantize_after, self.training.quantize_parts)
        return model

    def to_yaml(self) -> str:
        """The recipe as YAML."""
        return yaml.safe_dump(to_plain(self), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str, where: str = "recipe") -> Self:
        """The recipe that a YAML text describes. Only names of known parts are followed; nothing is run.

        Errors:
            ValueError: The text is not YAML, or a name or setting in it is unknown or of the wrong type.
        """
        return from_yaml(cls, text, where)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe in a YAML file; errors as of :meth:`from_yaml`."""
        return load(cls, Path(path))

    def save(self, path: str | Path) -> None:
        """Write the recipe to a YAML file."""
        Path(path).write_text(self.to_yaml(), encoding="utf-8")
