"""InfoVAE: the rate costs less or nothing, and all q together are pulled towards the prior instead."""

from __future__ import annotations

from dataclasses import replace

from buttress.algorithms.info_vae import InfoVAE
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.remedies._codes import refuse_codes


@remedy(
    family="tweak the ELBO",
    source="Zhao et al. 2019 (InfoVAE, MMD-VAE)",
    takes={"algorithm": "joint", "objective.beta": 1.0},
    needs={"objective": ("elbo",)},
    cures=("the model ignores z",),
    codes=False,
)
def info_vae(recipe: Recipe, alpha: float = 1.0, scale: float = 100.0) -> Recipe:
    """Lower the weight of the rate by alpha, and add the maximum mean discrepancy of q(z) from the prior.

    Args:
        recipe: The recipe to change.
        alpha: Share of the rate's weight that is taken away; 1 for the MMD-VAE.
        scale: Weight lambda of the discrepancy.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> info_vae(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), scale=500.0).algorithm
        InfoVAE(alpha=1.0, scale=500.0)
    """
    refuse_codes(recipe, "info_vae")
    return replace(recipe, algorithm=InfoVAE(alpha=alpha, scale=scale))
