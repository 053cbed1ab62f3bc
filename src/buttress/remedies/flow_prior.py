"""A flow prior: where the codes of the data want to lie, the prior follows, and z need not be bent to N(0, I)."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.objectives.free_bits import FreeBits
from buttress.priors.autoregressive_flow import AutoregressiveFlow


@remedy(
    family="informative prior",
    source="Chen et al. 2016 (variational lossy autoencoder)",
    takes={"prior": "standard_normal"},
    cures=("all q together are far from the prior",),
    codes=False,
)
def flow_prior(recipe: Recipe, transforms: int = 4, hidden: int = 64, mean_only: bool = False) -> Recipe:
    """Learn p(z) as an autoregressive flow; with a local decoder and a floor it is the remedy ``vlae``.

    Args:
        recipe: The recipe to change.
        transforms: Number of transformations; every second reads z from its last coordinate.
        hidden: Units in each of the two hidden layers of each.
        mean_only: Shift only, as in the paper, and never stretch.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> recipe.prior, flow_prior(recipe, hidden=32).prior
        (StandardNormal(), AutoregressiveFlow(transforms=4, hidden=(32, 32), mean_only=False))
    """
    if isinstance(recipe.objective, FreeBits) and recipe.objective.per_group > 0:
        raise DoesNotFit(
            "under flow_prior z is one group, because its dimensions depend on each other, and a floor for each "
            "group means little: try free_bits:total=4"
        )
    return replace(recipe, prior=AutoregressiveFlow(transforms, (hidden, hidden), mean_only))
