"""Skip connections from z: every layer of the decoder reads it, so that no layer on the way can lose it."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy


@remedy(
    family="connect z to the decoder",
    source="Dieng et al. 2019 (generative skip models)",
    takes={"decoder.skip": False},
    needs={"decoder": ("mlp", "conv", "recurrent", "transformer")},
    because="the pixelcnn, pixelsnail and causal_conv decoders give z to every layer already",
    cures=("the model ignores z",),
)
def skip_decoder(recipe: Recipe) -> Recipe:
    """Let every layer of the decoder read z, and not the first alone.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> recipe.decoder.skip, skip_decoder(recipe).decoder.skip
        (False, True)
    """
    decoder = recipe.decoder
    if getattr(decoder, "hidden", None) == ():
        raise DoesNotFit("skip_decoder: this decoder has one layer, and it reads z already; try --decoder.hidden 512")
    return replace(recipe, decoder=decoder.replace(skip=True))
