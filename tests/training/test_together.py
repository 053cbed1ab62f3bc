"""Two processes that share each batch equal one."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch

from buttress.algorithms.descent import NonFinite
from buttress.algorithms.info_vae import InfoVAE
from buttress.algorithms.pretrained import Pretrained
from buttress.algorithms.target_rate import TargetRate
from buttress.baseline import baseline
from buttress.core import registry, remedy
from buttress.data.images import Images
from buttress.data.made_speech import MadeSpeech
from buttress.data.made_translations import MadeTranslations
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.wavenet import WaveNet
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.none import NoEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.importance_weighted import ImportanceWeighted
from buttress.posteriors.batch_normalized import BatchNormalized
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.posteriors.committed_gaussian import CommittedGaussian
from buttress.posteriors.finite_scalar_quantized import FiniteScalarQuantized
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.posteriors.none import NoLatent
from buttress.posteriors.residual_quantized import ResidualQuantized
from buttress.priors.associative import Associative
from buttress.priors.level_product import LevelProduct
from buttress.priors.uniform import Uniform
from buttress.training import checkpoint
from buttress.training.callbacks import Callback
from buttress.training.progress import Progress
from buttress.training.run import train

pytestmark = pytest.mark.slow


LEVELS = replace(
    small.code_maps(Path("pictures.npy")),
    encoder=ConvEncoder(widths=(3,), spatial=True),
    posterior=HierarchicalQuantized(codes=6, dim=2, revive=3),
    prior=LevelProduct(layers=2, channels=4, embedding=2),
    decoder=ConvDecoder(widths=(3,)),
)
BOUNDED = replace(
    small.dispersed(),
    objective=ImportanceWeighted(samples=3),
    likelihood=GaussianLikelihood(learned="optimal"),
)


@pytest.mark.parametrize("recipe", [small.floored(), BOUNDED], ids=["floored", "dispersed"])
def test_two_processes_equal_one(tmp_path, recipe):
    """With inner loops, a phase that ends, and a floor under the global batch's mean rate; with a penalty on pairs,
    the importance-weighted bound and a variance that follows the residuals.
    """
    train(recipe, tmp_path / "one", progress=False)
    train(recipe, tmp_path / "two", progress=False, devices=2)
    one, two = (checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert_close(one, two)
    phase = one["algorithm"]["_extra_state"]
    if "active" in phase:
        assert not phase["active"] and phase["best"] > 0
    for a, b in zip(*((tmp_path / n / "metrics.csv").read_text().splitlines() for n in ("one", "two")), strict=True):
        assert_close([*map(number, a.split(","))], [*map(number, b.split(","))])


@pytest.mark.parametrize("variant", ["sa", "svi"])
def test_two_processes_refine_as_one(tmp_path, variant):
    recipe = small.semi_amortized(variant)
    train(recipe, tmp_path / "one", progress=False)
    train(recipe, tmp_path / "two", progress=False, devices=2)
    assert_close(*(checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two")))


def test_two_processes_share_the_discriminator_and_the_permutation_of_z(tmp_path):
    recipe = small.factor_vae()
    for name, devices in (("one", 1), ("two", 2)):
        train(recipe, tmp_path / name, progress=False, devices=devices)
    one, two = (checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert "discriminator.0.weight" in one["algorithm"]
    assert_close(one, two)


def test_two_processes_equal_one_given_labels(tmp_path):
    rows = [f"{a:.3f},{b:.3f},{'cat' if a > b else 'dog'}\n" for a, b in np.random.default_rng(1).normal(size=(80, 2))]
    (tmp_path / "table.csv").write_text("".join(["a,b,kind\n", *rows]))
    recipe = small.conditional(tmp_path / "table.csv")
    for name, devices in (("one", 1), ("two", 2)):
        train(recipe, tmp_path / name, progress=False, devices=devices)
    assert_close(*(checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two")))


def test_two_processes_equal_one_in_both_stages(tmp_path):
    recipe = small.two_stage()
    for name, devices in (("one", 1), ("two", 2)):
        train(recipe, tmp_path / name, progress=False, devices=devices)
    one, two = (checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert one["algorithm"]["_extra_state"]["kept"] is not None
    assert_close(one, two)


def test_two_processes_share_the_codebooks_of_two_levels(tmp_path, own_cache):
    np.save(tmp_path / "pictures.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    recipe = replace(LEVELS, data=Images(str(tmp_path / "pictures.npy")))
    for name, devices in (("one", 1), ("two", 2)):
        train(recipe, tmp_path / name, progress=False, devices=devices)
    assert_close(*(checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two")))


NORMALISED = replace(small.joint(), posterior=BatchNormalized(dim=3), algorithm=InfoVAE(scale=10.0))
HELD = replace(NORMALISED, algorithm=TargetRate(target=3.0, eta=0.1))
DRAWN = replace(small.two_stage(), posterior=CategoricalPosterior(codes=4, dim=2, slots=2, anneal=5))
LEFT_OVER = replace(small.two_stage(), posterior=ResidualQuantized(codes=4, dim=2, stages=2, dropout=0.5, revive=3))
ROUNDED = replace(
    DRAWN, posterior=FiniteScalarQuantized(levels=(3, 3)), prior=Uniform(), algorithm=Pretrained(first=0.5)
)
COMMITTED = replace(small.joint(), posterior=CommittedGaussian(dim=3, delta=1.0))
REMEMBERED = replace(
    small.joint(),
    posterior=GaussianPosterior(dim=3, variance="unit"),
    prior=Associative(neighbours=3, components=2, hidden=(4,)),
)
SPEECH = MadeSpeech(train=24, held_out=8, phones=5, speakers=2, bands=6, spoken=6)
UNITS = remedy.apply(
    "contrastive_codes:codes=6:dim=4:width=6:deeper=1:speaker=speaker:steps=2:negatives=3:hidden=5:first=0.5",
    replace(baseline(SPEECH, SPEECH.open().spec), training=small.two_stage().training),
)
UNITS = replace(UNITS, posterior=UNITS.posterior.replace(jitter=0.5))
"""With negatives from the rows of the other process, and codes replaced by their neighbours."""
SPOKEN = remedy.apply(
    "wav2vec_codes:codes=4:dim=4:width=6:deeper=1:steps=2:negatives=3:layers=1:first=0.5:shared=true",
    replace(baseline(SPEECH, SPEECH.open().spec), training=small.two_stage().training),
)
"""With a norm over the true places of each example, and two groups that share a codebook."""
SENTENCES = MadeTranslations(train=60, held_out=20, words=9, shortest=2, longest=9)
PAIRS = baseline(SENTENCES, SENTENCES.open().spec)
PAIRS = replace(
    PAIRS,
    decoder=PAIRS.decoder.replace(hidden=8, heads=2, layers=1, source_layers=1),
    training=small.joint(quantize=8, quantize_after=8).training,
)
"""With dropout on sources whose longest may lie in the other process, and rounded from the ninth step on."""
WAVES = remedy.apply(
    "speech_codes:stride=4:codes=6:dim=4:width=6:speaker=speaker:jitter=0.3:first=0.7",
    replace(baseline(SPEECH, SPEECH.open().spec), decoder=WaveNet.tiny()[0], training=small.two_stage().training),
)
"""With codes behind the true end of most recordings."""
VOICES = remedy.apply(
    "one_shot_conversion:codes=6:dim=4:scales=2:width=6",
    replace(baseline(SPEECH, SPEECH.open().spec), training=small.joint().training),
)
WITHOUT = replace(small.joint(), encoder=NoEncoder(), posterior=NoLatent(), prior=Uniform())
APART = {
    "units": UNITS,
    "spoken": SPOKEN,
    "pairs": PAIRS,
    "waves": WAVES,
    "voices": VOICES,
    "without": WITHOUT,
    "auxiliary": replace(small.auxiliary_prior(), posterior=GaussianPosterior(dim=3, variance="constant")),
    "committed": COMMITTED,
    "remembered": REMEMBERED,
    "normalised": NORMALISED,
    "held": HELD,
    "drawn": DRAWN,
    "left_over": LEFT_OVER,
    "rounded": ROUNDED,
}


@pytest.mark.parametrize("recipe", APART.values(), ids=APART)
def test_two_processes_share_moments_multipliers_and_codes(tmp_path, recipe):
    for name, devices in (("one", 1), ("two", 2)):
        train(recipe, tmp_path / name, progress=False, devices=devices)
    # A number between two steps of the rounding may fall to either side: entries may differ, norms may not.
    compared = near if recipe.training.quantize else assert_close
    compared(*(checkpoint.load(tmp_path / name / "state.safetensors") for name in ("one", "two")))


@pytest.mark.parametrize("room", ["algorithms", "objectives", "posteriors"])
def test_every_part_that_may_depend_on_the_number_of_processes_is_in_a_recipe_above(room):
    recipes = (small.floored(), BOUNDED, small.semi_amortized(), small.two_stage(), small.factor_vae(), LEVELS)
    recipes = (*recipes, *APART.values())
    assert {getattr(recipe, room.rstrip("s")).name() for recipe in recipes} == {*registry.names(room)}


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def entries(a, b, where):
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=lambda m: f"{where}: {m}")


def norms(a, b, where):
    assert a.shape == b.shape, where
    assert (a.double() - b.double()).norm() <= 1e-5 + 1e-3 * b.double().norm(), where


def near(a, b):
    assert_close(a, b, same=norms)


def assert_close(a, b, where="", same=entries):
    if isinstance(a, torch.Tensor):
        same(a, b, where)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            if key != "metrics_bytes":
                assert_close(a[key], b[key], f"{where}.{key}", same)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_close(x, y, f"{where}.{i}", same)
    else:
        assert a == (pytest.approx(b, rel=1e-3, abs=1e-5) if isinstance(b, float) else b), where


class Act(Callback):
    """At a step, in the first process only: spoil the model, or send a signal to the launching process."""

    def __init__(self, step: int, number: int = 0, parent: int = 0) -> None:
        self.step, self.number, self.parent = step, number, parent

    def begin(self, engine):
        self.model, self.first = engine.model, engine.fabric.is_global_zero

    def on_step(self, step, total, latest):
        if step != self.step or not self.first:
            return
        if self.number:
            os.kill(self.parent, self.number)
            time.sleep(0.2)
        else:
            list(self.model.decoder.parameters())[-1].data.fill_(torch.nan)


def test_sigterm_to_the_launcher_saves_and_the_run_goes_on_alone(tmp_path):
    whole = train(small.joint(), tmp_path / "whole", progress=False)
    act = Act(9, signal.SIGTERM, os.getpid())
    with pytest.raises(SystemExit):
        train(small.joint(), tmp_path / "run", progress=False, devices=2, callbacks=[act])
    stopped = Progress.read(tmp_path / "run")
    assert 9 <= stopped.step < 24 and stopped.stopped == signal.SIGTERM
    assert json.loads((Path(tmp_path) / "run" / "progress.json").read_text())["finished"] is False
    run = train(small.joint(), tmp_path / "run", progress=False, resume=True)
    assert_close(run.model.state_dict(), whole.model.state_dict())


def test_the_error_of_a_process_is_raised_in_the_launching_one(tmp_path, capfd, spawned):
    message = r"step 7: .*decoder.* became NaN or infinite\. The checkpoint of step 6 is kept"
    with pytest.raises(NonFinite, match=message):
        train(small.joint(), tmp_path / "run", progress=False, devices=2, callbacks=[Act(7)])
    assert capfd.readouterr() == ("", "")
