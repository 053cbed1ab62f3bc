"""Free bits: a rate below a floor costs nothing, so that collapsing gains nothing."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits
from buttress.remedies._codes import refuse_codes


@remedy(
    family="tweak the ELBO",
    source="Kingma et al. 2016",
    takes={"objective.per_group": ANYTHING, "objective.total": ANYTHING},
    needs={"objective": ("elbo", "free_bits")},
    cures=("the model ignores z",),
    codes=False,
    rank=2,
)
def free_bits(recipe: Recipe, per_group: float = 0.25, total: float = 0.0, per_example: bool = False) -> Recipe:
    """Do not punish the rate below a floor, in nats.

    Args:
        recipe: The recipe to change.
        per_group: Floor of each latent group, in nats.
        total: Floor of all groups together, in nats; where it is set, it replaces ``per_group``.
        per_example: Whether it is the rate of each example that costs nothing below the floor, and not the mean over
            the batch (Li et al. 2019).

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> recipe.objective.name(), free_bits(recipe, per_group=0.5).objective.per_group
        ('elbo', 0.5)
    """
    assert isinstance(recipe.objective, ELBO | FreeBits)  # see needs
    if not recipe.prior.factorised and total == 0:
        raise DoesNotFit(
            f"under the {recipe.prior.name()} prior z is one group, because its dimensions depend on each other, and "
            "a floor for each group means little: try free_bits:total=4"
        )
    refuse_codes(recipe, "free_bits")
    floor = FreeBits(total=total) if total != 0 else FreeBits(per_group=per_group)
    floor = floor.replace(per_example=per_example)
    return replace(recipe, objective=replace(floor, beta=recipe.objective.beta, samples=recipe.objective.samples))
