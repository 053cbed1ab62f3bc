"""FactorVAE: what the discriminator estimates, what each loss moves, and what is refused."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from buttress.algorithms.descent import NonFinite
from buttress.algorithms.factor_vae import FactorVAE, permuted
from buttress.baseline import baseline
from buttress.core import EMPTY, Batch, Space, Step, Training
from buttress.core.records import Latent, Terms
from buttress.core.remedy import DoesNotFit, apply
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.uniform import Uniform

DATA = LinearGaussianData(dim=4, latent_dim=2, n=120)
RECIPE = replace(baseline(DATA, DATA.open().spec), posterior=GaussianPosterior(2))
SETTINGS = Training(learning_rate=0.1, optimizer="sgd", clip=None)
PART = FactorVAE(gamma=3.0, width=8, layers=1, discriminator_rate=0.01)


def built(part=PART, settings=SETTINGS):
    torch.manual_seed(0)
    model = RECIPE.model(DATA.open().spec)
    return model, part.build(model, RECIPE.objective, settings)


def step(number=0):
    batch = DATA.open().train.read(torch.arange(20))
    return Step(number, batch, lambda: batch)


def weights(module):
    return {name: value.clone() for name, value in module.named_parameters()}


def moved(module, before):
    return {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}


def test_the_algorithm_holds_its_discriminator_and_not_the_model():
    model, module = built()
    assert {name.partition(".")[0] for name, _ in module.named_parameters()} == {"discriminator"}
    assert all(name.startswith("discriminator.") or name == "_extra_state" for name in module.state_dict())
    owned = {id(p) for p in (*model.parameters(), *module.parameters())}
    assert {id(p) for p in module.parameters_moved()} == owned
    module.double()
    assert next(module.parameters()).dtype == torch.float64 and next(model.parameters()).dtype == torch.float32


def test_a_step_is_descent_on_the_objective_and_gamma_times_the_mean_logit_by_the_model_alone():
    model, module = built()
    twin, other = built()
    batch, before = step().batch, weights(module)
    torch.manual_seed(5)
    logs = module.step(step())
    torch.manual_seed(5)
    terms = twin(batch.x, 1, None, batch.given)
    correlation = other.discriminator(terms.latent.z.flatten(2)).mean()
    loss = RECIPE.objective(terms, 0) + 3.0 * correlation
    named = dict(twin.named_parameters())
    for (name, p), g in zip(named.items(), torch.autograd.grad(loss, [*named.values()]), strict=True):
        torch.testing.assert_close(model.get_parameter(name), p - 0.1 * g, rtol=1e-5, atol=1e-6)
    assert logs["loss"] == pytest.approx(loss.item()) and logs["total_correlation"] == pytest.approx(correlation.item())
    assert moved(module, before) == set(before), "the discriminator takes its own step"


def test_without_a_discriminators_step_its_weights_stay_and_without_gamma_it_is_joint_training():
    model, module = built(replace(PART, gamma=0.0))
    before = weights(module)
    module.adversary.step = lambda: None
    plain = RECIPE.model(DATA.open().spec)
    plain.load_state_dict(model.state_dict())
    joint = RECIPE.algorithm.build(plain, RECIPE.objective, SETTINGS)
    for number in range(3):
        for algorithm in (module, joint):
            torch.manual_seed(number)
            algorithm.step(step(number))
    assert moved(module, before) == set()
    for (name, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_the_discriminator_learns_the_log_ratio_of_a_correlated_gaussian():
    """KL between N(0, [[1, r], [r, 1]]) and the product of its margins is -ln(1 - r^2) / 2."""
    _, module = built(FactorVAE(width=32, layers=1, discriminator_rate=1e-2))
    correlation, logits = 0.8, []
    for number in range(250):
        one, other = torch.randn(2, 1, 500, 1)
        z = torch.cat([one, correlation * one + math.sqrt(1 - correlation**2) * other], -1)
        logits.append(module.discriminator(z).mean().item())
        module._discriminate(z, number)
    assert sum(logits[-80:]) / 80 == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.08)


def test_permuting_keeps_each_columns_values_and_breaks_the_pairs():
    column = torch.arange(2000.0)
    z = torch.stack([column, column], -1)[None].expand(3, -1, -1)
    apart = permuted(z)
    assert torch.equal(apart.sort(1).values, z)
    assert not torch.equal(apart[0], apart[1])
    assert abs(torch.corrcoef(apart[0].T)[0, 1]) < 0.1


def test_the_permutation_follows_from_seed_and_step():
    _, module = built()
    seen = []
    module._logits = lambda z: seen.append(z) or z.sum(-1) * module.discriminator[0].weight.sum()
    z = torch.randn(1, 20, 2)
    for number in (7, 7, 8):
        torch.rand(number)
        module._discriminate(z, number)
    assert torch.equal(seen[1], seen[3]) and not torch.equal(seen[1], seen[5])


def test_the_discriminators_gradient_is_clipped():
    _, module = built(PART, replace(SETTINGS, clip=1e-3))
    module.step(step())
    norm = torch.cat([p.grad.flatten() for p in module.discriminator.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_broken_discriminator_is_named():
    _, module = built()
    with torch.no_grad():
        module.discriminator[0].weight.fill_(torch.nan)
    module.gamma = 0.0
    module._logits = lambda z: module.discriminator(z).squeeze(-1)
    with pytest.raises(NonFinite, match=r"the parameter discriminator\.0\.weight became NaN"):
        module._discriminate(torch.zeros(1, 20, 2), 0)


class Mixing(nn.Module):
    """z = W e with noise e, and nothing to describe: only the penalty moves W."""

    groups = ("z",)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 0.0], [0.9, 0.45]]))
        self.inference = SimpleNamespace(space=Space((2,)))

    def forward(self, x, samples=1, prior=None, given=EMPTY):
        z = torch.randn(1, len(x), 2) @ self.weight.T
        return Terms(0 * z.sum(-1), Latent(z, z[..., :1] * 0, z[0, :, :1] * 0))

    @property
    def correlation(self):
        covariance = self.weight @ self.weight.T
        return (covariance[0, 1] / covariance.diagonal().prod().sqrt()).item()


def test_the_penalty_makes_the_coordinates_of_z_independent():
    model, batch = Mixing(), Batch(torch.zeros(256, 1))
    part = FactorVAE(gamma=1.0, width=16, layers=1, discriminator_rate=1e-2)
    module = part.build(model, ELBO(), Training(learning_rate=5e-3))
    assert model.correlation > 0.85
    for number in range(400):
        torch.manual_seed(number)
        module.step(Step(number, batch, lambda: batch))
    assert abs(model.correlation) < 0.3


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [({"gamma": -1.0}, "gamma is -1.0"), ({"width": 0}, "width is 0"), ({"discriminator_rate": 0.0}, "rate is 0.0")],
)
def test_contradictions_are_refused(bad, complaint):
    with pytest.raises(ValueError, match=complaint):
        FactorVAE(**bad)


def test_codes_and_a_single_number_are_refused():
    spec = DATA.open().spec
    for posterior, prior, complaint in (
        (GaussianPosterior(1), RECIPE.prior, "single coordinate"),
        (VectorQuantized(codes=4, dim=2), Uniform(), "made of codes"),
    ):
        recipe = replace(RECIPE, posterior=posterior, prior=prior)
        with pytest.raises(ValueError, match=complaint):
            PART.build(recipe.model(spec), recipe.objective, SETTINGS)


def test_the_remedy_sets_the_algorithm():
    assert apply("factor_vae:gamma=35.0", RECIPE).algorithm == FactorVAE(gamma=35.0)
    with pytest.raises(DoesNotFit, match="factor_vae needs a z of real numbers"):
        apply("factor_vae", replace(RECIPE, posterior=VectorQuantized(), prior=Uniform()))
    with pytest.raises(DoesNotFit, match="algorithm"):
        apply("aggressive+factor_vae", RECIPE)


def test_the_discriminator_has_the_layers_that_were_asked_for():
    _, module = built(FactorVAE(width=7, layers=3))
    sizes = [layer.weight.shape for layer in module.discriminator if isinstance(layer, nn.Linear)]
    assert sizes == [(7, 2), (7, 7), (7, 7), (1, 7)] and isinstance(module.discriminator[-1], nn.Linear)
    assert module.discriminator(Batch(torch.zeros(5, 2)).x).shape == (5, 1)
