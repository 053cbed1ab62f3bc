"""VQVC+: codes of what is said on several time scales, and a few numbers for the voice, from one recording."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.decoders.unet import UNetDecoder
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.likelihoods.categorical import Categorical
from buttress.posteriors.unet_quantized import UNetQuantized
from buttress.priors.uniform import Uniform
from buttress.remedies._codes import check_settled


@remedy(
    family="discrete latents",
    source="Wu, Chen and Lee 2020 (VQVC+)",
    takes={
        "posterior": "gaussian",
        "prior": "standard_normal",
        "encoder": ANYTHING,
        "decoder": ANYTHING,
    },
    needs={"objective": ("elbo",), "encoder": ("conv1d",), "decoder": ("causal_conv", "unet")},
    codes=False,
)
def one_shot_conversion(
    recipe: Recipe,
    codes: int = 64,
    dim: int = 32,
    scales: int = 3,
    width: int = 64,
    quantizer: Literal["codebook", "none"] = "codebook",
    skips: bool = True,
    speaker_values: int = 16,
    normalize: bool = True,
) -> Recipe:
    """Let z be codes of what is said, on several time scales, and what they leave out for who says it.

    The voice is read off a single recording, so that it can be that of a speaker who was not in training:
    ``buttress convert RUN hello.wav --to_sound anna.wav``. Nobody need say who speaks. The codes cost the same each
    (the prior is uniform), so that all steps train the autoencoder. It is for log-mel frames: the coarsest code of raw
    samples would stand for a millisecond, in which there is no phone.

    Args:
        recipe: The recipe to change.
        codes: Codewords of the coarsest scale; each finer one has half as many.
        dim: Numbers in a codeword, and in the voice at each scale.
        scales: Number of time scales: T/2, T/4, T/8 and so on.
        width: Channels of encoder and decoder.
        quantizer: "codebook", or "none" for the U-Net alone.
        skips: Whether every scale has codes; if not, the coarsest alone.
        speaker_values: Values that each number of the voice is rounded to.
        normalize: Take what is constant in a recording out of what becomes codes; without this and the quantiser there
            is nothing left to exchange, and a conversion is the source again.

    Errors:
        DoesNotFit: The data are raw samples, or the weight of the rate changes in training.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.sounds import Sounds
        >>> recipe = one_shot_conversion(baseline(Sounds("speech"), DataSpec(Layout.frames(40, 100))), codes=32)
        >>> [book.codes for book in recipe.posterior.books], recipe.decoder.name(), recipe.algorithm.name()
        ([32, 16, 8], 'unet', 'joint')
    """
    check_settled(recipe, "one_shot_conversion")
    if isinstance(recipe.likelihood, Categorical):
        raise DoesNotFit(
            f"one_shot_conversion: these are raw samples, of which its coarsest code would stand for {2**scales}; "
            "wanted log-mel frames (--data.form mel), or speech_codes, which reads samples"
        )
    return replace(
        recipe,
        encoder=Conv1dEncoder(widths=(width,), activation="silu", positions=True),
        posterior=UNetQuantized(scales, codes, dim, quantizer, skips, speaker_values, normalize),
        prior=Uniform(),
        decoder=UNetDecoder(scales=scales, width=width, dim=dim),
    )
