"""The two-stage algorithm on a small model with codes: what moves when, what it refuses, what it keeps."""

import csv
import math
import os
import signal
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.distributions import Independent, kl_divergence

from buttress.algorithms._stages import DECODE_EVERY
from buttress.algorithms.two_stage import DegenerateCodes, TwoStage
from buttress.core import Batch, DataSpec, Layout, Posterior, PosteriorModule, Space, Step
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe, Training
from buttress.core.records import Latent
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.decoders.mlp import MlpDecoder
from buttress.distributions.point import Point
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.priors.standard_normal import StandardNormal
from buttress.priors.uniform import Uniform
from buttress.training import engine
from buttress.training.callbacks import Callback
from buttress.training.checkpoint import load
from buttress.training.held_out import look
from buttress.training.run import Run, train

SETTINGS = Training(steps=40, batch_size=16, learning_rate=0.01)
SPEC = DataSpec(Layout.table(3), mean=torch.zeros(3), std=torch.ones(3), columns=("a", "b", "c"))


@dataclass(frozen=True)
class Signs(Posterior):
    """Two binary codes: whether each of two features is positive, with a straight-through gradient."""

    discrete: ClassVar[bool] = True

    def build(self, features, places=()):
        return SignsModule(features)


class SignsModule(PosteriorModule):
    z_shape, groups, space = (2,), ("z0", "z1"), Space((2,), 2)

    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, 2)

    def embed(self, value):
        return 2.0 * value - 1

    def forward(self, h, valid=None):
        return Independent(Point((self.linear(h) > 0).long()), 1)

    def latent(self, h, prior, samples=1, valid=None):
        a = self.linear(h)
        codes = (a > 0).long()[None].expand(samples, *a.shape)
        z = self.embed(codes) + a - a.detach()
        base = getattr(prior, "base_dist", None)
        by_group = prior.log_prob_by_group if base is None else base.log_prob
        pull = (a - self.embed(codes)).square().sum(-1)
        return Latent(z, -by_group(codes), codes=codes, penalty={"pull": pull})


def model(prior=None, posterior=None):
    torch.manual_seed(0)
    parts = (
        MlpEncoder(hidden=(6,)),
        posterior or Signs(),
        prior or RecurrentPrior(hidden=4),
        MlpDecoder(),
        GaussianLikelihood(),
    )
    return LatentVariableModel(SPEC, *parts).train()


def batch(number):
    return torch.randn(16, 3, generator=torch.Generator().manual_seed(number))


def step(number, x=None):
    x = batch(number) if x is None else x
    more = iter(range(1000 * number, 1000 * number + 999))
    return Step(number, Batch(x), lambda: Batch(batch(next(more)) if x is None else x))


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(before, module):
    return {
        name.partition(".")[0] for name, value in module.state_dict().items() if not torch.equal(value, before[name])
    }


def test_first_all_but_the_prior_moves_and_then_the_prior_alone():
    built = model()
    algorithm = TwoStage(first=0.5).build(built, ELBO(), SETTINGS)
    before = weights(built)
    logs = [algorithm.step(step(number)) for number in range(20)]
    assert moved(before, built) == {"encoder", "inference", "decoder"} and not algorithm.in_final_phase
    before = weights(built)
    logs += [algorithm.step(step(number)) for number in range(20, 40)]
    assert moved(before, built) == {"prior"} and algorithm.in_final_phase
    assert len({tuple(sorted(log)) for log in logs}) == 1 and set(logs[0]) == {"loss", "distortion", "rate", "pull"}
    torch.testing.assert_close(logs[3]["rate"], torch.full((2,), math.log(2)))
    assert logs[-1]["loss"] == pytest.approx(logs[-1]["rate"].sum().item(), abs=1e-6)


def test_the_rate_of_the_second_stage_is_that_of_the_learned_prior_and_the_distortion_that_of_the_frozen_decoder():
    built = model()
    algorithm = TwoStage(first=0.5).build(built, ELBO(), SETTINGS)
    x = batch(0)
    with torch.no_grad():
        terms = built.eval()(x)
    logs = algorithm.step(step(20, x))
    torch.testing.assert_close(logs["rate"], terms.latent.rate.mean(0))
    torch.testing.assert_close(logs["distortion"], terms.distortion.mean())
    for number in range(21, 20 + DECODE_EVERY):
        assert algorithm.step(step(number))["distortion"] is logs["distortion"]
    assert algorithm.step(step(20 + DECODE_EVERY))["distortion"] != logs["distortion"]


def test_the_uniform_prior_costs_log_k_for_each_code_and_no_other_prior_is_asked():
    x, built = batch(0), model()
    terms = built(x, 1, Uniform().build(built.inference.space)())
    torch.testing.assert_close(terms.latent.rate, torch.full((16, 2), math.log(2)))
    assert kl_divergence(Point(torch.tensor(1)), torch.distributions.Categorical(torch.ones(2))) == pytest.approx(
        math.log(2)
    )


@pytest.mark.parametrize("border", [10, 23])
def test_a_restored_algorithm_goes_on_as_if_nothing_had_happened(border):
    """In the first stage, and in the second between two looks at the distortion."""
    one = model()
    algorithm = TwoStage(first=0.5).build(one, ELBO(), SETTINGS)
    for number in range(border):
        algorithm.step(step(number))
    algorithm.after_validation({"rate": 1.0}, False)
    two = model()
    two.load_state_dict(weights(one))
    restored = TwoStage(first=0.5).build(two, ELBO(), SETTINGS)
    restored.load_state_dict(deepcopy(algorithm.state_dict()))
    for number in range(border, 30):
        logs, again = algorithm.step(step(number)), restored.step(step(number))
        assert all(torch.equal(logs[name], again[name]) for name in logs)
    assert moved(weights(one), two) == set()
    assert (restored.best, restored.in_final_phase) == (algorithm.best, algorithm.in_final_phase)


def test_of_the_second_stage_the_prior_with_the_best_held_out_rate_stays():
    built = model()
    algorithm = TwoStage(first=0.5).build(built, ELBO(), SETTINGS)
    algorithm.step(step(19))
    assert not algorithm.after_validation({"rate": 0.1}, False), "the prior was not yet trained"
    kept = None
    for number, rate in ((20, 1.5), (21, 1.2), (22, 1.3)):
        algorithm.step(step(number))
        assert not algorithm.after_validation({"rate": rate}, False)
        kept = weights(built.prior) if rate == 1.2 else kept
    algorithm.step(step(23))
    assert algorithm.after_validation({"rate": 1.4}, True)
    assert moved(kept, built.prior) == set()
    assert not algorithm.after_validation({"rate": 1.2}, True), "it is already the best"


def test_codes_that_say_nothing_are_refused_with_the_reason():
    built = model()
    with torch.no_grad():
        built.inference.linear.weight.zero_()
        built.inference.linear.bias.copy_(torch.tensor([1.0, -1.0]))  # codes 1 and 0, whatever x
    algorithm = TwoStage(first=0.5).build(built, ELBO(), SETTINGS)
    with pytest.raises(DegenerateCodes, match=r"\(step 20\) 2 of 2 codes are in use, .* perplexity of 1\.000"):
        algorithm.step(step(20))
    TwoStage(first=0.5, least=1).build(built, ELBO(), SETTINGS).step(step(20))


class Stop(Callback):
    """SIGTERM at a step."""

    def __init__(self, at):
        self.at = at

    def on_step(self, step, total, latest):
        if step == self.at + 1:
            os.kill(os.getpid(), signal.SIGTERM)


RECIPE = Recipe(
    LinearGaussianData(dim=4, latent_dim=2, n=120),
    MlpEncoder(hidden=(6,)),
    VectorQuantized(codes=4, dim=2, slots=2, revive=3),
    RecurrentPrior(embedding=3, hidden=4),
    MlpDecoder(hidden=(6,)),
    GaussianLikelihood(),
    ELBO(),
    TwoStage(first=0.5),
    Training(steps=24, batch_size=8, validate_every=4, checkpoint_every=6, learning_rate=0.02),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(RECIPE, tmp_path_factory.mktemp("runs") / "whole", progress=False)


@pytest.mark.parametrize("at", [4, 11, 12, 17], ids=["first stage", "border", "just behind it", "second stage"])
def test_a_resumed_run_equals_the_uninterrupted_one(at, whole, tmp_path):
    with pytest.raises(SystemExit):
        train(RECIPE, tmp_path / "run", progress=False, callbacks=[Stop(at)])
    run = train(RECIPE, tmp_path / "run", progress=False, resume=True)
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_the_last_row_is_about_the_prior_that_stays(whole):
    with (whole.folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "held_out"]
    second = [float(row["rate"]) for row in rows if int(row["step"]) > 12]
    assert second[-1] == min(second)
    assert {float(row["distortion"]) for row in rows if int(row["step"]) >= 12} == {float(rows[-1]["distortion"])}


def test_one_draws_from_the_learned_prior_or_from_the_uniform_one(whole):
    own, uniform = whole.sample(50, seed=1), whole.sample(50, seed=1, uniform=True)
    assert own.shape == uniform.shape == (50, 4) and not torch.equal(own, uniform)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoStage(first=1.0), "first is 1.0, wanted a share"),
        (lambda: TwoStage(least=0.5), "least is 0.5"),
        (lambda: TwoStage().build(model(Uniform()), ELBO(), SETTINGS), "nothing to learn; try the pixelcnn"),
        (
            lambda: TwoStage().build(model(StandardNormal(), GaussianPosterior(2)), ELBO(), SETTINGS),
            "made of real numbers",
        ),
        (lambda: TwoStage().build(model(), ELBO(), replace(SETTINGS, steps=1)), "each stage needs at least one step"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_patience_neither_keeps_nor_counts_what_the_first_stage_gives(tmp_path, monkeypatch):
    """Its ELBO may well be higher, where the autoencoder overfits; but its prior has learned nothing."""
    bounds = iter([-1.0, -2.0, -3.0, -5.0, -4.0, -4.5])
    monkeypatch.setattr(engine, "look", lambda *asked: {**look(*asked), "elbo": next(bounds)})
    recipe = replace(RECIPE, training=replace(RECIPE.training, patience=1))
    run = train(recipe, tmp_path / "run", progress=False)
    assert (run.progress.step, run.progress.best_step, run.progress.best_elbo) == (24, 20, -4.0)
    before = load(tmp_path / "run" / "state.safetensors")["model"]
    learned = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert learned and all(name.startswith("prior.") for name in learned), "the last step's prior is not the best"


def test_a_run_stopped_in_the_first_stage_speaks_though_nothing_is_kept_yet(tmp_path):
    recipe = replace(RECIPE, training=replace(RECIPE.training, patience=1))
    with pytest.raises(SystemExit):
        train(recipe, tmp_path / "run", progress=False, callbacks=[Stop(9)])
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert Run.load(tmp_path / "run").sample(2).shape == (2, 4)
