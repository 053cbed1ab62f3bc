"""Free bits: a rate below a floor costs nothing, so that collapsing gains nothing."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits


@remedy(family="tweak the ELBO", source="Kingma et al. 2016")
def free_bits(recipe: Recipe, per_group: float = 0.25, total: float = 0.0) -> Recipe:
    """Do not punish the rate below a floor, in nats, taken after the mean over the batch.

    Args:
        recipe: The recipe to change.
        per_group: Floor of each latent group, in nats.
        total: Floor of all groups together, in nats; where it is set, it stands instead of ``per_group``.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec
        >>> recipe = baseline(Mnist5k(), DataSpec("image", (1, 28, 28)))
        >>> recipe.objective.name(), free_bits(recipe, per_group=0.5).objective.per_group
        ('elbo', 0.5)
    """
    if not isinstance(recipe.objective, ELBO | FreeBits):
        raise DoesNotFit(
            f"free_bits puts a floor under the rate of the ELBO, and the objective is {recipe.objective.name()}"
        )
    if not recipe.prior.factorised and total == 0:
        raise DoesNotFit(
            f"under the {recipe.prior.name()} prior z is one group, because its dimensions depend on each other, and "
            "a floor for each group means little: try free_bits:total=4"
        )
    if recipe.posterior.discrete:
        raise DoesNotFit("free_bits puts a floor under the rate, and that of codes cannot fall, whatever they say")
    floor = {"total": total} if total != 0 else {"per_group": per_group}
    return replace(recipe, objective=FreeBits(**floor, beta=recipe.objective.beta, samples=recipe.objective.samples))
