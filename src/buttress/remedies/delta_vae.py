"""delta-VAE: a prior that no q(z|x) with independent positions can equal, so that the rate has a floor by design."""

from __future__ import annotations

from dataclasses import replace

from buttress.core import Encoder
from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.decoders._sentences import SentenceDecoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.encoders.rows import RowsEncoder
from buttress.encoders.transformer import TransformerEncoder
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.ar1 import AR1Prior


@remedy(
    family="informative prior",
    source="Razavi et al. 2019 (delta-VAE)",
    takes={"prior": "standard_normal", "posterior": "gaussian", "encoder": ANYTHING},
    needs={"decoder": ("recurrent", "transformer", "pixelcnn", "pixelsnail")},
    kinds=("text", "image"),
    codes=False,
)
def delta_vae(recipe: Recipe, delta: float = 2.0, dim: int = 4) -> Recipe:
    """One z for every position (row of an image), made of what is still to come, under an AR(1) prior.

    The rate of every example of the longest length is at least delta, whatever is learned. That z then tells something
    about x is likely, not certain: look at what shuffling it costs.

    Args:
        recipe: The recipe to change.
        delta: The least rate of an example of the longest length, in nats.
        dim: Dimensions of z at each position.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.lstm_text import LstmText
        >>> changed = delta_vae(baseline(LstmText(), DataSpec(Layout.text(1004, longest=11))), delta=1.5)
        >>> changed.prior, changed.posterior.dim, changed.encoder.positions, changed.encoder.backward
        (AR1Prior(delta=1.5), 4, True, True)
    """
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
