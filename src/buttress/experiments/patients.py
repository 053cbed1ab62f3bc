"""Small models with a known cause of collapse, and the same models under what is advised against it.

Each is trained in seconds. What its arms share are data, steps and seed; a remedy is applied with the setting that is
written here where the default is made for larger models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from buttress.algorithms.joint import Joint
from buttress.baseline import baseline
from buttress.core import Data, remedy
from buttress.core.batch import Batch
from buttress.core.recipe import Recipe
from buttress.data.in_memory import as_data
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.long_documents import LongDocuments
from buttress.data.lstm_text import LstmText
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.diagnostics.causes.collapsed_optimum import OPTIMUM, WEIGHED_DOWN
from buttress.diagnostics.causes.idle_level import IDLE
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.experiments.patient_pictures import kinds_of_pictures, tiles
from buttress.patients import patients as closed_forms
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.uniform import Uniform
from buttress.schedules.constant import Constant

__all__ = ["LOSSES", "UNTRIED", "Patient", "patients"]

UNTRIED = {
    "contrastive_codes": "it trains codes without a decoder, so there is none that could ignore z",
    "beta_vae": "a constant weight is a cause: above 1 of collapse, below 1 of a q that is too narrow",
    "factor_vae": "it makes the coordinates of z independent, and claims nothing of how much they are used",
    "hierarchical_quantized": "it needs maps of a conv encoder, and no patient that ignores z has one",
    "source_bottleneck": "it needs pairs of sentences, of which there is no patient",
    "wav2vec_codes": "it trains codes without a decoder, so there is none that could ignore z",
    "one_shot_conversion": "it needs sound, and there is no patient of sound",
    "speech_codes": "it needs sound, and there is no patient of sound",
}
"""Remedies that are tried on no patient, and why."""


@dataclass(frozen=True)
class Patient:
    """A recipe whose cause of collapse is known, and changed recipes that may cure it.

    Args:
        cause: As remedies name it in ``cures``.
        about: What it is, in a sentence.
        arms: "none", the recipe itself, then a recipe for each remedy or other change that is tried.
        seeds: Runs of each arm.
        name: That of the function that makes it.

    Example:
        >>> ill = patients()["squared_error"]()
        >>> ill.cause, list(ill.arms), ill.seeds
        ('the optimum is collapsed', ['none', 'calibrated_variance'], 1)
    """

    cause: str
    about: str
    arms: Mapping[str, Recipe]
    seeds: int = 1
    name: str = ""

    @property
    def all_seeds(self) -> range:
        """The seed of each run."""
        return range(self.seeds)


_known: dict[str, Callable[[], Patient]] = {}


def patients() -> dict[str, Callable[[], Patient]]:
    """What makes each patient, by name.

    Example:
        >>> "clusters" in patients()
        True
    """
    return dict(_known)


def _patient(make: Callable[[], Patient]) -> Callable[[], Patient]:
    _known[make.__name__] = lambda: replace(make(), name=make.__name__)
    return make


def _start(data: Data, steps: int, rate: float = 2e-3, **parts: Any) -> Recipe:
    """The baseline of some data with other parts, trained for some steps."""
    start = baseline(data, opened(data).spec)
    training = replace(start.training, steps=steps, learning_rate=rate, validate_every=100, checkpoint_every=steps)
    return replace(start, training=training, **parts)


def _arms(recipe: Recipe, *written: str) -> dict[str, Recipe]:
    """The recipe itself, and under each remedy."""
    return {"none": recipe, **{one: remedy.apply(one, recipe) for one in written}}


def _clusters(noise: float, factors: int = 3, columns: int = 8, rows: int = 3000) -> Data:
    """Rows around the corners of a cube: three signs behind eight columns."""
    random = np.random.default_rng(0)
    corners = random.choice([-1.0, 1.0], size=(rows, factors))
    weight = random.normal(size=(factors, columns))
    return as_data((corners @ weight + noise * random.normal(size=(rows, columns))).astype("float32"))


@_patient
def squared_error() -> Patient:
    """A variance of half the number of columns, above every eigenvalue."""
    recipe = _start(LinearGaussianData(dim=16, latent_dim=4, noise=0.5, n=2000), steps=400)
    ill = replace(recipe, likelihood=recipe.likelihood.replace(learned="fixed", variance=8.0))
    about = "a table of 16 columns and 4 factors; a squared error averaged over columns, so sigma^2 = 8"
    return Patient("the optimum is collapsed", about, _arms(ill, "calibrated_variance"))


@_patient
def heavy_rate() -> Patient:
    """A weight of 20 on the rate."""
    recipe = _start(LinearGaussianData(dim=16, latent_dim=2, noise=0.3, n=2000), steps=600)
    ill = replace(recipe, objective=recipe.objective.replace(beta=Constant(20.0)))
    about = "a table of 16 columns and 2 factors; the rate has a weight of 20"
    return Patient("the rate has a weight", about, {"none": ill, "beta = 1": recipe})


@_patient
def light_rate() -> Patient:
    """A weight of a twentieth on the rate."""
    recipe = _start(LinearGaussianData(dim=16, latent_dim=2, noise=0.3, n=2000), steps=600)
    ill = replace(recipe, objective=recipe.objective.replace(beta=Constant(0.05)))
    about = "the same table; the rate has a weight of 0.05"
    return Patient("the rate has a weight", about, {"none": ill, "beta = 1": recipe})


@_patient
def clusters() -> Patient:
    """Eight clusters and a linear decoder: q(z) has eight clusters too, and N(0, I) has none."""
    linear: dict[str, Any] = {"decoder": MlpDecoder(hidden=()), "posterior": GaussianPosterior(3)}
    recipe = _start(_clusters(noise=0.1), steps=800, **linear)
    about = "a table of 8 columns around the corners of a cube; a linear decoder, p(z) = N(0, I)"
    tried = ("flow_prior", "associative_prior:unit_variance=false")
    return Patient("all q together are far from the prior", about, _arms(recipe, *tried))


@_patient
def unready_encoder() -> Patient:
    """The decoder that made the data, and an encoder that has seen 20 batches."""
    data = LstmText(spread=0.0, hidden=32, words=100, length=8, train=4000, held_out=500, test=10)
    parts: dict[str, Any] = {"encoder": RecurrentEncoder(embedding=32, hidden=48), "posterior": GaussianPosterior(2)}
    recipe = _start(data, steps=20, decoder=data.decoder(), **parts)
    about = "sentences of a random LSTM, the same LSTM as a decoder that is not trained, 20 steps of the encoder"
    tried = (
        "aggressive:max_inner=20",
        "semi_amortized:steps=5",
        "pretrained_autoencoder",
        "pretrained_autoencoder:first=0.8:ramp=0.1:target=0.0",
    )
    return Patient("inference lags", about, _arms(recipe, *tried))


def _topics(steps: int = 500) -> Recipe:
    """Short documents, each with words of one topic of eight, and small LSTMs."""
    data = LongDocuments(
        topics=8, words=60, topic_words=5, shortest=10, longest=12, noise=0.0, train=4000, held_out=500
    )
    parts: dict[str, Any] = {
        "encoder": RecurrentEncoder(embedding=32, hidden=48, pooling="max"),
        "decoder": RecurrentDecoder(embedding=32, hidden=48),
        "posterior": GaussianPosterior(4),
    }
    return _start(data, steps, rate=4e-3, **parts)


@_patient
def documents() -> Patient:
    """An LSTM that guesses the topic from the words before."""
    codes = "codes=16:first=0.6"
    tried = (
        "kl_annealing:hold=0.3:fraction=0.5",
        "cyclical_annealing:cycles=2:ratio=0.8",
        "free_bits:per_group=0.5",
        "word_dropout",
        "inputless_decoder",
        "batch_norm:gamma=1.0",
        "target_rate:target=2.0",
        "info_vae:scale=10.0",
        "pretrained_autoencoder:target=2.0",
        f"vector_quantized:slots=1:{codes}",
        f"residual_quantized:stages=2:{codes}",
        "finite_scalar_quantized:levels=[4,4]:slots=1:first=0.6",
        f"discretized_bottleneck:chunks=2:{codes}",
        f"gumbel_softmax:slots=1:{codes}",
        "delta_vae",
        "delta_vae:auxiliary=true:first=0.6",
        "associative_prior",
        "skip_decoder",
        "decoder_dropout",
    )
    about = "documents of 10 to 12 words on 8 topics, LSTMs of 48 units"
    return Patient("the model ignores z", about, _arms(_topics(), *tried))


@_patient
def alike() -> Patient:
    """The last state of an LSTM, which forgets the first half of a document."""
    data = LongDocuments(
        topics=5, words=40, topic_words=5, shortest=20, longest=24, noise=0.5, train=4000, held_out=500
    )
    parts: dict[str, Any] = {
        "encoder": RecurrentEncoder(embedding=32, hidden=48),
        "decoder": RecurrentDecoder(embedding=32, hidden=16),
        "posterior": GaussianPosterior(4),
    }
    recipe = remedy.apply("kl_annealing:hold=0.3:fraction=0.5", _start(data, steps=350, rate=2e-3, **parts))
    about = "documents of 20 to 24 words with the topic in the first half; the last state of an LSTM, annealed"
    tried = ("pooled_encoder", "cosine_regularization:weight=10.0")
    return Patient("the encoder's features are alike", about, _arms(recipe, *tried))


@_patient
def dead_codebook() -> Patient:
    """Codewords that follow too slowly, are never revived, and do not hold the encoder."""
    plain = _start(_clusters(noise=0.3), steps=600, rate=0.06)
    healthy = _one_stage(remedy.apply("vector_quantized:codes=16:slots=1:dim=4", plain))
    slow = {"decay": 0.99999, "commitment": 0.0, "revive": 10**9}
    ill = replace(healthy, posterior=healthy.posterior.replace(**slow))
    about = "the corners of a cube; 16 codewords with a decay of 0.99999, no commitment, no revival, learning rate 0.06"
    fsq = "finite_scalar_quantized:levels=[4,4]:slots=1"
    arms = {**_arms(ill, "codebook_restarts"), fsq: _one_stage(remedy.apply(fsq, plain))}
    return Patient("the codebook is dead", about, arms)


@_patient
def idle_codewords() -> Patient:
    """Codewords that start at random and are learned by gradient, so that most stay where nothing is near them."""
    plain = _start(_clusters(noise=0.3), steps=600)
    healthy = _one_stage(remedy.apply("vector_quantized:codes=64:slots=1:dim=16", plain))
    idle = {"start": "random", "learning": "gradient", "revive": 10**9}
    ill = replace(healthy, posterior=healthy.posterior.replace(**idle))
    about = "the corners of a cube; 64 codewords that start at random, are learned by gradient and never revived"
    fsq = "finite_scalar_quantized:levels=[8,8]:slots=1"
    arms = {**_arms(ill, "codebook_restarts"), fsq: _one_stage(remedy.apply(fsq, plain))}
    return Patient("the codebook is under-used", about, arms)


@_patient
def brightness_alone() -> Patient:
    """A variance that only the brightness of an image exceeds, though four patterns differ too."""
    random = np.random.default_rng(0)
    ways = np.linalg.qr(np.concatenate([np.ones((1, 36)), random.normal(size=(4, 36))]).T)[0]
    z = random.normal(size=(3000, 5)) * np.array([7.0, 2.0, 2.0, 2.0, 2.0])
    x = z @ ways.T + 0.5 * random.normal(size=(3000, 36))
    parts: dict[str, Any] = {
        "encoder": MlpEncoder(hidden=(32,)),
        "decoder": MlpDecoder(hidden=(32,)),
        "posterior": GaussianPosterior(6),
    }
    recipe = _start(as_data(x.reshape(-1, 1, 6, 6).astype("float32")), steps=600, **parts)
    scaled = 6.0 / float(x.var(0).mean())  # the likelihood's unit is the standard deviation of a pixel
    ill = replace(recipe, likelihood=recipe.likelihood.replace(learned="fixed", variance=scaled))
    about = "images of 6 x 6 pixels; sigma^2 = 6 is above every eigenvalue but that of the brightness, 49"
    tried = ("calibrated_variance", "kl_annealing", "free_bits:per_group=0.5", "target_rate:target=6.0")
    return Patient("only a nuisance is encoded", about, _arms(ill, *tried))


def _too_many_stages(kinds: int, side: int, stages: int, about: str) -> Patient:
    """More stages than there is to say: the first tells the kind of a picture, and pixels are wrong by chance."""
    parts: dict[str, Any] = {"encoder": MlpEncoder(hidden=(64,)), "decoder": MlpDecoder(hidden=(64,))}
    staged = f"residual_quantized:codes={2 * kinds}:stages={stages}:dim=4"
    ill = _one_stage(remedy.apply(staged, _start(kinds_of_pictures(kinds, side), steps=400, **parts)))
    return Patient(IDLE, about, _arms(ill, "fewer_levels:levels=1"))


def _too_many_maps(side: int, levels: int, steps: int, about: str) -> Patient:
    """More maps than there is to say: the bottom one has a code for each tile, and tiles have nothing in common."""
    parts: dict[str, Any] = {
        "encoder": ConvEncoder(widths=(16,), blocks=0),
        "decoder": ConvDecoder(widths=(16,), blocks=0),
    }
    mapped = f"hierarchical_quantized:codes=8:dim=4:levels={levels}"
    ill = _one_stage(remedy.apply(mapped, _start(tiles(side), steps, **parts)))
    return Patient(IDLE, about, _arms(ill, "level_dropout", "fewer_levels"))


@_patient
def six_stages_for_a_kind() -> Patient:
    """Six residual stages where one tells all that there is."""
    return _too_many_stages(8, 6, 6, "pictures of 6 x 6 pixels of 8 kinds; six residual stages of 16 codes")


@_patient
def three_maps_of_tiles() -> Patient:
    """Three maps of codes where the bottom one tells all that there is."""
    return _too_many_maps(4, 3, 400, "4 x 4 tiles that are independent; maps of 1, 4 and 16 codes")


def _one_stage(recipe: Recipe) -> Recipe:
    """Codes under the uniform prior, whatever they say: the second stage refuses a dead codebook."""
    return replace(recipe, algorithm=Joint(), prior=Uniform())


def _digits() -> Data:
    """Digits of 7 x 7 black and white pixels."""
    x = opened(Mnist5k()).train.read(torch.arange(2400)).x.float()
    return as_data((torch.nn.functional.avg_pool2d(x, 4) > 64).float())


@_patient
def digits() -> Patient:
    """A PixelCNN to which z speaks so faintly that it learns from pixels alone."""
    parts: dict[str, Any] = {
        "encoder": MlpEncoder(hidden=(64,)),
        "decoder": PixelCNN(layers=3, channels=8, maps=8, gain=0.1),
        "posterior": GaussianPosterior(8),
    }
    recipe = _start(_digits(), steps=300, rate=4e-3, **parts)
    about = "digits of 7 x 7 pixels; a PixelCNN that sees all earlier ones, and z through a gain of 0.1"
    tried = (
        "kl_annealing:hold=0.3:fraction=0.5",
        "local_decoder:field=1",
        "vlae:field=3:total=2.0:hidden=64",
        "decoder_dropout",
    )
    return Patient("the model ignores z", about, _arms(recipe, *tried))


LOSSES: Mapping[str, tuple[float | None, float]] = {
    "mean_squared_error": (10.0, 1.0),
    "mean_squared_pixels": (32.0, 1.0),
    "weight_of_ten": (1.0, 10.0),
    "levels_that_do_not_pay": (8.5, 1.0),
    "paid_where_nothing_pays": (8.0, 1.0),
    "black_and_white_under_a_weight": (None, 9.0),
    "weight_of_five": (1.0, 5.0),
    "weight_of_twenty": (1.0, 20.0),
    "weight_of_fifteen": (1.0, 15.0),
    "averaged_pixels_in_balance": (1.0, 8.0),
    "weight_of_a_twentieth": (1.0, 0.05),
    "light_pixels": (0.49, 0.1),
    "light_columns": (0.49, 0.2),
}
"""Patients of :mod:`buttress.patients` whose trouble is in their loss: the variance of the likelihood, in squared units
of x (None where x is black and white), and the weight of the rate. Training from scratch brings it about again."""


def _from_scratch(name: str) -> Patient:
    """A closed form as a recipe: its data, and its loss."""
    known, (variance, beta) = closed_forms()[name], LOSSES[name]
    x = torch.cat([_x(batch) for batch in known.make().batches])
    x = x.float() if variance is None else x.flatten(1).float()
    recipe = _start(as_data(x), steps=600)
    if variance is not None:  # the likelihood's unit is the standard deviation of a column
        scaled = variance / float(x.var(0).mean())
        recipe = replace(recipe, likelihood=recipe.likelihood.replace(learned="fixed", variance=scaled))
    ill = replace(recipe, objective=recipe.objective.replace(beta=Constant(beta)))
    by_hand = {} if beta == 1 else {"beta = 1": recipe}
    cured = "calibrated_variance"
    remedies = _arms(ill, cured) if cured in remedy.cures(known.cause, ill) else {"none": ill}
    cause = WEIGHED_DOWN if known.cause == OPTIMUM and variance is None else known.cause
    return Patient(cause, f"trained on the data of the closed form: {known.about}", {**remedies, **by_hand}, name=name)


def _x(batch: Tensor | Batch) -> Tensor:
    return batch.x if isinstance(batch, Batch) else batch


_known |= {name: partial(_from_scratch, name) for name in LOSSES}
