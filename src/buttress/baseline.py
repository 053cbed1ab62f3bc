"""The recipe to start from, for each kind of data, without a remedy."""

from __future__ import annotations

import math
from dataclasses import replace

from buttress.algorithms.joint import Joint
from buttress.core import Data, DataSpec, Likelihood
from buttress.core.recipe import Recipe, Training
from buttress.decoders.causal_conv import CausalConv
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.cross_attention import CrossAttentionDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.none import NoEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.mixed import Mixed
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.none import NoLatent
from buttress.priors.standard_normal import StandardNormal
from buttress.priors.uniform import Uniform

__all__ = ["baseline", "binarised"]

NEARLY_BINARY = 0.6
"""Share of a two-valued variance from which on pixels are ink or paper and not grey. Black and white give 1, digits of
MNIST 0.78 and letters of Omniglot 0.72, whose edges alone are grey; greys spread evenly give a third, photographs of
CIFAR-10 and of a face 0.23 and 0.05."""
ALL_BINARY = 0.999
"""The same share where no pixel is grey, up to rounding."""


def baseline(data: Data, spec: DataSpec, examples: int | None = None) -> Recipe:
    """A VAE to start from: minutes of training on a CPU, and no remedy.

    Images have a convolutional encoder and decoder that grow with their size, so that the pixels are independent given
    z. Those of one channel that are nearly black and white, such as digits, are Bernoulli pixels, binarised afresh at
    every presentation; photographs, grey or in colour, and other real numbers are Gaussian with one learned variance;
    maps of codes are read as symbols by a PixelCNN. Sentences go through LSTMs, pairs of
    sentences through a Transformer without z; tables through MLPs with one learned
    variance, and with categories where columns hold words or values are missing.

    An autoregressive decoder of images, which is strong enough to ignore z, is chosen by name:
    ``--decoder pixelcnn`` on the command line, ``replace(recipe, decoder=PixelCNN())`` in Python.

    Args:
        data: Where the examples come from.
        spec: What ``data.open()`` measured on them.
        examples: How many there are to train on, at most so many of which make a batch; None for enough.

    Example:
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> digits = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> digits.encoder.widths, digits.posterior.dim, digits.decoder.widths, digits.likelihood.name()
        ((32, 128), 16, (128, 32), 'bernoulli')
    """
    make = {"image": _image, "text": _text, "table": _table}
    recipe = make.get(spec.kind, _sound)(data, spec)
    batch = recipe.training.batch_size
    batch = batch if examples is None else max(1, min(batch, examples))
    return replace(recipe, training=replace(recipe.training, batch_size=batch))


def _image(data: Data, spec: DataSpec) -> Recipe:
    if spec.vocabulary:
        return _symbols(data, spec)
    widths = _widths(max(spec.shape[1:]))
    return Recipe(
        data,
        ConvEncoder(widths, blocks=0),
        GaussianPosterior(min(128, max(16, math.prod(spec.shape) // 48))),
        StandardNormal(),
        ConvDecoder(widths[::-1], blocks=0),
        _of_pixels(spec),
        ELBO(),
        Joint(),
        Training(batch_size=_batch_size(math.prod(spec.shape[1:])), learning_rate=2e-3),
    )


def _widths(side: int) -> tuple[int, ...]:
    """Channels of the maps of an image, each half as large as the one before, down to at most 8 x 8.

    The larger a map the fewer its channels, because most of the time is spent on large maps.

    Example:
        >>> _widths(28), _widths(64), _widths(300)
        ((32, 128), (16, 32, 128), (16, 16, 16, 16, 32, 128))
    """
    stages = max(1, math.ceil(math.log2(side / 8)))
    return tuple(max(16, 128 >> 2 * k) for k in reversed(range(stages)))


def _batch_size(pixels: int) -> int:
    """50 up to 64 x 64 pixels, and fewer of larger images, for time and memory.

    Example:
        >>> _batch_size(28 * 28), _batch_size(200 * 300)
        (50, 8)
    """
    return min(50, max(8, 50 * 64**2 // pixels))


def _of_pixels(spec: DataSpec) -> Likelihood:
    """Grey levels and real numbers as a density whose means look right, what is all but black and white as bits."""
    ink = spec.shape[0] == 1 and two_valued(spec) >= NEARLY_BINARY
    if spec.levels == 0:
        fractions = spec.span is not None and spec.span[0] >= 0 and spec.span[1] <= 1
        return Bernoulli() if ink and fractions else GaussianLikelihood(dequantize=False)
    bits = spec.shape[0] == 1 and (ink or not _eight_bits(spec))
    return Bernoulli() if bits else GaussianLikelihood(variance=0.01)


def two_valued(spec: DataSpec) -> float:
    """How much of the variance that pixels of this mean m can have, m (1 - m), they have: 1 where all are 0 or 1.

    Example:
        >>> import torch
        >>> from buttress.core import Layout
        >>> mean = torch.full((1, 2, 2), 127.5)
        >>> image = Layout.image(1, 2, 2)
        >>> two_valued(DataSpec(image, mean=mean, std=mean)), two_valued(DataSpec(image))
        (1.0, 1.0)
    """
    if spec.mean is None or spec.std is None:
        return 1.0
    white = 255 if _eight_bits(spec) else 1
    mean, variance = spec.mean.double() / white, (spec.std.double() / white).square().sum().item()
    most = (mean * (1 - mean)).sum().item()
    return variance / most if most > 0 else 1.0


def _eight_bits(spec: DataSpec) -> bool:
    if spec.levels is not None:
        return spec.levels == 256
    return spec.mean is not None and bool(spec.mean.max() > 1)


def binarised(recipe: Recipe, spec: DataSpec) -> str:
    """What to tell a user whose grey pixels a recipe makes black and white; nothing where it does not.

    Args:
        recipe: What is about to be trained.
        spec: What ``recipe.data.open()`` measured.

    Example:
        >>> from dataclasses import replace
        >>> import torch
        >>> from buttress.core import Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> grey = DataSpec(Layout.image(1, 1, 2), mean=torch.full((1, 1, 2), 127.5), std=torch.full((1, 1, 2), 60.0))
        >>> recipe = baseline(Mnist5k(), grey)
        >>> recipe.likelihood.name(), binarised(recipe, grey)
        ('gaussian', '')
        >>> binarised(replace(recipe, likelihood=Bernoulli()), grey)
        'grey pixels are binarised at random; --likelihood logistic_mixture models grey levels'
    """
    likelihood = recipe.likelihood
    if not isinstance(likelihood, Bernoulli) or likelihood.binarize == "none":
        return ""
    if spec.kind != "image" or two_valued(spec) > ALL_BINARY:
        return ""
    how = "at random" if likelihood.binarize == "stochastic" else "at one half"
    grey = "logistic_mixture" if _eight_bits(spec) else "gaussian --likelihood.dequantize false"
    return f"grey pixels are binarised {how}; --likelihood {grey} models grey levels"


def _symbols(data: Data, spec: DataSpec) -> Recipe:
    """Maps of codes are small: a PixelCNN that sees all of them, and an encoder that need not be a convolution."""
    likelihood = Categorical(levels=spec.vocabulary, ordinal=False)
    decoder, training = PixelCNN(field=None, channels=32), Training(batch_size=50)
    return Recipe(
        data,
        MlpEncoder(hidden=(256,)),
        GaussianPosterior(16),
        StandardNormal(),
        decoder,
        likelihood,
        ELBO(),
        Joint(),
        training,
    )


def _text(data: Data, spec: DataSpec) -> Recipe:
    if any(column.symbols for column in spec.given):
        return _translation(data)
    training = Training(batch_size=64)
    return Recipe(
        data,
        RecurrentEncoder(),
        GaussianPosterior(16),
        StandardNormal(),
        RecurrentDecoder(),
        Categorical(),
        ELBO(),
        Joint(),
        training,
    )


def _translation(data: Data) -> Recipe:
    """A Transformer from the source to the target, without z: it is given more than a z of it could say."""
    return Recipe(
        data,
        NoEncoder(),
        NoLatent(),
        Uniform(),
        CrossAttentionDecoder(dropout=0.1, label_smoothing=0.1),
        Categorical(),
        ELBO(),
        Joint(),
        Training(batch_size=64),
    )


def _table(data: Data, spec: DataSpec) -> Recipe:
    latent = GaussianPosterior(max(1, min(8, spec.shape[0] - 1)))
    likelihood: Likelihood = GaussianLikelihood(learned="scalar")
    if any(spec.categories) or spec.missing:
        likelihood = Mixed()
    return Recipe(data, MlpEncoder(), latent, StandardNormal(), MlpDecoder(), likelihood, ELBO(), Joint(), Training())


def _sound(data: Data, spec: DataSpec) -> Recipe:
    """Strided convolutions, and a causal one that predicts the next sample or frame."""
    likelihood = Categorical(levels=spec.vocabulary) if spec.vocabulary else GaussianLikelihood(learned="per_site")
    decoder, training = CausalConv(), Training(batch_size=16)
    return Recipe(
        data,
        Conv1dEncoder(),
        GaussianPosterior(16),
        StandardNormal(),
        decoder,
        likelihood,
        ELBO(),
        Joint(),
        training,
    )
