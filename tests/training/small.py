"""Small recipes, and runs in other processes that can be killed."""

from __future__ import annotations

import importlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from buttress.algorithms.aggressive import Aggressive
from buttress.algorithms.auxiliary_prior import AuxiliaryPrior
from buttress.algorithms.factor_vae import FactorVAE
from buttress.algorithms.joint import Joint
from buttress.algorithms.semi_amortized import SemiAmortized, Variant
from buttress.algorithms.two_stage import TwoStage
from buttress.conditions.embedding import Embedding
from buttress.core.recipe import Recipe, Training
from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.sentences import Sentences
from buttress.data.table import Table
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.ar1 import AR1Prior
from buttress.priors.conditional_normal import ConditionalNormal
from buttress.priors.pixelcnn import PixelCNNPrior
from buttress.priors.recurrent import RecurrentPrior
from buttress.priors.recurrent_normal import RecurrentNormal
from buttress.priors.standard_normal import StandardNormal
from buttress.schedules.linear import Linear

TRAINING = Training(steps=24, batch_size=8, validate_every=8, checkpoint_every=6, learning_rate=3e-3)


def joint(**training: Any) -> Recipe:
    """A VAE on a linear-GaussianPosterior table, annealed."""
    return Recipe(
        LinearGaussianData(dim=4, latent_dim=2, n=120),
        MlpEncoder(hidden=(6,)),
        GaussianPosterior(3),
        StandardNormal(),
        MlpDecoder(hidden=(6,)),
        GaussianLikelihood(),
        ELBO(beta=Linear(steps=10)),
        Joint(),
        replace(TRAINING, **training),
    )


def aggressive(**training: Any) -> Recipe:
    """The same, trained aggressively until step 12, when mutual information falls for the first time."""
    settings = {"validate_every": 4, "learning_rate": 0.02, "seed": 1, **training}
    return replace(joint(**settings), algorithm=Aggressive(max_inner=7, window=3, patience=1))


def floored(**training: Any) -> Recipe:
    """The same with a floor that some groups are above and some are below, and a phase that ends here too."""
    return replace(aggressive(**{"seed": 2, **training}), objective=FreeBits(per_group=0.3))


def dispersed(**training: Any) -> Recipe:
    """The first one, with features that are pushed apart more than anything else counts."""
    recipe = joint(**training)
    return replace(recipe, encoder=replace(recipe.encoder, cosine=50.0))


def semi_amortized(variant: Variant = "sa", **training: Any) -> Recipe:
    """The annealed VAE with q refined for each example, far enough to matter."""
    settings = {"learning_rate": 0.02, **training}
    return replace(joint(**settings), algorithm=SemiAmortized(refine_steps=3, refine_rate=0.1, variant=variant))


def sentences(path: Path, **training: Any) -> Recipe:
    """A sentence VAE with word dropout on a text file, trained aggressively."""
    return Recipe(
        Sentences(str(path)),
        RecurrentEncoder(embedding=4, hidden=6),
        GaussianPosterior(3),
        StandardNormal(),
        RecurrentDecoder(embedding=4, hidden=6, word_dropout=0.3, dropout=0.2),
        Categorical(),
        ELBO(),
        Aggressive(max_inner=4, window=2),
        replace(TRAINING, steps=10, validate_every=4, checkpoint_every=4, **training),
    )


def factor_vae(**training: Any) -> Recipe:
    """The annealed VAE with a discriminator that learns fast, clipped."""
    algorithm = FactorVAE(gamma=5.0, width=6, layers=1, discriminator_rate=0.02)
    return replace(joint(**{"clip": 1.0, **training}), algorithm=algorithm)


def two_stage(**training: Any) -> Recipe:
    """Two codes of an example, then a prior over them."""
    return replace(
        joint(**training),
        posterior=VectorQuantized(codes=4, dim=2, slots=2, revive=3),
        prior=RecurrentPrior(embedding=3, hidden=4),
        objective=ELBO(),
        algorithm=TwoStage(first=0.5),
    )


def auxiliary_prior(**training: Any) -> Recipe:
    """Three numbers under an AR(1) prior, then a prior over them that learns."""
    return replace(
        joint(**training),
        prior=RecurrentNormal(hidden=4),
        objective=ELBO(),
        algorithm=AuxiliaryPrior(first=0.5, prior=AR1Prior(delta=0.5)),
    )


def code_maps(path: Path, **training: Any) -> Recipe:
    """A code at each place of small grey pictures in a file, revived now and then, then a prior over the maps."""
    return replace(
        two_stage(**training),
        data=Images(str(path)),
        encoder=ConvEncoder(widths=(3, 4), spatial=True),
        posterior=VectorQuantized(codes=6, dim=2, revive=3),
        prior=PixelCNNPrior(layers=2, channels=4),
        decoder=ConvDecoder(widths=(4, 3)),
        likelihood=Bernoulli(),
    )


def conditional(path: Path, **training: Any) -> Recipe:
    """The annealed VAE of a table with labels, which posterior, decoder and prior read."""
    data, prior = Table(str(path), label="kind"), ConditionalNormal(dim=2)
    return replace(joint(**training), data=data, prior=prior, condition=Embedding(dim=2))


def attempt(recipe: str, folder: str, wound: tuple[str, int, bool] | None) -> None:
    """Start or resume a run, and be killed at the n-th call of a function: before it, or after it has done its work."""
    from buttress.training.run import train

    if wound is not None:
        kill_at(*wound)
    train(Recipe.from_yaml(recipe), Path(folder), resume=True, progress=False)


def rush(recipe: str, folder: str, start: Any, over: Any, said: Any) -> None:
    """Together with other processes, try to make a folder one's own; say what became of it, and wait for the end."""
    from buttress.training.lock import create, lock

    start.wait()
    try:
        with lock(Path(folder)):
            said.put("new" if create(Path(folder), Recipe.from_yaml(recipe), resume=True)[1] else "old")
            over.wait(30)
    except Exception as error:
        said.put(f"{type(error).__name__}: {error}")


def kill_at(name: str, number: int, after: bool) -> None:
    """Replace the function ``module:owner.function`` by one whose ``number``-th call is the end of this process."""
    module, _, path = name.partition(":")
    *owners, function = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, calls = getattr(owner, function), []

    def deadly(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, function, deadly)
