"""Discrete latents: z is made of codes, which the autoencoder is trained on as if all cost the same."""

from __future__ import annotations

from typing import Literal

from buttress.core import Prior
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.pixelcnn import PixelCNNPrior
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import TAKES, mapped, with_codes


@remedy(
    family="discrete latents",
    source="van den Oord et al. 2017 (VQ-VAE)",
    takes=TAKES,
    needs={"objective": ("elbo",)},
    cures=("the model ignores z",),
    codes=False,
)
def vector_quantized(
    recipe: Recipe,
    codes: int = 64,
    slots: int = 0,
    dim: int = 16,
    learning: Literal["ema", "gradient"] = "ema",
    gradient: Literal["copy", "rotation"] = "copy",
    start: Literal["data", "random"] = "data",
    revive: int = 100,
    spatial: bool | None = None,
    first: float = 0.75,
) -> Recipe:
    """Let z be codes from a codebook, first trained as if all cost the same, then given a learned prior.

    Under the uniform prior of the first stage every code costs log K nats whatever it says, so that nothing is gained
    by ignoring z. The steps of both stages together are those of the recipe.

    Args:
        recipe: The recipe to change.
        codes: Number K of codewords.
        slots: Codes at each place, or where there are no places for the whole example; 0 for 1 and 8 of them.
        dim: Numbers in a codeword.
        learning: How codewords move: "ema", moving averages of the vectors that chose them, or "gradient".
        gradient: What the encoder receives of the decoder's gradient: a "copy" (straight through), or that of the
            "rotation" trick (Fifty et al. 2024).
        start: Codewords begin as outputs of the encoder ("data") or as "random" numbers.
        revive: Steps without use after which a codeword becomes an output of the encoder; more steps than the run has
            for never.
        spatial: Codes at every place of a convolutional encoder's last map, with a PixelCNN as their prior, instead of
            a few for the whole example, with an LSTM. By default where the decoder reads z place by place, as
            conv does.
        first: Share of the steps that train the autoencoder; the rest trains the prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = vector_quantized(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        >>> recipe.posterior.codes, recipe.posterior.slots, recipe.prior.name(), recipe.algorithm.name()
        (64, 1, 'pixelcnn', 'two_stage')

        Two ways to train a codebook beside each other::

            buttress compare DATA --remedies vector_quantized,vector_quantized:learning=gradient:gradient=rotation
    """
    places = mapped(recipe, spatial)
    prior: Prior = PixelCNNPrior() if places else RecurrentPrior()
    slots = slots or (1 if places else 8)
    posterior = VectorQuantized(codes, dim, slots, learning=learning, gradient=gradient, start=start, revive=revive)
    return with_codes(recipe, "vector_quantized", posterior, prior, places, first)
