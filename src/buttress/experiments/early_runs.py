"""Short runs that end with z used or not, over which the early warning is fitted and tested.

Nine sets of data, and of each as many recipes: decoders, the weight of the rate and how it is annealed, free bits, word
dropout, sizes of z, learning rates and lengths of training are dealt out so that each value is equally frequent and all
combinations are drawn at random. Nothing is chosen by how a run ends.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from buttress.baseline import baseline
from buttress.core import Data, Decoder, Encoder, Likelihood
from buttress.core.recipe import Recipe
from buttress.core.schedule import Schedule
from buttress.data.in_memory import as_data
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.long_documents import LongDocuments
from buttress.data.lstm_text import LstmText
from buttress.data.made_reviews import MadeReviews
from buttress.data.made_speech import MadeSpeech
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.data.shapes2d import Shapes2d
from buttress.decoders.causal_conv import CausalConv
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.gru import GruDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.decoders.transformer import TransformerDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.schedules.constant import Constant
from buttress.schedules.cyclical import Cyclical
from buttress.schedules.linear import Linear

__all__ = ["EACH", "ShortRun", "short_runs"]

EACH = 17
"""Runs of each set of data."""
ANNEALING = ("none", "none", "ramp", "late ramp", "cycles")
FLOORS = (0.0, 0.0, 0.0, 0.5, 2.0)
"""Nats of free bits, in total."""
RATES = (1e-3, 2e-3, 4e-3)
LATENTS = (2, 4, 8, 16)


@dataclass(frozen=True)
class ShortRun:
    """A recipe of the list, and what was dealt to it.

    Args:
        data: The name of the set of data.
        recipe: What to train.
        dealt: Settings by name, as the table shows them.

    Example:
        >>> run = short_runs()["linear_gaussian-00"]
        >>> run.data, sorted(run.dealt)
        ('linear_gaussian', ['annealing', 'beta', 'decoder', 'floor', 'latents', 'learning_rate', 'seed', 'steps'])
    """

    data: str
    recipe: Recipe
    dealt: Mapping[str, Any]


@dataclass(frozen=True)
class _Kind:
    """A set of data, and what its runs are dealt from."""

    data: Callable[[], Data]
    encoders: Mapping[str, Encoder]
    """By decoder, or "" for all."""
    decoders: Mapping[str, Decoder]
    likelihoods: Sequence[Likelihood | None]
    betas: Sequence[float]
    steps: Sequence[int]


def short_runs(each: int = EACH) -> dict[str, ShortRun]:
    """All runs by name.

    Args:
        each: Runs of each set of data.

    Example:
        >>> runs = short_runs(each=2)
        >>> len(runs), len({run.data for run in runs.values()})
        (18, 9)
    """
    return {f"{name}-{k:02d}": run for name, kind in _kinds().items() for k, run in enumerate(_dealt(name, kind, each))}


def _dealt(name: str, kind: _Kind, each: int) -> list[ShortRun]:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    columns = {
        "decoder": list(kind.decoders),
        "beta": kind.betas,
        "annealing": ANNEALING,
        "floor": FLOORS,
        "likelihood": kind.likelihoods,
        "latents": LATENTS,
        "learning_rate": RATES,
        "steps": kind.steps,
    }
    dealt = {column: _spread(values, each, random) for column, values in columns.items()}
    data = kind.data()
    start = baseline(data, opened(data).spec)
    rows = [{column: values[k] for column, values in dealt.items()} for k in range(each)]
    return [_run(name, kind, start, seed, row) for seed, row in enumerate(rows)]


def _spread(values: Sequence[Any], n: int, random: np.random.Generator) -> list[Any]:
    """n values, each as often as the others up to one, in random order."""
    return [values[i % len(values)] for i in random.permutation(n)]


def _run(name: str, kind: _Kind, start: Recipe, seed: int, dealt: dict[str, Any]) -> ShortRun:
    steps, decoder = dealt["steps"], kind.decoders[dealt["decoder"]]
    beta = _schedule(dealt["annealing"], dealt["beta"], steps)
    likelihood = dealt.pop("likelihood")
    recipe = replace(
        start,
        encoder=kind.encoders.get(dealt["decoder"]) or kind.encoders[""],
        decoder=decoder,
        likelihood=start.likelihood if likelihood is None else likelihood,
        posterior=GaussianPosterior(dealt["latents"]),
        objective=FreeBits(total=dealt["floor"], beta=beta) if dealt["floor"] else ELBO(beta=beta),
        training=replace(
            start.training,
            steps=steps,
            batch_size=64,
            learning_rate=dealt["learning_rate"],
            seed=seed,
            validate_every=steps,
            checkpoint_every=steps,
        ),
    )
    return ShortRun(name, recipe, {**dealt, "seed": seed})


def _schedule(annealing: str, beta: float, steps: int) -> Schedule:
    if annealing == "ramp":
        return Linear(steps=round(0.4 * steps), start=0.0, end=beta)
    if annealing == "late ramp":
        return Linear(steps=round(0.2 * steps), start=0.0, end=beta, hold=round(0.3 * steps))
    if annealing == "cycles":
        return Cyclical(steps=round(0.8 * steps), cycles=2, ratio=0.5, end=beta)
    return Constant(beta)


def _kinds() -> dict[str, _Kind]:
    mlp, conv = MlpEncoder(hidden=(64,)), ConvEncoder(widths=(16, 32), blocks=0)
    images = {"mlp": mlp, "pixelcnn": mlp, "conv": conv}
    drawn: dict[str, Decoder] = {
        "mlp": MlpDecoder(hidden=(64,)),
        "conv": ConvDecoder(widths=(32, 16), blocks=0),
        "pixelcnn": PixelCNN(layers=3, channels=8, maps=8),
        "pixelcnn (faint)": PixelCNN(layers=3, channels=8, maps=8, gain=0.1),
        "pixelcnn (near)": PixelCNN(field=3, layers=2, channels=8, maps=8),
    }
    images["pixelcnn (faint)"] = images["pixelcnn (near)"] = mlp
    table: dict[str, Decoder] = {
        "linear": MlpDecoder(hidden=()),
        "mlp": MlpDecoder(hidden=(32,)),
        "deep mlp": MlpDecoder(hidden=(32, 32)),
    }
    sentence: dict[str, Decoder] = {
        "lstm": RecurrentDecoder(embedding=24, hidden=48),
        "lstm (words dropped)": RecurrentDecoder(embedding=24, hidden=48, word_dropout=0.5),
        "lstm (no words)": RecurrentDecoder(embedding=24, hidden=48, word_dropout=1.0),
        "transformer": TransformerDecoder(hidden=32, layers=1, heads=2),
        "lstm (skip)": RecurrentDecoder(embedding=24, hidden=48, skip=True),
    }
    reads = {
        "": RecurrentEncoder(embedding=24, hidden=48, pooling="max"),
        "transformer": RecurrentEncoder(embedding=24, hidden=48),
    }
    frames: dict[str, Decoder] = {
        "causal conv": CausalConv(channels=16, layers=3),
        "causal conv (one layer)": CausalConv(channels=16, layers=1),
        "gru": GruDecoder(hidden=24, embedding=16, context=8, depth=1, width=24),
    }
    fixed = [GaussianLikelihood(variance=v, learned="fixed") for v in (0.5, 1.0, 2.0, 4.0)]
    free = [None, GaussianLikelihood(variance=0.5, learned="optimal")]
    rows: dict[str, Any] = {"likelihoods": (*fixed, *free), "betas": (0.5, 1.0, 1.0, 2.0, 4.0), "steps": (400, 800)}
    pixels: dict[str, Any] = {"betas": (0.5, 1.0, 1.0, 3.0, 8.0), "steps": (240, 400)}
    words: dict[str, Any] = {"likelihoods": (None,), "betas": (0.2, 0.5, 1.0, 1.0, 2.0), "steps": (240, 400)}
    sound = [None, GaussianLikelihood(variance=1.0, learned="fixed"), GaussianLikelihood(variance=3.0, learned="fixed")]
    grey = Categorical(levels=4)
    return {
        "digits": _Kind(_digits, images, drawn, (Bernoulli(),), **pixels),
        "shapes": _Kind(_shapes, images, drawn, (Bernoulli(),), **pixels),
        "grey_levels": _Kind(_grey_levels, images, drawn, (grey,), **pixels),
        "linear_gaussian": _Kind(_factors, {"": mlp}, table, **rows),
        "clusters": _Kind(_clusters, {"": mlp}, table, **rows),
        "long_documents": _Kind(_documents, reads, sentence, **words),
        "lstm_text": _Kind(_sentences, reads, sentence, **words),
        "made_reviews": _Kind(lambda: MadeReviews(train=3000, held_out=1000), reads, sentence, **words),
        "made_speech": _Kind(
            _speech, {"": Conv1dEncoder(widths=(16, 32))}, frames, sound, betas=(0.5, 1.0, 3.0, 8.0), steps=(240, 400)
        ),
    }


def _digits() -> Data:
    """Digits of 7 x 7 grey pixels, binarised at random."""
    x = opened(Mnist5k()).train.read(torch.arange(4000)).x.float()
    return as_data(torch.nn.functional.avg_pool2d(x, 4) / 255)


def _grey_levels() -> Data:
    """Digits of 7 x 7 pixels of one byte, whose likelihood reads four levels."""
    x = opened(Mnist5k()).train.read(torch.arange(4000)).x.float()
    return as_data(torch.nn.functional.avg_pool2d(x, 4).to(torch.uint8))


def _shapes() -> Data:
    return Shapes2d(size=8, scales=4, orientations=6, positions=3, held_out=0.25)


def _factors() -> Data:
    return LinearGaussianData(dim=16, latent_dim=4, noise=0.5, n=4000, held_out=0.25)


def _clusters() -> Data:
    """Rows of eight columns around the corners of a cube."""
    random = np.random.default_rng(0)
    corners = random.choice([-1.0, 1.0], size=(4000, 3))
    rows = corners @ random.normal(size=(3, 8)) + 0.3 * random.normal(size=(4000, 8))
    return as_data(rows.astype("float32"))


def _documents() -> Data:
    return LongDocuments(
        topics=8, words=60, topic_words=5, shortest=8, longest=10, noise=0.0, train=3000, held_out=1000
    )


def _sentences() -> Data:
    return LstmText(spread=2.0, hidden=32, words=100, length=8, train=3000, held_out=1000, test=10)


def _speech() -> Data:
    return MadeSpeech(train=1500, held_out=500, phones=8, bands=8, spoken=2)
