"""The baseline itself."""

from __future__ import annotations

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy


@remedy(family="none", source="Kingma & Welling 2014")
def none(recipe: Recipe) -> Recipe:
    """Change nothing: the arm that every remedy is compared with.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> none(recipe) == recipe
        True
    """
    return recipe
