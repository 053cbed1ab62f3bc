"""The baseline itself."""

from __future__ import annotations

from buttress.recipe import Recipe
from buttress.remedy import remedy


@remedy(family="none", source="Kingma & Welling 2014")
def none(recipe: Recipe) -> Recipe:
    """Change nothing: the arm that every remedy is compared with."""
    return recipe
