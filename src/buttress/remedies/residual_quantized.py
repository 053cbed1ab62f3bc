"""Residual codes: a coarse codeword, then codewords for what is left over."""

from __future__ import annotations

from buttress.core import Prior
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.residual_quantized import ResidualQuantized
from buttress.priors.level_product import LevelProduct
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import TAKES, mapped, with_codes


@remedy(
    family="discrete latents",
    source="Zeghidour et al. 2021 (SoundStream); Lee et al. 2022 (RQ-VAE)",
    takes=TAKES,
    needs={"objective": ("elbo",)},
    cures=("the model ignores z",),
    codes=False,
)
def residual_quantized(
    recipe: Recipe,
    codes: int = 64,
    stages: int = 4,
    dim: int = 16,
    dropout: float = 0.0,
    spatial: bool | None = None,
    first: float = 0.75,
) -> Recipe:
    """Let z be a sum of codewords from several codebooks, then learn a prior over the codes.

    Args:
        recipe: The recipe to change.
        codes: Number K of codewords in each codebook.
        stages: Number of codebooks.
        dim: Numbers in a codeword.
        dropout: Share of the training examples that are decoded from a random number of first stages.
        spatial: Codes at every place of a convolutional encoder's last map instead of one row for
            the whole example. By default where the decoder reads z place by place, as conv does.
        first: Share of the steps that train the autoencoder; the rest trains the prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = residual_quantized(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        >>> recipe.posterior.stages, recipe.prior.name(), recipe.algorithm.name()
        (4, 'level_product', 'two_stage')
    """
    places = mapped(recipe, spatial)
    prior: Prior = LevelProduct() if places else RecurrentPrior()
    posterior = ResidualQuantized(codes=codes, dim=dim, stages=stages, dropout=dropout)
    return with_codes(recipe, "residual_quantized", posterior, prior, places, first)
