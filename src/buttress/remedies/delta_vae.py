"""delta-VAE: a prior that no q(z|x) of the family can equal, so that the rate has a floor by design."""

from __future__ import annotations

from dataclasses import replace

from buttress.algorithms.auxiliary_prior import AuxiliaryPrior
from buttress.algorithms.joint import Joint
from buttress.core import Encoder
from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.decoders._sentences import SentenceDecoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.encoders.rows import RowsEncoder
from buttress.encoders.transformer import TransformerEncoder
from buttress.posteriors.committed_gaussian import CommittedGaussian
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.ar1 import AR1Prior
from buttress.priors.recurrent_normal import RecurrentNormal


@remedy(
    family="informative prior",
    source="Razavi et al. 2019 (delta-VAE)",
    takes={"prior": "standard_normal", "posterior": "gaussian", "encoder": ANYTHING},
    needs={"decoder": ("recurrent", "transformer", "pixelcnn", "pixelsnail")},
    kinds=("text", "image"),
    codes=False,
)
def delta_vae(
    recipe: Recipe,
    delta: float = 2.0,
    dim: int = 4,
    auxiliary: bool = False,
    independent: bool = False,
    first: float = 0.75,
) -> Recipe:
    """One z for every position (row of an image), made of what is still to come, under an AR(1) prior.

    The rate of every example of the longest length is at least delta, whatever is learned. That z then tells something
    about x is likely, not certain: look at what shuffling it costs.

    Args:
        recipe: The recipe to change.
        delta: The least rate of an example of the longest length, in nats.
        dim: Dimensions of z at each position; of z, where it is independent.
        auxiliary: Fit another prior to the z of the trained model in a second stage, and use that one from then on: it
            need not pay delta. The steps of both stages together are those of the recipe.
        independent: Keep one z for the whole example and the prior N(0, I), and hold q away from it instead.
        first: Share of the steps before the second stage, where there is one.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.lstm_text import LstmText
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> changed = delta_vae(recipe, delta=1.5)
        >>> changed.prior, changed.posterior.dim, changed.encoder.positions, changed.encoder.backward
        (AR1Prior(delta=1.5), 4, True, True)
        >>> changed = delta_vae(recipe, delta=1.5, auxiliary=True)
        >>> changed.prior.name(), changed.algorithm.name(), changed.algorithm.prior
        ('recurrent_normal', 'auxiliary_prior', AR1Prior(delta=1.5))
        >>> delta_vae(recipe, delta=1.5, independent=True).posterior
        CommittedGaussian(dim=4, delta=1.5)
    """
    changed = _independent(recipe, delta, dim) if independent else _by_position(recipe, delta, dim)
    if not auxiliary:
        return changed
    if not isinstance(recipe.algorithm, Joint):
        raise DoesNotFit(
            f"delta_vae:auxiliary=true sets the algorithm, and this recipe has the {recipe.algorithm.name()} "
            "algorithm; leave one of them out"
        )
    return replace(changed, prior=RecurrentNormal(), algorithm=AuxiliaryPrior(first=first, prior=changed.prior))


def _independent(recipe: Recipe, delta: float, dim: int) -> Recipe:
    return replace(recipe, posterior=CommittedGaussian(dim=dim, delta=delta))


def _by_position(recipe: Recipe, delta: float, dim: int) -> Recipe:
    assert isinstance(recipe.posterior, GaussianPosterior)  # see takes
    encoder = recipe.encoder
    anticausal: Encoder = RowsEncoder(cosine=encoder.cosine)
    if isinstance(encoder, RecurrentEncoder):
        anticausal = encoder.replace(positions=True, backward=True, bidirectional=False)
    elif isinstance(encoder, TransformerEncoder):
        anticausal = encoder.replace(positions=True, backward=True)
    elif isinstance(recipe.decoder, SentenceDecoder):
        raise DoesNotFit(
            f"delta_vae wants z at every token, and the {encoder.name()} encoder can't give it; try --encoder recurrent"
        )
    posterior = recipe.posterior.replace(dim=dim)
    return replace(recipe, encoder=anticausal, posterior=posterior, prior=AR1Prior(delta=delta))
