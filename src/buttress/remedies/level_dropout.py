"""Level dropout: some pictures are decoded from their top maps of codes alone, so that these must say something."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized


@remedy(
    family="discrete latents",
    source="Zeghidour et al. 2021 (SoundStream: quantiser dropout, here for maps)",
    needs={"posterior": ("hierarchical_quantized",)},
    because="only this has maps of codes, one on top of the other",
    cures=("a level is idle",),
    rank=2,
)
def level_dropout(recipe: Recipe, dropout: float = 0.5) -> Recipe:
    """Decode a share of the training examples from their top maps alone.

    A bottom map of many codes can tell all of x by itself, and the decoder then need not read the map on top. Without
    the bottom map it must, so that the top map learns to tell what is global. Evaluation reads all maps. The maps may
    have come with another remedy, such as hierarchical_quantized, so this one claims no field for itself. Residual
    stages have the same as a setting of residual_quantized; idle ones are the last, and for these it does nothing.

    Args:
        recipe: The recipe to change; its z has two maps of codes or more.
        dropout: Share of the examples, above 0 and at most 1, that are decoded from a random number of top maps.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = replace(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), posterior=HierarchicalQuantized())
        >>> level_dropout(recipe, dropout=0.3).posterior.dropout
        0.3
    """
    if not 0 < dropout <= 1:
        raise DoesNotFit(f"level_dropout: dropout is {dropout}, wanted a share above 0 and at most 1; try 0.5")
    posterior = recipe.posterior
    assert isinstance(posterior, HierarchicalQuantized)  # see needs
    if posterior.levels < 2:
        raise DoesNotFit("level_dropout: z has one map of codes, and no other to leave out; leave it out")
    if posterior.dropout > 0:
        raise DoesNotFit(f"level_dropout: posterior.dropout is {posterior.dropout} already; leave out one of them")
    return replace(recipe, posterior=replace(posterior, dropout=dropout))
