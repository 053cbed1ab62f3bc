"""One Gaussian variance at its optimum: the formula, the running mean, and what it cures.

That a resumed run and two processes come to the same is in test_resume_laws.py and test_together.py.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import small
import torch

from buttress.core import EMPTY, DataSpec, Layout, remedy
from buttress.core.model import LatentVariableModel
from buttress.data.in_memory import as_data
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import WINDOW, GaussianLikelihood
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal
from buttress.training.run import train

OPTIMAL = GaussianLikelihood(learned="optimal")


def model_and_data(likelihood=OPTIMAL, n=50):
    torch.manual_seed(0)
    x = 5 + 2 * torch.randn(n, 4)
    x[:, 2] = 1.0  # a constant column, which has no density
    spec = DataSpec(Layout.table(4), mean=x.mean(0), std=x.std(0))
    parts = MlpEncoder(hidden=(5,)), GaussianPosterior(2), StandardNormal(), MlpDecoder(hidden=(5,))
    return LatentVariableModel(spec, *parts, likelihood).train(), x


def squares(model, x, z):
    """The mean over examples and columns that vary of (y - m)^2."""
    y, mean = (model.likelihood.features(v) for v in (x, model.decode(z).mean))
    return (y - mean)[..., [0, 1, 3]].square().mean()


def test_the_variance_becomes_the_mean_square_and_the_loss_the_closed_form():
    model, x = model_and_data()
    z = model.posterior(x).rsample((3,))
    model.log_likelihood(x, z)
    model.after_step()
    best = squares(model, x, z)
    torch.testing.assert_close(model.likelihood.running_variance, best.detach())
    loss = -model.log_likelihood(x, z).mean()
    units = model.likelihood.unit[[0, 1, 3]].log().sum()
    torch.testing.assert_close(loss, 1.5 * (math.log(2 * math.pi) + best.log() + 1) + units)
    # the gradient of D/2 log s2*, though the variance is held constant
    parameters = list(model.decoder.parameters())
    held = torch.autograd.grad(loss, parameters, retain_graph=True)
    torch.testing.assert_close(held, torch.autograd.grad(1.5 * squares(model, x, z).log(), parameters))


def test_the_variance_is_a_mean_of_the_first_steps_and_moves_by_a_fixed_share_later():
    model, x = model_and_data()
    seen = []
    before = OPTIMAL.variance
    for step in range(WINDOW + 2):
        z = torch.full((1, len(x), 2), float(step)).requires_grad_()
        model.log_likelihood(x, z)
        model.after_step()
        seen.append(squares(model, x, z).item())
        now = model.likelihood.running_variance.item()
        if step < WINDOW:
            assert now == pytest.approx(sum(seen) / len(seen), rel=1e-4)
        else:
            assert now == pytest.approx(before + (seen[-1] - before) / WINDOW, rel=1e-4)
        before = now


def test_only_training_with_gradients_moves_it_and_only_once_a_step():
    model, x = model_and_data()
    model.after_step()
    with torch.no_grad():
        model.log_likelihood(x, torch.zeros(1, len(x), 2))
    model.after_step()
    model.eval().log_likelihood(x, torch.zeros(1, len(x), 2, requires_grad=True))
    model.after_step()
    assert model.likelihood.updates == 0 and model.likelihood.running_variance == pytest.approx(OPTIMAL.variance)
    model.train().log_likelihood(x, torch.zeros(1, len(x), 2))
    model.after_step()
    model.after_step()
    assert model.likelihood.updates == 1


def test_it_has_a_floor_and_a_ceiling():
    module = OPTIMAL.replace(min_log_variance=-3.0).build(DataSpec(Layout.table(2))).train()
    parameters = torch.zeros(7, 2, 1, requires_grad=True)
    for x, bound in ((torch.zeros(7, 2), math.exp(-3)), (1e6 * torch.ones(7, 2), math.exp(8))):
        module.updates.zero_()
        module.log_prob(parameters, x)
        module.after_step()
        assert module.running_variance.item() == pytest.approx(bound)


def test_places_beyond_the_true_length_do_not_count():
    spec = DataSpec(Layout.frames(2, longest=6), mean=torch.zeros(2), std=torch.ones(2))
    module = OPTIMAL.build(spec).train()
    x, lengths = torch.ones(2, 6, 2), torch.tensor([1, 4])
    x[0, 1:], x[1, 4:] = 50.0, 50.0
    module(torch.zeros(3, 2, 6, 2, requires_grad=True), {**EMPTY, "lengths": lengths}).log_prob(x)
    module.after_step()
    assert module.running_variance.item() == 1.0


def test_the_patient_whose_squared_error_is_averaged_over_columns(tmp_path, own_cache):
    """D = 200: a squared error averaged over columns is sigma^2 = 100, above all eigenvalues; at its optimum it is not.

    That the KL of the average is 0 under annealing is in tests/diagnostics/test_optimum.py.
    """
    own = torch.Generator().manual_seed(0)
    spread = torch.full((200,), 0.1).index_fill(0, torch.arange(8), 1.56)
    rotation = torch.linalg.qr(torch.randn(200, 200, generator=own))[0]
    recipe = replace(
        small.joint(steps=150, validate_every=150, checkpoint_every=150, batch_size=64, learning_rate=5e-3),
        data=as_data((torch.randn(1000, 200, generator=own) * spread.sqrt()) @ rotation.T),
        encoder=MlpEncoder(hidden=(32,)),
        decoder=MlpDecoder(hidden=(32,)),
        posterior=GaussianPosterior(8),
        likelihood=GaussianLikelihood(variance=100.0, learned="fixed"),
    )
    run = train(remedy.apply("calibrated_variance", recipe), tmp_path / "run", progress=False)
    found = run.diagnose(nll_samples=0, gap_steps=0, samples=1).estimates
    assert found["rate"].value > 1
    assert found["optimum_ratio"].value - 3 * found["optimum_ratio"].error > found["rate_weight"].value == 1.0
    assert found["likelihood_variance"].value == pytest.approx(found["residual_variance"].value, rel=0.2)
