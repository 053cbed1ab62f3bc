"""Those patients of :mod:`buttress.patients` whose trouble lies in their loss, as recipes that can be trained.

A patient of that folder is built from closed forms and has no recipe. But where the trouble is the variance of the
likelihood or the weight of the rate, training on the patient's own data under its own loss brings it about again, and
what is advised can be tried. The others have their trouble in weights that were set by hand (an encoder that is half
trained, a decoder that is deaf, a codebook of which one word is taken), which any training from scratch undoes: they
are not tried here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from buttress.baseline import baseline
from buttress.core.recipe import Recipe
from buttress.data.in_memory import as_data
from buttress.data.opened import opened
from buttress.decoders.linear import LinearDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.patients import patients
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.schedules.constant import Constant

__all__ = ["OF_LOSS", "Loss", "recipe_of"]


@dataclass(frozen=True)
class Loss:
    """What is wrong with the loss of a patient.

    Args:
        variance: sigma^2 of the likelihood, in the units of the data.
        beta: Weight of the rate.
        latents: Dimensions of z.
    """

    variance: float
    beta: float
    latents: int


OF_LOSS: Mapping[str, Loss] = {
    "mean_squared_error": Loss(10.0, 1.0, 3),
    "mean_squared_pixels": Loss(32.0, 1.0, 3),
    "weight_of_ten": Loss(1.0, 10.0, 2),
    "weight_of_five": Loss(1.0, 5.0, 2),
    "weight_of_twenty": Loss(1.0, 20.0, 1),
    "averaged_pixels_in_balance": Loss(1.0, 8.0, 3),
    "weight_of_a_twentieth": Loss(1.0, 0.05, 2),
    "light_columns": Loss(0.49, 0.2, 4),
}
"""By the name of the patient."""
STEPS = 400


def recipe_of(name: str) -> Recipe:
    """A VAE with a linear decoder on the data of a patient, under its loss.

    Args:
        name: One of :data:`OF_LOSS`.
    """
    loss, data = OF_LOSS[name], as_data(_data(name).numpy())
    spec = opened(data).spec
    start = baseline(data, spec)
    scaled = GaussianLikelihood(learned="fixed", dequantize=False)
    unit = float(scaled.build(spec).unit)
    training = replace(start.training, steps=STEPS, learning_rate=5e-3, validate_every=100, checkpoint_every=STEPS)
    return replace(
        start,
        encoder=MlpEncoder(hidden=(64,)),
        decoder=LinearDecoder(),
        posterior=GaussianPosterior(loss.latents),
        likelihood=scaled.replace(variance=loss.variance / unit**2),
        objective=start.objective.replace(beta=Constant(loss.beta)),
        training=training,
    )


def _data(name: str) -> Tensor:
    """The patient's data, as pictures of one row of pixels: they have one unit, and columns of a table one each."""
    batches = patients()[name].make().batches
    return torch.cat([getattr(x, "x", x).flatten(1) for x in batches]).float()[:, None, None]
