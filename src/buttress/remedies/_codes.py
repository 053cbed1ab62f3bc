"""What remedies say of codes: those that act on the rate refuse them, those that bring them set up the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buttress.algorithms.two_stage import TwoStage
from buttress.core import Posterior, Prior
from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit
from buttress.encoders.conv import ConvEncoder

DEEP = 4
"""Layers of strided convolutions up to which a signal comes through as it is. Each one shrinks it, and behind six to
eight it is small beside the biases: vectors of raw samples differ by 1 to 2 % of their size at the start. So deeper
encoders are normalised."""
TAKES: dict[str, Any] = {
    "algorithm": "joint",
    "posterior": "gaussian",
    "prior": "standard_normal",
    "encoder.spatial": ANYTHING,
}
"""The fields that a remedy sets which brings codes."""


def refuse_codes(recipe: Recipe, name: str) -> None:
    """Refuse a posterior over codes: their rate is a constant, on which a weight or a floor has no effect."""
    if recipe.posterior.discrete:
        raise DoesNotFit(f"{name} has no effect on codes: their rate is constant; leave it out")


def mapped(recipe: Recipe, spatial: bool | None) -> bool:
    """Whether there are to be codes at every place of the encoder's last map.

    Errors:
        DoesNotFit: They are wanted, and the encoder has no map.
    """
    can = isinstance(recipe.encoder, ConvEncoder)
    if spatial and not can:
        raise DoesNotFit(f"codes at every place need a conv encoder, and this is {recipe.encoder.name()}")
    return can and (getattr(recipe.decoder, "spatial", True) if spatial is None else spatial)


def check_settled(recipe: Recipe, name: str) -> None:
    """Refuse a weight of the rate that changes in training.

    Errors:
        DoesNotFit: It does: the rate of codes is a constant.
    """
    if not recipe.objective.settled(0):
        raise DoesNotFit(
            f"{name} has a constant rate, on which a changing weight (kl_annealing, cyclical_annealing) has no effect; "
            "leave the schedule out"
        )


def with_codes(recipe: Recipe, name: str, posterior: Posterior, prior: Prior, places: bool, first: float) -> Recipe:
    """The recipe with these codes, trained first as if all cost the same, and then with this prior.

    Errors:
        DoesNotFit: The weight of the rate changes in training: the rate of codes is a constant.
    """
    check_settled(recipe, name)
    can = isinstance(recipe.encoder, ConvEncoder)
    return replace(
        recipe,
        encoder=recipe.encoder.replace(spatial=places) if can else recipe.encoder,
        posterior=posterior,
        prior=prior,
        algorithm=TwoStage(first=first),
    )
