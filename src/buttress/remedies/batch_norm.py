"""BN-VAE: the means of q are normalised over the batch, so that the rate cannot fall to 0."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.batch_normalized import BatchNormalized
from buttress.posteriors.gaussian import GaussianPosterior


@remedy(
    family="tweak the ELBO",
    source="Zhu et al. 2020 (BN-VAE)",
    takes={"posterior": "gaussian"},
    needs={"prior": ("standard_normal",)},
    cures=("the model ignores z",),
    codes=False,
)
def batch_norm(recipe: Recipe, gamma: float = 0.5) -> Recipe:
    """Give the mean of each dimension of z a fixed spread over the data: the rate is at least D gamma^2 / 2.

    Args:
        recipe: The recipe to change.
        gamma: The spread, in units of z.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> batch_norm(recipe, gamma=0.7).posterior.gamma
        0.7
    """
    q = recipe.posterior
    assert isinstance(q, GaussianPosterior)  # see takes
    posterior = BatchNormalized(q.dim, q.min_log_variance, q.max_log_variance, q.bias, gamma=gamma)
    return replace(recipe, posterior=posterior)
