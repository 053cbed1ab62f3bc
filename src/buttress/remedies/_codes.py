"""What remedies that act on the rate say of codes."""

from __future__ import annotations

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit


def refuse_codes(recipe: Recipe, name: str) -> None:
    """Refuse a posterior over codes: their rate is a constant, on which a weight or a floor has no effect."""
    if recipe.posterior.discrete:
        raise DoesNotFit(f"{name} has no effect on codes: their rate is constant; leave it out")
