"""vq-wav2vec: groups of codes of sound that tell what comes next from what the same recording says elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from buttress.core import Posterior
from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.critics.contrastive import Contrastive
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import with_codes
from buttress.schedules.constant import Constant

LONGEST = 100_000
"""Samples that one code may stand for: seconds of sound."""


@remedy(
    family="discrete latents",
    source="Baevski, Schneider and Auli 2020 (vq-wav2vec)",
    takes={
        "algorithm": "joint",
        "posterior": "gaussian",
        "prior": "standard_normal",
        "encoder": ANYTHING,
        "critic": "none",
        "objective.beta": 1.0,
    },
    needs={"objective": ("elbo",), "encoder": ("conv1d",)},
    codes=False,
)
def wav2vec_codes(
    recipe: Recipe,
    quantizer: Literal["kmeans", "gumbel"] = "kmeans",
    stride: int = 1,
    codes: int = 320,
    groups: int = 2,
    shared: bool = False,
    dim: int = 32,
    width: int = 64,
    deeper: int = 2,
    steps: int = 8,
    ahead: int = 0,
    negatives: int = 10,
    layers: int = 3,
    commitment: float = 0.25,
    revive: int | None = None,
    first: float = 0.9,
) -> Recipe:
    """Let z be groups of codes of sound, learned by telling those to come from others of the same recording.

    The codes of all groups at a place make one of codes^groups units. A causal convolution reads the codes so far, and
    each candidate is asked by itself whether it comes next. There is no decoder.

    While nothing can be foretold yet, it pays to say no to all candidates, and so to move all vectors towards one: in
    the first steps they come so close together that one codeword is nearest to all, most of all on raw samples.
    Codewords of k-means move too little to follow, so that it is their restarts that bring them back.

    Args:
        recipe: The recipe to change.
        quantizer: "kmeans", the nearest codeword, straight through, learned by gradient; or "gumbel", a draw by the
            Gumbel trick from probabilities that the encoder gives, tau falling from 2 to 0.5 in the first 70 % of the
            steps that train codes. Nothing is paid for their rate: with the rate in the loss the probabilities would
            stay even.
        stride: Frames or samples that one code stands for; its prime factors are the strides of the layers, largest
            first.
        codes: Number K of codewords of a group.
        groups: Codes at each place.
        shared: Whether groups choose from one codebook.
        dim: Numbers in a codeword.
        width: Channels of the encoder.
        deeper: Its layers at each place by itself.
        steps: Codes ahead that are predicted.
        ahead: The first of them; 0 for the first that is made of other frames than the last code that is known.
        negatives: Others of the recording that each code to come is compared with.
        layers: Of the causal convolution, which sees 2^layers - 1 places before its own.
        commitment: Of kmeans, the weight of the pull of the encoder towards its codewords, a sum over their numbers.
            The authors' code has means, and counts it once for each step ahead: its 0.25 is
            0.25 * steps / (groups * dim) here. Where nothing is revived, more lets codewords die.
        revive: Of kmeans, the steps without use after which a codeword becomes an output of the encoder; more than the
            run has for never, as in the paper. None for a tenth of the steps that train codes, at most 100.
        first: Share of the steps that train the codes; the rest trains their prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.sounds import Sounds
        >>> recipe = baseline(Sounds("speech", "wave", crop=16000), DataSpec(Layout.wave(16000)))
        >>> recipe = wav2vec_codes(recipe, stride=160)
        >>> recipe.encoder.strides, recipe.critic.loss, recipe.critic.first, recipe.posterior.slots
        ((5, 2, 2, 2, 2, 2), 'binary', 4, 2)
    """
    strides = _prime_factors(stride)
    learned = round(first * recipe.training.steps) if 0 < first < 1 else 1  # else refused below
    if revive is None:
        revive = max(1, min(100, learned // 10))
    encoder = Conv1dEncoder(
        (width,) * len(strides), positions=True, deeper=deeper, strides=strides, normalize=True, compress=True
    )
    made: Posterior = VectorQuantized(
        codes, dim, groups, shared, learning="gradient", commitment=commitment, revive=revive, normalize=True
    )
    if quantizer == "gumbel":
        made = CategoricalPosterior(codes, dim, groups, 2.0, 0.5, max(1, round(0.7 * learned)), shared, hidden=width)
    changed = with_codes(recipe, "wav2vec_codes", made, RecurrentPrior(), True, first)
    return replace(
        changed,
        encoder=encoder,
        objective=recipe.objective.replace(beta=Constant(0.0)) if quantizer == "gumbel" else recipe.objective,
        critic=Contrastive(
            steps, ahead or encoder.apart, negatives, context="conv", hidden=width, layers=layers, loss="binary"
        ),
    )


def _prime_factors(number: int) -> tuple[int, ...]:
    """The largest first; (1,) of 1.

    Example:
        >>> _prime_factors(160), _prime_factors(1)
        ((5, 2, 2, 2, 2, 2), (1,))
    """
    if not 1 <= number <= LONGEST:
        raise DoesNotFit(f"wav2vec_codes: stride is {number}, wanted 1 to {LONGEST:,} frames or samples")
    found, factor = [], 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor += 1
    return tuple(found[::-1]) or (1,)
