"""The auxiliary prior: what moves when, what it may cost, and the LSTM over real numbers that it is."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import small
import torch
from torch.distributions import Normal

from buttress.algorithms.auxiliary_prior import AuxiliaryPrior
from buttress.baseline import baseline
from buttress.core import Batch, DataSpec, Layout, Space, Step, remedy
from buttress.core.recipe import Training
from buttress.data.lstm_text import LstmText
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.diagnostics.prior_scale import prior_moments
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.ar1 import AR1Prior
from buttress.priors.recurrent import RecurrentPrior
from buttress.priors.recurrent_normal import RecurrentNormal
from buttress.priors.standard_normal import StandardNormal
from buttress.priors.vamp import Vamp
from buttress.training.run import train
from cells import SPECS, given_for, raw_data


def a_prior(shape, hidden=5, seed=0):
    """One away from its start."""
    torch.manual_seed(seed)
    module = RecurrentNormal(hidden).build(Space(shape)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return module


def test_the_density_of_two_numbers_integrates_to_one():
    grid = torch.linspace(-12, 12, 801).double()
    z = torch.cartesian_prod(grid, grid)
    with torch.no_grad():
        mass = a_prior((2,))().log_prob(z).exp().sum() * (grid[1] - grid[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-4)


def test_samples_have_the_density():
    """E exp(log N(z; 0, 2 I) - log p(z)) = 1 over samples z of p, and so for no others."""
    p = a_prior((3, 2))()
    with torch.no_grad():
        z = p.sample((40_000,))
        weight = (Normal(0.0, 0.4).log_prob(z).sum((-2, -1)) - p.log_prob(z)).exp()
    assert abs(weight.mean().item() - 1) < 4 * weight.std().item() / 200


def test_a_position_depends_on_those_before_it_alone():
    module, z = a_prior((4, 2)), torch.randn(1, 4, 2).double().requires_grad_()
    normals, _ = module.after(torch.nn.functional.pad(z[:, :-1], (0, 0, 1, 0)))
    for t in range(4):
        (slope,) = torch.autograd.grad(normals.loc[0, t].sum(), z, retain_graph=True)
        assert slope[0].any(-1).tolist() == [place < t for place in range(4)]


def test_positions_beyond_the_length_are_standard_normal_and_change_nothing():
    module, z = a_prior((4, 2)), torch.randn(3, 4, 2).double()
    p = module({"lengths": torch.tensor([4, 2, 1])})
    for i, length in enumerate((4, 2, 1)):
        inside, _ = module.after(torch.nn.functional.pad(z[i : i + 1, : length - 1], (0, 0, 1, 0)))
        wanted = inside.log_prob(z[i, :length]).sum() + Normal(0.0, 1.0).log_prob(z[i, length:]).sum()
        torch.testing.assert_close(p.log_prob(z)[i], wanted)
    assert p.sample((2,)).shape == (2, 3, 4, 2)
    drawn = p.sample((20_000,))[:, 2, 1:]
    torch.testing.assert_close(drawn.std(0), torch.ones(3, 2).double(), atol=0.03, rtol=0)


def a_step(number, x=None, given=None):
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(number)) if x is None else x
    batch = Batch(x, given or {})
    return Step(number, batch, lambda: batch)


def a_module(prior=None, steps=40):
    recipe = small.auxiliary_prior()
    torch.manual_seed(0)
    model = recipe.model(recipe.data.open().spec).train()
    algorithm = AuxiliaryPrior(first=0.5, prior=prior or AR1Prior(delta=0.5))
    return model, algorithm.build(model, recipe.objective, Training(steps=steps, learning_rate=0.01))


def moved(before, model):
    return {n.partition(".")[0] for n, value in model.state_dict().items() if not torch.equal(value, before[n])}


@pytest.mark.parametrize("prior", [AR1Prior(delta=0.5), StandardNormal()])
def test_first_all_but_the_prior_moves_at_a_rate_above_delta_and_then_the_prior_alone(prior):
    model, algorithm = a_module(prior)
    before = {n: value.clone() for n, value in model.state_dict().items()}
    logs = [algorithm.step(a_step(number)) for number in range(20)]
    assert moved(before, model) == {"encoder", "inference", "decoder"} and not algorithm.model_complete
    floor = 0.5 - 1e-5 if isinstance(prior, AR1Prior) else 0
    assert all(log["rate"].shape == (1,) and log["rate"].item() >= floor for log in logs)
    before = {n: value.clone() for n, value in model.state_dict().items()}
    later = [algorithm.step(a_step(number)) for number in range(20, 40)]
    assert moved(before, model) == {"prior"} and algorithm.model_complete
    assert all(log["loss"].item() == pytest.approx(log["rate"].item(), abs=1e-6) for log in later)
    assert len({tuple(sorted(log)) for log in logs + later}) == 1


def test_fitted_to_sequences_of_a_collapsed_q_it_costs_nothing():
    """Where q(z|x) is the same for all x, the committed rate says nothing of x, and the auxiliary prior saves all."""
    model, algorithm = a_module()
    with torch.no_grad():
        model.inference.linear.weight.zero_()
        model.inference.linear.bias.copy_(torch.tensor([1.0, 0.5, -1.0, -1.0, -1.0, -1.0]))
    paid = algorithm.descend.terms(a_step(0).batch).latent.rate.mean().item()
    for number in range(20, 320):
        log = algorithm.step(a_step(number))
    assert paid > 1 and abs(log["rate"].item()) < 0.1


@pytest.mark.parametrize("stop", [10, 30])
def test_a_restored_algorithm_goes_on_as_if_nothing_had_happened(stop):
    """In both stages."""
    one, algorithm = a_module()
    for number in range(stop):
        torch.manual_seed(number)
        algorithm.step(a_step(number))
    algorithm.after_validation({"rate": 1.0}, False)
    two, restored = a_module()
    two.load_state_dict({n: value.clone() for n, value in one.state_dict().items()})
    restored.load_state_dict(deepcopy(algorithm.state_dict()))
    for number in range(stop, 40):
        for each in (algorithm, restored):
            torch.manual_seed(number)
            each.step(a_step(number))
    assert moved(dict(one.state_dict()), two) == set() and restored.best == algorithm.best


def test_the_evidence_has_both_rates_and_samples_come_from_the_auxiliary_prior(tmp_path):
    recipe = small.auxiliary_prior(steps=60, learning_rate=0.02, validate_every=20, checkpoint_every=60)
    run = train(recipe, tmp_path / "run", progress=False)
    found = run.diagnose(nll_samples=0, gap_steps=0).estimates
    first, rate = found["rate_first_stage"], found["rate"]
    assert first.value > 0.5 - 4 * first.error and rate.value != first.value
    assert "recurrent_normal" in run.recipe.to_yaml() and run.sample(3).shape == (3, 4)


@pytest.mark.parametrize("settings", ["", ":independent=true"])
def test_the_remedy_commits_the_first_stage_on_sentences_and_fits_another_prior(settings):
    spec = SPECS["text"]
    recipe = replace(baseline(LstmText(), spec), encoder=RecurrentEncoder(3, 4), decoder=RecurrentDecoder(3, 4))
    recipe = remedy.apply(f"delta_vae:delta=1.5:dim=2:auxiliary=true{settings}", recipe)
    model = recipe.model(spec)
    algorithm = recipe.algorithm.build(model, recipe.objective, Training(steps=4))
    x = model.observe(raw_data(spec, recipe.likelihood))
    given, first = given_for(spec, x), algorithm.first_prior
    rate = model(x, prior=first(given), given=given).latent.rate.sum(-1)
    floor = first(given).committed if not settings else torch.full((len(x),), 1.5)
    assert model.groups == ("z",) and (rate >= floor - 1e-5).all() and floor.max().item() == pytest.approx(1.5)
    log = algorithm.step(a_step(3, x, given))
    assert math.isfinite(log["rate"].item()) and model.sample(2).shape == (2, 5)


def test_contradictions_are_refused():
    spec = DataSpec(Layout.table(4), mean=torch.zeros(4), std=torch.ones(4))
    recipe = small.auxiliary_prior()

    def build(algorithm=recipe.algorithm, **parts):
        other = replace(recipe, **parts)
        algorithm.build(other.model(spec), other.objective, other.training)

    with pytest.raises(ValueError, match="wanted a share"):
        AuxiliaryPrior(first=1.0)
    with pytest.raises(ValueError, match=r"this prior has nothing to learn; .* recurrent_normal"):
        build(prior=AR1Prior())
    with pytest.raises(ValueError, match="which learns"):
        build(AuxiliaryPrior(prior=Vamp()))
    with pytest.raises(ValueError, match="try the two_stage algorithm"):
        build(posterior=VectorQuantized(codes=4), prior=RecurrentPrior())
    with pytest.raises(ValueError, match="each stage needs at least one step"):
        build(AuxiliaryPrior(first=0.001))
    with pytest.raises(ValueError, match="hidden is 0"):
        RecurrentNormal(hidden=0)
    text = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
    with pytest.raises(remedy.DoesNotFit, match="sets the algorithm"):
        remedy.apply("aggressive+delta_vae:auxiliary=true", text)
    with pytest.raises(remedy.DoesNotFit, match="algorithm"):
        remedy.apply("delta_vae:auxiliary=true+aggressive", text)


def test_examples_of_any_length_share_the_moments_of_the_longest(monkeypatch):
    """Not drawn for each example anew: that took minutes at every look at held-out data."""
    torch.manual_seed(0)
    module = RecurrentNormal(4).build(Space((3, 2)))
    torch.nn.init.normal_(module.out.weight, std=0.7)
    torch.nn.init.normal_(module.out.bias)
    p = module({"lengths": torch.tensor([3, 1, 2])})
    with torch.no_grad():
        z = p.sample((20_000,)).double()
        drawn = []
        sample = type(p).sample
        monkeypatch.setattr(
            type(p), "sample", lambda self, shape: drawn.append(self.batch_shape) or sample(self, shape)
        )
        middle, scale = prior_moments(p)
    assert drawn == [()] and middle.shape == scale.shape == (3, 3, 2)
    assert ((middle - z.mean(0)).abs() < 5 * z.std(0) / 2000**0.5).all()
    assert ((scale / z.std(0) - 1).abs() < 0.15).all()
    assert (middle[1, 1:] == 0).all() and (scale[1, 1:] == 1).all()
