"""Fewer levels: those that add nothing cost steps, codes and nats of rate, so leave them out."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy

LEVELS = {
    "hierarchical_quantized": "levels",
    "residual_quantized": "stages",
    "vector_quantized": "slots",
    "finite_scalar_quantized": "slots",
    "categorical": "slots",
}
"""What the posteriors with several levels, stages or slots call their number."""


@remedy(
    family="discrete latents",
    source="Zeghidour et al. 2021 (SoundStream: fewer quantisers for fewer bits)",
    needs={"posterior": tuple(LEVELS)},
    because="only these have levels to leave out",
    cures=("a level is idle",),
    rank=6,
)
def fewer_levels(recipe: Recipe, levels: int = 0) -> Recipe:
    """Leave out levels of z: the last stages of a residual quantiser, the top maps of a hierarchy, or slots.

    An idle level is paid for and not read. The verdict names which are: leave out no fewer, or one may be idle still.
    The stages of a residual quantiser come in order, so that those that stay are worth the most. The levels may have
    come with another remedy, such as residual_quantized, so this one claims no field for itself.

    Args:
        recipe: The recipe to change; its z has several levels, stages or slots.
        levels: How many stay, fewer than there are; 0 for half of them, rounded up.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.posteriors.residual_quantized import ResidualQuantized
        >>> recipe = baseline(LinearGaussianData(), DataSpec(Layout.table(16)))
        >>> deep = replace(recipe, posterior=ResidualQuantized(codes=8, dim=4, stages=6))
        >>> fewer_levels(deep).posterior.stages, fewer_levels(deep, levels=2).posterior.stages
        (3, 2)
    """
    field = LEVELS[recipe.posterior.name()]
    there = getattr(recipe.posterior, field)
    if there < 2:
        raise DoesNotFit(f"fewer_levels: z has {field} = {there} already, and nothing to leave out; leave it out")
    if not 0 <= levels < there:
        raise DoesNotFit(f"fewer_levels: levels is {levels}, wanted 1 to {there - 1}, as z has {field} = {there}")
    levels = levels or (there + 1) // 2
    if levels == 1 and (dropout := getattr(recipe.posterior, "dropout", 0.0)) > 0:
        raise DoesNotFit(
            f"fewer_levels: posterior.dropout is {dropout}, and of one level there is none to leave out; leave out the "
            "dropout, or keep 2 levels"
        )
    return replace(recipe, posterior=recipe.posterior.replace(**{field: levels}))
