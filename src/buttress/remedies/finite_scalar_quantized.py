"""Finite scalar quantisation: numbers rounded to a few values, with no codebook that could die."""

from __future__ import annotations

from buttress.core import Prior
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.finite_scalar_quantized import FiniteScalarQuantized
from buttress.priors.pixelcnn import PixelCNNPrior
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import TAKES, mapped, with_codes


@remedy(
    family="discrete latents",
    source="Mentzer et al. 2023 (FSQ)",
    takes=TAKES,
    needs={"objective": ("elbo",)},
    cures=("the model ignores z", "the codebook is dead", "the codebook is under-used"),
)
def finite_scalar_quantized(
    recipe: Recipe,
    levels: tuple[int, ...] = (8, 6, 5),
    slots: int = 0,
    spatial: bool | None = None,
    first: float = 0.75,
) -> Recipe:
    """Let z be numbers that are rounded to a few values each, then learn a prior over the codes that they make.

    Args:
        recipe: The recipe to change.
        levels: Values that each number of a code can take; their product is the number of codes.
        slots: Codes at each place, or where there are no places for the whole example; 0 for 1 and 8 of them.
        spatial: Codes at every place of a convolutional encoder's last map instead of a few for the whole example. By
            default where the decoder reads z place by place, as conv does.
        first: Share of the steps that train the autoencoder; the rest trains the prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = finite_scalar_quantized(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        >>> recipe.posterior, recipe.prior.name()
        (FiniteScalarQuantized(levels=(8, 6, 5), slots=1), 'pixelcnn')
    """
    places = mapped(recipe, spatial)
    prior: Prior = PixelCNNPrior() if places else RecurrentPrior()
    posterior = FiniteScalarQuantized(levels=levels, slots=slots or (1 if places else 8))
    return with_codes(recipe, "finite_scalar_quantized", posterior, prior, places, first)
