"""VQ-CPC: codes of sound that tell what comes next from what the same speaker says elsewhere; there is no decoder."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.critics.contrastive import Contrastive
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import DEEP, with_codes


@remedy(
    family="discrete latents",
    source="van Niekerk, Nortje and Kamper 2020 (VQ-CPC)",
    takes={
        "algorithm": "joint",
        "posterior": "gaussian",
        "prior": "standard_normal",
        "encoder": ANYTHING,
        "critic": "none",
    },
    needs={"objective": ("elbo",), "encoder": ("conv1d",)},
    codes=False,
)
def contrastive_codes(
    recipe: Recipe,
    stride: int = 2,
    codes: int = 512,
    dim: int = 64,
    width: int = 128,
    deeper: int = 2,
    speaker: str = "",
    across: bool = False,
    steps: int = 6,
    ahead: int = 1,
    negatives: int = 17,
    hidden: int = 128,
    commitment: float = 0.25,
    first: float = 0.9,
) -> Recipe:
    """Let z be one code for every few frames, learned by telling codes to come from other codes of the same speaker.

    All candidates are of one speaker, so nothing is gained by codes that say who speaks.

    Args:
        recipe: The recipe to change.
        stride: Frames (or samples) that one code stands for, a power of 2.
        codes: Number K of codewords.
        dim: Numbers in a codeword.
        width: Channels of the encoder, whose layers are normalised with a stride above 16.
        deeper: Its layers at each place by itself.
        speaker: What the data call the speaker; empty for negatives of the same recording alone.
        across: Take negatives from all speakers, for comparison.
        steps: Codes ahead that are predicted.
        ahead: The first of them: above 1 where neighbouring codes are made of the same frames.
        negatives: Others that each code to come is compared with.
        hidden: Numbers in the state of the LSTM that reads the codes before.
        commitment: Weight of the pull of the encoder towards its codewords, a sum over their numbers, beside the sum
            over all predictions. The authors' code has means of both: its 0.25 is 0.25 * steps / dim here.
        first: Share of the steps that train the codes; the rest trains their prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.sounds import Sounds
        >>> recipe = baseline(Sounds("speech"), DataSpec(Layout.frames(40, longest=100)))
        >>> recipe = contrastive_codes(recipe, stride=4, speaker="label")
        >>> recipe.encoder.widths, recipe.critic.name(), recipe.critic.pool, recipe.critic.within
        ((128, 128), 'contrastive', 'batch', 'label')
    """
    layers = stride.bit_length() - 1
    if layers < 1 or stride != 1 << layers:
        raise DoesNotFit(f"contrastive_codes: stride is {stride}, wanted 2, 4, 8 or another power of 2")
    changed = with_codes(
        recipe,
        "contrastive_codes",
        VectorQuantized(codes=codes, dim=dim, commitment=commitment),
        RecurrentPrior(),
        True,
        first,
    )
    critic = Contrastive(steps, ahead, negatives, hidden=hidden)
    if speaker or across:
        critic = critic.replace(pool="batch", within="" if across else speaker)
    return replace(
        changed,
        encoder=Conv1dEncoder(widths=(width,) * layers, positions=True, deeper=deeper, normalize=layers > DEEP),
        critic=critic,
    )
