"""The VQ-VAE of speech: codes at a low rate from the waveform, and a WaveNet that is told who speaks."""

from __future__ import annotations

from dataclasses import replace

from buttress.conditions.embedding import Embedding
from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.decoders.gru import GruDecoder
from buttress.decoders.wavenet import WaveNet
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import DEEP, with_codes


@remedy(
    family="discrete latents",
    source="van den Oord et al. 2017 (VQ-VAE), section 4.3",
    takes={
        "algorithm": "joint",
        "posterior": "gaussian",
        "prior": "standard_normal",
        "condition": "none",
        "encoder": ANYTHING,
        "decoder": ANYTHING,
    },
    needs={"objective": ("elbo",), "encoder": ("conv1d",), "decoder": ("causal_conv", "wavenet", "gru")},
    codes=False,
)
def speech_codes(
    recipe: Recipe,
    stride: int = 64,
    codes: int = 256,
    dim: int = 64,
    width: int = 64,
    speaker: str = "",
    jitter: float = 0.0,
    first: float = 0.9,
) -> Recipe:
    """Let z be one code for every few samples or frames, and the decoder a WaveNet that knows the speaker.

    The posterior does not know the speaker, so that what one says can be decoded as another's (``buttress convert``).

    Args:
        recipe: The recipe to change; a wavenet or gru decoder in it stays as it is.
        stride: Samples (or frames) that one code stands for, a power of 2.
        codes: Number K of codewords.
        dim: Numbers in a codeword.
        width: Channels of the encoder, each layer of which halves the rate; with a stride above 16 all are normalised.
        speaker: What the data call the speaker, such as speaker or label; empty for a decoder that is told nothing.
        jitter: Probability that a code is replaced by one beside it, in training only (Chorowski et al. 2019).
        first: Share of the steps that train the autoencoder; the rest trains the prior of the codes.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.sounds import Sounds
        >>> recipe = baseline(Sounds("speech", "wave", crop=4096), DataSpec(Layout.wave(4096)))
        >>> recipe = speech_codes(recipe, stride=256, speaker="label")
        >>> len(recipe.encoder.widths), recipe.decoder.name(), recipe.condition.names, recipe.condition.inference
        (8, 'wavenet', ('label',), False)
    """
    layers = stride.bit_length() - 1
    if layers < 1 or stride != 1 << layers:
        raise DoesNotFit(f"speech_codes: stride is {stride}, wanted 2, 4, 8 or another power of 2")
    changed = with_codes(
        recipe,
        "speech_codes",
        VectorQuantized(codes=codes, dim=dim, slots=1, jitter=jitter),
        RecurrentPrior(),
        True,
        first,
    )
    return replace(
        changed,
        encoder=Conv1dEncoder(widths=(width,) * layers, positions=True, normalize=layers > DEEP),
        decoder=recipe.decoder if isinstance(recipe.decoder, WaveNet | GruDecoder) else WaveNet(),
        condition=Embedding((speaker,), inference=False) if speaker else recipe.condition,
    )
