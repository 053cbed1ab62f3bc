"""Codes on several levels (VQ-VAE-2): a small map for what is global, larger ones below for what is local."""

from __future__ import annotations

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.priors.level_product import LevelProduct
from buttress.remedies._codes import TAKES, with_codes


@remedy(
    family="discrete latents",
    source="Razavi et al. 2019 (VQ-VAE-2)",
    takes=TAKES,
    needs={"objective": ("elbo",), "encoder": ("conv",)},
    codes=False,
)
def hierarchical_quantized(
    recipe: Recipe,
    levels: int = 2,
    codes: int = 64,
    dim: int = 16,
    attention: bool = True,
    given: int = 0,
    first: float = 0.75,
) -> Recipe:
    """Let z be maps of codes of several sizes, then learn a prior over them: attention on top, PixelCNNs below.

    Args:
        recipe: The recipe to change.
        levels: Number of maps, each half as high and wide as the one below it. The bottom one has the size of the
            encoder's last map.
        codes: Number K of codewords of each level.
        dim: Numbers in a codeword.
        attention: Whether the prior of the top map has self-attention over its places; else it is a PixelCNN too.
        given: Numbers in the vector by which the prior reads what the data offer beside x, such as a label; 0 for a
            prior that reads none of it.
        first: Share of the steps that train the autoencoder; the rest trains the prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = hierarchical_quantized(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), levels=3)
        >>> recipe.posterior.levels, recipe.prior.top, recipe.algorithm.name()
        (3, 'pixelsnail', 'two_stage')
    """
    posterior = HierarchicalQuantized(levels=levels, codes=codes, dim=dim)
    prior = LevelProduct(top="pixelsnail" if attention else "pixelcnn", given=given)
    return with_codes(recipe, "hierarchical_quantized", posterior, prior, True, first)
