"""The recipe to start from, for each kind of data: a decoder strong enough to do without z, and no remedy."""

from __future__ import annotations

from buttress.algorithms.joint import Joint
from buttress.decoders.mlp import Mlp as MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.recurrent import Recurrent as RecurrentDecoder
from buttress.encoders.conv import Conv
from buttress.encoders.mlp import Mlp
from buttress.encoders.recurrent import Recurrent
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import Gaussian as GaussianLikelihood
from buttress.likelihoods.logistic_mixture import LogisticMixture
from buttress.objectives.elbo import ELBO
from buttress.parts import Data, DataSpec
from buttress.posteriors.gaussian import Gaussian
from buttress.priors.standard_normal import StandardNormal
from buttress.recipe import Recipe, Training

__all__ = ["baseline"]


def baseline(data: Data, spec: DataSpec) -> Recipe:
    """A VAE for this data whose decoder is strong enough to ignore z.

    Grey images are read as Bernoulli pixels, binarised afresh at every presentation, and decoded by a PixelCNN; colour
    images as a mixture of logistics; maps of codes as symbols; sentences go through LSTMs; tables through MLPs with one
    learned variance.

    Args:
        data: Where the examples come from.
        spec: What ``data.open()`` measured on them.

    Example:
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.parts import DataSpec
        >>> baseline(Mnist5k(), DataSpec("image", (1, 28, 28))).decoder.name()
        'pixelcnn'
    """
    make = {"image": _image, "text": _text, "table": _table}[spec.kind]
    return make(data, spec)


def _image(data: Data, spec: DataSpec) -> Recipe:
    if spec.vocabulary:
        return _symbols(data, spec)
    likelihood = Bernoulli() if spec.shape[0] == 1 else LogisticMixture()
    training = Training(batch_size=50)
    return Recipe(data, Conv(), Gaussian(16), StandardNormal(), PixelCNN(), likelihood, ELBO(), Joint(), training)


def _symbols(data: Data, spec: DataSpec) -> Recipe:
    """Maps of codes are small: a PixelCNN that sees all of them, and an encoder that need not be a convolution."""
    likelihood = Categorical(levels=spec.vocabulary, ordinal=False)
    decoder, training = PixelCNN(field=None, channels=32), Training(batch_size=50)
    return Recipe(
        data, Mlp(hidden=(256,)), Gaussian(16), StandardNormal(), decoder, likelihood, ELBO(), Joint(), training
    )


def _text(data: Data, spec: DataSpec) -> Recipe:
    training = Training(batch_size=64)
    return Recipe(
        data, Recurrent(), Gaussian(16), StandardNormal(), RecurrentDecoder(), Categorical(), ELBO(), Joint(), training
    )


def _table(data: Data, spec: DataSpec) -> Recipe:
    latent = Gaussian(max(1, min(8, spec.shape[0] - 1)))
    likelihood = GaussianLikelihood(learned="scalar")
    return Recipe(data, Mlp(), latent, StandardNormal(), MlpDecoder(), likelihood, ELBO(), Joint(), Training())
