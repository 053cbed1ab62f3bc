"""A local decoder: p(x_i | z, x nearby) can model texture by itself, but must ask z for everything larger."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, remedy


@remedy(
    family="weaken the decoder",
    source="Chen et al. 2016 (variational lossy autoencoder)",
    takes={"decoder.field": ANYTHING},
    needs={"decoder": ("pixelcnn",)},
    kinds=("image",),
)
def local_decoder(recipe: Recipe, field: int = 5) -> Recipe:
    """Let an autoregressive image decoder see only a small window of earlier pixels.

    Args:
        recipe: The recipe to change.
        field: Width of the window, in pixels, odd; 1 sees no pixel at all.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.decoders.pixelcnn import PixelCNN
        >>> recipe = replace(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), decoder=PixelCNN())
        >>> recipe.decoder.field, local_decoder(recipe).decoder.field
        (13, 5)
    """
    return replace(recipe, decoder=recipe.decoder.replace(field=field))
