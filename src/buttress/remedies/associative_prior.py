"""Associative compression: the prior is told the code of a similar example, and z pays for what is new in x alone."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.associative import Associative


@remedy(
    family="informative prior",
    source="Graves et al. 2018 (associative compression networks)",
    takes={"prior": "standard_normal", "posterior": "gaussian"},
    cures=("the model ignores z", "all q together are far from the prior"),
    codes=False,
    rank=6,
)
def associative_prior(recipe: Recipe, neighbours: int = 5, components: int = 8, unit_variance: bool = True) -> Recipe:
    """Tell the prior, in training, the code of one of the nearest other examples.

    What training minimises is then no bound on log p(x). Outside training p(z) is the mean over the codes of all
    training examples, so that ELBO and NLL can be compared with those of other models; what a neighbour saves is
    measured beside them, as the unordered and the ordered cost.

    Args:
        recipe: The recipe to change.
        neighbours: Among how many nearest codes one is drawn.
        components: Gaussians in the mixture that the prior is.
        unit_variance: Whether q(z|x) has variance 1, as in the paper; else it is learned.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = associative_prior(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), neighbours=3)
        >>> recipe.prior.name(), recipe.prior.neighbours, recipe.posterior.variance
        ('associative', 3, 'unit')
    """
    assert isinstance(recipe.posterior, GaussianPosterior)  # see takes
    posterior = recipe.posterior.replace(variance="unit") if unit_variance else recipe.posterior
    return replace(recipe, posterior=posterior, prior=Associative(neighbours=neighbours, components=components))
