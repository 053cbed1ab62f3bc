"""The variational lossy autoencoder: a local decoder, a flow prior that only shifts, and a floor under the rate."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, remedy
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits
from buttress.priors.autoregressive_flow import AutoregressiveFlow


@remedy(
    family="weaken the decoder",
    source="Chen et al. 2016 (variational lossy autoencoder)",
    takes={
        "decoder.field": ANYTHING,
        "decoder.spatial": ANYTHING,
        "prior": "standard_normal",
        "objective.per_group": ANYTHING,
        "objective.total": ANYTHING,
    },
    needs={"decoder": ("pixelcnn",), "objective": ("elbo", "free_bits")},
    cures=("the model ignores z",),
    kinds=("image",),
    codes=False,
)
def vlae(recipe: Recipe, field: int = 5, total: float = 7.84, transforms: int = 4, hidden: int = 640) -> Recipe:
    """Leave the decoder local statistics alone, and let the prior go where the codes of the data lie.

    z enters at every place of the image with a value of its own, so that what is not local can be read from it. The
    flow only shifts: one that also stretches may follow q and shrink with it. For a decoder or a prior alone see
    local_decoder and flow_prior.

    Args:
        recipe: The recipe to change.
        field: Width of the decoder's window, in pixels, odd; 1 sees no pixel at all.
        total: Floor under the rate of z, in nats: the paper's 0.01 for each number of x is 7.84 at 28 x 28.
        transforms: Transformations of the flow; every second reads z from its last coordinate.
        hidden: Units in each of the two hidden layers of each.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.decoders.pixelcnn import PixelCNN
        >>> recipe = replace(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), decoder=PixelCNN())
        >>> changed = vlae(recipe, field=3)
        >>> changed.decoder.field, changed.decoder.spatial, changed.objective.total
        (3, True, 7.84)
        >>> changed.prior
        AutoregressiveFlow(transforms=4, hidden=(640, 640), mean_only=True)
    """
    assert isinstance(recipe.objective, ELBO | FreeBits)  # see needs
    return replace(
        recipe,
        decoder=recipe.decoder.replace(field=field, spatial=True),
        prior=AutoregressiveFlow(transforms, (hidden, hidden), mean_only=True),
        objective=FreeBits(total=total, beta=recipe.objective.beta, samples=recipe.objective.samples),
    )
