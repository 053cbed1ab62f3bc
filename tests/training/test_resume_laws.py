"""A run that is stopped at a middle step and resumed equals the one that never stopped, bit for bit.

For every algorithm, objective, schedule, posterior, prior and condition of the catalogue, each in a small recipe.
"""

from __future__ import annotations

import signal
from dataclasses import fields, replace

import numpy as np
import pytest
import small

from buttress.algorithms.two_stage import TwoStage
from buttress.core import Schedule
from buttress.core.recipe import Recipe
from buttress.data.images import Images
from buttress.data.made_speech import MadeSpeech
from buttress.data.sounds import Sounds
from buttress.data.table import Table
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.unet import UNetDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.encoders.none import NoEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.uniform import Uniform
from buttress.training.callbacks import Callback
from buttress.training.run import train
from cells import tiny

STEPS, STOP = 12, 9
"""The length of a run, and after how many steps one is stopped: between two checkpoints, in the second stage of two."""
TABLE = replace(
    small.joint(steps=STEPS, validate_every=4, checkpoint_every=6, learning_rate=0.02),
    likelihood=GaussianLikelihood(learned="optimal"),  # which has a running mean to remember
)
CODES = replace(TABLE, posterior=VectorQuantized(codes=4, dim=2, revive=3), prior=Uniform(), objective=ELBO())
MAPS = replace(
    CODES,
    data=Images("pictures.npy"),
    encoder=ConvEncoder(widths=(3, 4), spatial=True),
    decoder=ConvDecoder(widths=(4, 3)),
    likelihood=Bernoulli(),
)
LARGE = replace(MAPS, encoder=ConvEncoder(widths=(3,), spatial=True), decoder=ConvDecoder(widths=(3,)))
"""Maps that can be halved twice."""
LEVELS = replace(MAPS, posterior=HierarchicalQuantized(codes=4, dim=2, revive=3))
SPEECH = MadeSpeech(train=12, held_out=4, phones=5, speakers=2, bands=3, spoken=3)
FRAMES = replace(
    CODES, data=SPEECH, encoder=Conv1dEncoder(widths=(4,), positions=True), decoder=UNetDecoder(scales=2, width=4)
)
"""Codes at the places of a sequence."""
LABELLED = replace(TABLE, data=Table("table.csv", label="kind"))


def with_objective(objective):
    """TABLE with it; a schedule in it is one that ends within the run."""
    held = [f.name for f in fields(objective) if isinstance(getattr(objective, f.name), Schedule)]
    return [replace(TABLE, objective=replace(objective, **dict.fromkeys(held, TABLE.objective.beta)))]


def with_prior(prior):
    """A recipe with it: codes come first and a prior that learns after them; maps where it wants some."""
    if not prior.discrete:
        return [replace(base, posterior=GaussianPosterior(2), prior=prior) for base in (TABLE, LABELLED)]
    stages = {} if prior == Uniform() else {"algorithm": TwoStage(first=0.5, least=1.0)}
    return [replace(base, prior=prior, **stages) for base in (CODES, MAPS, LEVELS)]


def with_posterior(posterior):
    if not posterior.reads:
        return [replace(CODES, encoder=NoEncoder(), posterior=posterior)]
    bases = (CODES, MAPS, LARGE, FRAMES) if posterior.discrete else (TABLE,)
    return [replace(base, posterior=posterior) for base in bases]


def with_algorithm(algorithm):
    """TABLE or codes with it, or a prior to learn on either, whichever it does not refuse."""
    real, codes = (next(part for part in tiny("priors") if part.name() == n) for n in ("recurrent_normal", "recurrent"))
    recipes = TABLE, replace(TABLE, prior=real), replace(CODES, prior=codes)
    return [replace(recipe, algorithm=algorithm) for recipe in recipes]


CELLS = {
    f"{part.name()}-{number}-{room}": recipes
    for room, make in {
        "algorithms": with_algorithm,
        "objectives": with_objective,
        "schedules": lambda schedule: [replace(TABLE, objective=ELBO(beta=schedule))],
        "posteriors": with_posterior,
        "priors": with_prior,
        "conditions": lambda condition: [replace(base, condition=condition) for base in (TABLE, LABELLED)],
    }.items()
    for number, part in enumerate(tiny(room))
    for recipes in [make(part)]
}


class End(Callback):
    """Asks for a stop after some steps."""

    def begin(self, engine):
        self.stop = engine.stop

    def on_step(self, step, total, latest):
        if step == STOP:
            self.stop.cell.value = signal.SIGTERM


def first_that_fits(recipes: list[Recipe]) -> Recipe:
    """The first recipe that can be built; the error of the last where none can."""
    for recipe in recipes:
        try:
            model = recipe.model(recipe.data.open().spec)
            recipe.algorithm.build(model, recipe.objective, recipe.training)
        except ValueError as refusal:
            error = refusal
        else:
            return recipe
    raise error


def _with_files_in(folder, recipe):
    path = getattr(recipe.data, "path", None)
    return recipe if path is None else replace(recipe, data=recipe.data.replace(path=str(folder / path)))


@pytest.mark.parametrize("recipes", CELLS.values(), ids=CELLS.keys())
def test_a_resumed_run_equals_one_that_never_stopped(recipes, tmp_path, own_cache):
    np.save(tmp_path / "pictures.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    noise = np.random.default_rng(1)
    rows = [f"{a:.3f},{b:.3f},{kind}\n" for kind in ("cat", "dog") for a, b in noise.standard_normal((40, 2))]
    (tmp_path / "table.csv").write_text("".join(["a,b,kind\n", *rows]))
    recipe = first_that_fits([_with_files_in(tmp_path, recipe) for recipe in recipes])
    train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(SystemExit):
        train(recipe, tmp_path / "run", progress=False, callbacks=[End()])
    train(recipe, tmp_path / "run", progress=False, resume=True)
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name


OF_MAPS = "hierarchical_quantized"
CODERS = [part for part in tiny("posteriors") if part.discrete and part.reads and part.name() != OF_MAPS]
FIRST = {part.name(): part for part in reversed(CODERS)}


@pytest.mark.parametrize("posterior", FIRST.values(), ids=lambda part: part.name())
def test_a_resumed_run_of_codes_of_raw_sound_equals_one_that_never_stopped(posterior, tmp_path, own_cache):
    """Crops of recordings, some of which are shorter than a crop."""
    soundfile = pytest.importorskip("soundfile", reason="needs the audio extra (soundfile)")
    (tmp_path / "sounds").mkdir()
    noise = np.random.default_rng(0)
    for i in range(24):
        samples = np.sin((0.1 + 0.02 * i) * np.arange(60 + 10 * i)) + 0.1 * noise.standard_normal(60 + 10 * i)
        soundfile.write(tmp_path / "sounds" / f"{i}.wav", 0.3 * samples, 8000)
    data = Sounds(str(tmp_path / "sounds"), "wave", crop=128, levels=16, held_out=0.3)
    encoder = Conv1dEncoder(widths=(3, 3), strides=(4, 4), positions=True)
    decoder = next(part for part in tiny("decoders") if part.name() == "wavenet")
    recipe = replace(CODES, data=data, encoder=encoder, decoder=decoder, likelihood=Categorical(), posterior=posterior)
    train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(SystemExit):
        train(recipe, tmp_path / "run", progress=False, callbacks=[End()])
    train(recipe, tmp_path / "run", progress=False, resume=True)
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
