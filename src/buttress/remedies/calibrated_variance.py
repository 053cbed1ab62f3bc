"""Calibrated variance: the likelihood's one sigma^2 is what the decoder leaves unexplained, no more and no less."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.likelihoods.gaussian import GaussianLikelihood


@remedy(
    family="tweak the ELBO",
    source="Rybkin et al. 2021",
    takes={"likelihood.learned": ANYTHING},
    needs={"likelihood": ("gaussian",)},
    cures=("the optimum is collapsed", "only a nuisance is encoded"),
)
def calibrated_variance(recipe: Recipe) -> Recipe:
    """Keep the variance of a Gaussian likelihood at its optimum while training.

    Where the variance is fixed above every eigenvalue of the data's covariance, as by a squared error averaged over the
    pixels, no z pays for itself; where it is above all but a few, z tells these alone (the brightness of an image,
    say). At its optimum it never is. A weight of the rate stays as it is in the recipe; the
    method means 1.

    Args:
        recipe: The recipe to change.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> recipe = baseline(LinearGaussianData(), DataSpec(Layout.table(16)))
        >>> recipe.likelihood.learned, calibrated_variance(recipe).likelihood.learned
        ('scalar', 'optimal')
    """
    assert isinstance(recipe.likelihood, GaussianLikelihood)  # see needs
    if recipe.likelihood.learned == "optimal":
        raise DoesNotFit("calibrated_variance sets likelihood.learned to optimal, which it is already; leave it out")
    return replace(recipe, likelihood=replace(recipe.likelihood, learned="optimal"))
