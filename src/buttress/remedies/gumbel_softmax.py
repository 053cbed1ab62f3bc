"""Categorical codes with probabilities, sampled by the Gumbel-softmax trick."""

from __future__ import annotations

from buttress.core import Prior
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.priors.pixelcnn import PixelCNNPrior
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import TAKES, mapped, with_codes


@remedy(
    family="discrete latents",
    source="Jang et al. 2017; Maddison et al. 2017",
    takes=TAKES,
    needs={"objective": ("elbo",)},
)
def gumbel_softmax(
    recipe: Recipe,
    codes: int = 64,
    slots: int = 0,
    dim: int = 16,
    spatial: bool | None = None,
    first: float = 0.75,
) -> Recipe:
    """Let z be codes drawn from a distribution that the encoder gives, then learn a prior over them.

    Unlike the codes of a codebook they have a rate that the encoder can lower: such a z can collapse.

    Args:
        recipe: The recipe to change.
        codes: Number K of codes.
        slots: Codes at each place, or where there are no places for the whole example; 0 for 1 and 8 of them.
        dim: Numbers in a codeword.
        spatial: Codes at every place of a convolutional encoder's last map instead of a few for the whole example. By
            default where the decoder reads z place by place, as conv does.
        first: Share of the steps that train the autoencoder; the rest trains the prior.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = gumbel_softmax(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        >>> recipe.posterior.name(), recipe.posterior.codes, recipe.algorithm.name()
        ('categorical', 64, 'two_stage')
    """
    places = mapped(recipe, spatial)
    prior: Prior = PixelCNNPrior() if places else RecurrentPrior()
    posterior = CategoricalPosterior(
        codes=codes, dim=dim, slots=slots or (1 if places else 8), anneal=max(1, recipe.training.steps // 2)
    )
    return with_codes(recipe, "gumbel_softmax", posterior, prior, places, first)
