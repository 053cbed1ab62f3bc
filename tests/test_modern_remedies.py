"""Batch-normalised means, a target for the rate, the MMD, and pretraining: each against what defines it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from buttress.algorithms.info_vae import PRIOR, InfoVAE, discrepancy
from buttress.algorithms.joint import Joint
from buttress.algorithms.pretrained import Pretrained
from buttress.algorithms.target_rate import TargetRate
from buttress.baseline import baseline
from buttress.core import Step, Training
from buttress.core.records import Latent, Terms
from buttress.core.remedy import apply
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.objectives.free_bits import FreeBits
from buttress.posteriors.batch_normalized import BatchNormalized
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal
from buttress.runtime.randomness import seed_step

DATA = LinearGaussianData(dim=4, latent_dim=2, n=200)
RECIPE = replace(baseline(DATA, DATA.open().spec), posterior=GaussianPosterior(2))
SETTINGS = Training(learning_rate=0.02, steps=400)


def trained(part, steps, settings=SETTINGS):
    torch.manual_seed(0)
    opened = DATA.open()
    model = RECIPE.model(opened.spec)
    module = part.build(model, RECIPE.objective, settings)
    batch = opened.train.read(torch.arange(100))
    logs = [module.step(Step(number, batch, lambda: batch)) for number in range(steps)]
    return model, module, logs


@cache
def plain_logs():
    """Of 400 steps without any remedy, which three tests compare with."""
    return trained(Joint(), 400)[2]


def test_normalised_means_have_the_fixed_spread_and_the_rate_its_floor():
    torch.manual_seed(0)
    module = BatchNormalized(dim=3, gamma=0.7).build(features=5).train()
    with torch.no_grad():
        module.shift.copy_(torch.tensor([0.0, 1.0, -2.0]))
    h = torch.randn(64, 5) @ torch.randn(5, 5) + 3
    q = module.normal(h)
    torch.testing.assert_close(q.loc.mean(0), module.shift.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(q.loc.var(0, correction=0), torch.full((3,), 0.49), atol=1e-3, rtol=0)
    latent = module.latent(h, StandardNormal().build(module.space)())
    assert latent.kl.sum(1).mean() >= 0.5 * (3 * 0.49 + 5.0) - 1e-3


def test_running_statistics_move_after_a_step_and_serve_evaluation():
    module = BatchNormalized(dim=1, gamma=1.0).build(features=1).train()
    h, prior = torch.randn(500, 1) * 3 + 5, StandardNormal().build(module.space)()
    module.latent(h, prior)
    assert module.running_mean.item() == 0
    for _ in range(200):
        module.latent(h, prior)
        module.after_step()
    loc = module.eval().normal(h).loc
    assert loc.mean().item() == pytest.approx(0, abs=0.01) and loc.std().item() == pytest.approx(1, abs=0.02)
    before = module.running_mean.clone()
    module.latent(h + 100, prior)
    module.after_step()
    assert torch.equal(module.running_mean, before)


def test_places_beyond_an_examples_length_do_not_count_in_the_batch():
    module = BatchNormalized(dim=2).build(features=3, places=(4,)).train()
    h, valid = torch.randn(6, 4, 3), torch.arange(4) < torch.tensor([4, 1, 2, 3, 4, 2])[:, None]
    one = module.forward(h, valid).base_dist.loc
    h[~valid] = 1e3
    assert torch.equal(module.forward(h, valid).base_dist.loc, one)


def test_the_rate_is_held_at_its_target_by_the_multiplier():
    _, module, logs = trained(TargetRate(target=6.0, eta=0.05), 400)
    free = plain_logs()[-1]["rate"].sum().item()
    assert free < 4
    late = torch.stack([log["rate"].sum() for log in logs[-50:]]).mean().item()
    assert late == pytest.approx(6.0, abs=0.5)
    assert 0 < module.multiplier.item() < 1.5


def test_a_target_that_is_met_anyway_changes_nothing():
    _, module, logs = trained(TargetRate(target=0.1, eta=0.05), 300)
    assert module.multiplier.item() == 0
    assert logs[-1]["rate"].sum().item() == pytest.approx(plain_logs()[299]["rate"].sum().item(), rel=0.2)


@pytest.mark.parametrize(
    ("part", "average", "met"),
    [
        (TargetRate(4.0), math.nan, False),
        (TargetRate(4.0), 3.5, False),
        (TargetRate(4.0), 3.7, True),
        (TargetRate(4.0), 9.0, True),
        (TargetRate(4.0, of="distortion"), 4.5, False),
        (TargetRate(4.0, of="distortion"), 1.0, True),
        (TargetRate(-4.0, of="distortion"), -3.5, False),
        (TargetRate(-4.0, of="distortion"), -3.7, True),
    ],
)
def test_a_model_that_misses_its_target_is_not_kept_as_the_best(part, average, met):
    _, module, _ = trained(part, 0)
    module.average.fill_(average)
    assert module.model_complete is met


def test_the_distortion_is_held_at_its_target_and_the_rate_falls():
    plain = plain_logs()
    distortion = torch.stack([log["distortion"] for log in plain[-50:]]).mean().item()
    _, _, logs = trained(TargetRate(target=distortion + 0.5, of="distortion", eta=0.03), 600)
    late = torch.stack([log["distortion"] for log in logs[-50:]]).mean().item()
    assert late == pytest.approx(distortion + 0.5, abs=0.25)
    assert logs[-1]["rate"].sum() < plain[-1]["rate"].sum()


def test_the_multiplier_is_in_the_checkpoint():
    _, module, _ = trained(TargetRate(target=6.0), 5)
    other = trained(TargetRate(target=6.0), 0)[1]
    assert other.multiplier.item() == 0 < module.multiplier.item()
    other.load_state_dict(module.state_dict())
    assert other.multiplier.item() == module.multiplier.item()


def test_the_discrepancy_is_that_of_all_pairs_and_zero_in_expectation():
    torch.manual_seed(0)
    z, p = torch.randn(5, 3).double(), torch.randn(5, 3).double()

    def k(a, b):
        return 6 / (6 + (a - b).square().sum())

    pairs = [(i, j) for i in range(5) for j in range(5)]
    own = sum(k(rows[i], rows[j]) for rows in (z, p) for i, j in pairs if i != j) / 20
    wanted = own - 2 * sum(k(z[i], p[j]) for i, j in pairs) / 25
    torch.testing.assert_close(discrepancy(z, p), wanted)
    many = torch.stack([discrepancy(torch.randn(50, 3), torch.randn(50, 3)) for _ in range(300)])
    assert abs(many.mean()) < 4 * many.std() / 300**0.5


def test_info_vae_minimises_the_distortion_and_lambda_times_the_discrepancy():
    model, module, _ = trained(InfoVAE(alpha=1.0, scale=10.0), 0)
    batch = DATA.open().train.read(torch.arange(50))
    torch.manual_seed(3)
    terms = model(batch.x, 1, None, batch.given)
    seed_step(SETTINGS.seed, 0, PRIOR)
    drawn = model.prior(batch.given).sample((50,))
    wanted = terms.distortion.mean() + 10 * discrepancy(terms.latent.z[0], drawn)
    torch.manual_seed(3)
    assert module.step(Step(0, batch, lambda: batch))["loss"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_pretrained_encoder_meets_the_decoder_that_the_run_began_with():
    settings = replace(SETTINGS, steps=20)
    torch.manual_seed(0)
    begun = {name: value.clone() for name, value in RECIPE.model(DATA.open().spec).decoder.state_dict().items()}
    model, module, logs = trained(Pretrained(first=0.5), 10, settings)
    assert all(log["loss"] == log["distortion"] for log in logs)
    assert not module.in_final_phase
    encoder = model.encoder.state_dict()
    assert any(not torch.equal(value, begun[name]) for name, value in model.decoder.state_dict().items())
    seen = []

    def look(step, batch, optimizer):
        seen.append({name: value.clone() for name, value in model.decoder.state_dict().items()})
        return {}

    module.descend = look
    batch = DATA.open().train.read(torch.arange(10))
    module.step(Step(10, batch, lambda: batch))
    assert all(torch.equal(value, begun[name]) for name, value in seen[0].items())
    assert all(torch.equal(value, encoder[name]) for name, value in model.encoder.state_dict().items())
    assert module.in_final_phase


def test_a_floor_per_example_is_paid_by_those_above_it():
    kl = torch.tensor([[0.1, 3.0], [2.0, 0.2]])
    terms = Terms(torch.zeros(1, 2), Latent(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), kl))
    assert FreeBits(per_group=1.0, per_example=True)(terms, 0).item() == pytest.approx((1 + 3 + 2 + 1) / 2)
    assert FreeBits(per_group=1.0)(terms, 0).item() == pytest.approx(1.05 + 1.6)
    assert FreeBits(total=2.5, per_example=True)(terms, 0).item() == pytest.approx((3.1 + 2.5) / 2)


@pytest.mark.parametrize("name", ["batch_norm", "target_rate:target=3", "info_vae", "pretrained_autoencoder"])
def test_each_is_a_remedy_of_the_recipe_that_runs(name):
    recipe = apply(name, replace(RECIPE, training=replace(SETTINGS, steps=10)))
    opened = DATA.open()
    model = recipe.model(opened.spec)
    module = recipe.algorithm.build(model, recipe.objective, recipe.training)
    batch = opened.train.read(torch.arange(20))
    for number in range(10):
        logs = module.step(Step(number, batch, lambda: batch))
        assert math.isfinite(logs["loss"].item())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: BatchNormalized(gamma=0.0), "gamma is 0.0, wanted a number above 0"),
        (lambda: TargetRate(target=0.0), "target is 0.0 nats of rate"),
        (lambda: InfoVAE(alpha=0.0, scale=0.5), "alpha \\+ scale above 1"),
        (lambda: Pretrained(first=1.0), "first is 1.0, wanted a share"),
        (lambda: Pretrained(first=0.01).build(RECIPE.model(DATA.open().spec), RECIPE.objective, Training(steps=2)),
         "each phase needs at least one step"),
        (lambda: apply("codebook_restarts:revive=0", apply("vector_quantized", RECIPE)),
         "revive is 0, wanted at least 1"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()
