"""Priors: densities, samples and gradients; the flow's two readings; the remedy, and a run with it from end to end."""

from __future__ import annotations

import copy
import csv
import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal

from buttress.algorithms.joint import Joint
from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, Space, registry, remedy
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe, Training
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.lstm_text import LstmText
from buttress.data.mnist5k import Mnist5k
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.categorical import Categorical as Tokens
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.free_bits import FreeBits
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.autoregressive_flow import AutoregressiveFlow
from buttress.priors.mixture import Mixture
from buttress.priors.standard_normal import StandardNormal
from buttress.priors.vamp import Vamp
from buttress.report.run import write_report
from buttress.training.run import Run, train

TABLE = DataSpec(Layout.table(3), mean=torch.tensor([10.0, 0, -5]), std=torch.tensor([2.0, 1, 3]))


def test_the_standard_normal_goes_where_its_module_goes():
    prior = StandardNormal().build(Space((3,)))
    assert prior().base_dist.loc.dtype == torch.float32
    assert copy.deepcopy(prior).double()().base_dist.loc.dtype == torch.float64
    assert prior.double()().base_dist.scale.dtype == torch.float64


def model_of(prior, dim=2, spec=TABLE):
    """A VAE of a table with weights away from their start."""
    torch.manual_seed(0)
    model = LatentVariableModel(
        spec, MlpEncoder(hidden=(5,)), GaussianPosterior(dim), prior, MlpDecoder(hidden=(5,)), GaussianLikelihood()
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def priors():
    return [
        part
        for kind in registry.parts("priors").values()
        for part in kind.tiny()
        if not part.discrete and not part.conditional
    ]


def flows():
    return [AutoregressiveFlow(3, (8,)), AutoregressiveFlow(3, (8, 8), mean_only=True)]


@pytest.mark.parametrize("prior", priors(), ids=lambda p: p.name())
def test_samples_have_the_moments_of_the_density(prior):
    """Mean and covariance by a grid, against those of samples: five standard errors."""
    with torch.no_grad():
        p = model_of(prior).prior()
        axis = torch.linspace(-9, 9, 361, dtype=torch.float64)
        grid = torch.cartesian_prod(axis, axis)
        mass = p.log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
        z = p.sample((20_000,)).double()
    assert mass.sum().item() == pytest.approx(1, abs=1e-3)
    for moment in (lambda z: z, lambda z: z.square(), lambda z: z.prod(-1, keepdim=True)):
        drawn = moment(z)
        wanted = (mass[:, None] * moment(grid)).sum(0)
        assert ((drawn.mean(0) - wanted).abs() < 5 * drawn.std(0) / len(z) ** 0.5 + 1e-3).all()


@pytest.mark.parametrize("prior", priors(), ids=lambda p: p.name())
def test_the_rate_is_the_divergence_by_quadrature(prior):
    """KL(q || p) by a grid, against the mean of log q - log p over samples (five errors), and any closed form."""
    model = model_of(prior).eval()
    x = TABLE.mean + TABLE.std * torch.randn(2, 3, dtype=torch.float64)
    axis = torch.linspace(-8, 8, 241, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        p, q = model.prior(), model.posterior(x)
        known = q.log_prob(grid[:, None])
        mass = known.exp() * (axis[1] - axis[0]) ** 2
        wanted = (mass * (known - p.log_prob(grid)[:, None])).sum(0)
        latent = model(x, samples=8000).latent
    ratio = latent.log_ratio.sum(-1)
    torch.testing.assert_close(mass.sum(0), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-4)
    assert ((ratio.mean(0) - wanted).abs() < 5 * ratio.std(0) / len(ratio) ** 0.5 + 1e-6).all()
    if latent.kl is not None:
        torch.testing.assert_close(latent.kl.sum(-1), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prior", priors(), ids=lambda p: p.name())
def test_a_prior_has_the_shapes_the_diagnostics_want(prior):
    """Whatever the shape of z: batch shape (), and one number for each z."""
    module = prior.build(Space((2, 3))) if prior.name() != "vamp" else model_of(prior).float().prior
    p = module()
    assert p.batch_shape == ()
    z = p.sample((4, 5))
    assert z.shape == (4, 5, *p.event_shape)
    assert p.sample().shape == p.event_shape
    assert p.log_prob(z).shape == (4, 5)
    torch.testing.assert_close(p.log_prob(z)[2, 3], p.log_prob(z[2, 3]))


@pytest.mark.parametrize("flow", flows(), ids=("affine", "mean_only"))
@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (2, 3)])
def test_a_flow_starts_as_the_standard_normal_and_can_be_inverted(flow, shape):
    module, z = flow.build(Space(shape)).double(), torch.randn(7, *shape, dtype=torch.float64)
    normal = Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    torch.testing.assert_close(module().log_prob(z), normal)
    module = moved(module)
    p = module()
    assert not torch.allclose(p.log_prob(z), normal)
    torch.testing.assert_close(p.from_noise(p.to_noise(z)), z)
    torch.testing.assert_close(p.to_noise(p.from_noise(z)), z)


@pytest.mark.parametrize("flow", flows(), ids=("affine", "mean_only"))
def test_the_density_of_a_flow_is_the_change_of_variables(flow):
    p = moved(flow.build(Space((4,))).double())()
    z = torch.randn(4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(p.to_noise, z)
    wanted = Normal(0.0, 1.0).log_prob(p.to_noise(z)).sum() + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(p.log_prob(z), wanted)
    if flow.mean_only:
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(0, abs=1e-12)


def moved(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("flow", flows(), ids=("affine", "mean_only"))
def test_a_flow_prior_is_an_inverse_autoregressive_posterior_and_a_deeper_decoder(flow):
    """With epsilon as the latent variable the prior is N(0, I), the posterior is
    q carried through f, and the decoder reads f^{-1}(epsilon). The same samples give the same log-weights.
    """
    model = model_of(flow, dim=3)
    x = torch.randn(6, 3, dtype=torch.float64)
    terms = model(x, samples=4)
    p, q, z = model.prior(), model.posterior(x), terms.latent.z
    noise = p.to_noise(z)

    def stretch(epsilon):
        """log |det dz/d epsilon| of the sequential inverse, by automatic differentiation."""
        return torch.linalg.slogdet(torch.autograd.functional.jacobian(p.from_noise, epsilon)).logabsdet

    change = torch.stack([stretch(e) for e in noise.reshape(-1, 3)]).view(4, 6)
    log_posterior = q.log_prob(p.from_noise(noise)) + change
    log_prior = Normal(0.0, 1.0).log_prob(noise).sum(-1)
    log_likelihood = model.decoder(p.from_noise(noise)).log_prob(x)
    other = log_likelihood + log_prior - log_posterior
    assert change.abs().max() > 0.1 or flow.mean_only
    torch.testing.assert_close(other, terms.log_weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.mean(0), terms.elbo, atol=1e-5, rtol=0)


@pytest.mark.parametrize("flow", flows(), ids=("affine", "mean_only"))
def test_a_flow_learns_what_is_not_normal(flow):
    """z on a noisy parabola: its own entropy, known in closed form, is what a perfect prior pays."""
    torch.manual_seed(0)
    module = AutoregressiveFlow(2, (24, 24), flow.mean_only).build(Space((2,)))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    noise = 1.0 if flow.mean_only else 0.3
    for _ in range(250):
        first = torch.randn(256)
        z = torch.stack([first, first.square() - 1 + noise * torch.randn(256)], -1)
        loss = -module().log_prob(z).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    entropy = 1 + math.log(2 * math.pi) + math.log(noise)
    assert loss.item() < entropy + 0.2
    assert Normal(0.0, 1.0).log_prob(z).sum(-1).mean().neg() > entropy + 0.5


def test_priors_stay_in_float32_under_autocast():
    for prior in priors():
        model = model_of(prior).float()
        z = torch.randn(5, 2)
        wanted = model.prior().log_prob(z)
        with torch.autocast("cpu", torch.bfloat16):
            found = model.prior().log_prob(z)
        assert found.dtype == torch.float32
        if prior.name() != "vamp":  # whose encoder is in bfloat16, as it is for data
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("prior", [*flows(), Mixture(3), Vamp(3)], ids=lambda p: p.name())
def test_every_parameter_of_a_prior_learns(prior):
    module = model_of(prior).prior
    module().log_prob(torch.randn(50, 2, dtype=torch.float64)).mean().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_mixture_starts_with_mean_zero_and_variance_one():
    z = Mixture(components=500).build(Space((4,)))().sample((5000,))
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(z.var(0), torch.ones(4), atol=0.1, rtol=0)


def test_a_vamp_is_the_mixture_of_posteriors_at_its_pseudo_inputs():
    model = model_of(Vamp(4))
    z = torch.randn(9, 2, dtype=torch.float64)
    each = torch.stack([model.posterior_of_features(u[None]).log_prob(z) for u in model.prior.pseudo_inputs])
    torch.testing.assert_close(model.prior().log_prob(z), each.logsumexp(0) - math.log(4))


def test_a_vamp_prior_borrows_the_encoder_and_owns_only_its_pseudo_inputs():
    model = model_of(Vamp(4))
    assert [name for name, _ in model.prior.named_parameters()] == ["raw"]
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names)) == len(set(model.state_dict()))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.encoder.net[0].weight.add_(1.0)
    z = torch.zeros(1, 2, dtype=torch.float64)
    assert twin.prior().log_prob(z) != model.prior().log_prob(z)  # the twin asks its own encoder


def test_pseudo_inputs_start_as_the_data_seen_by_the_encoder():
    raw = TABLE.mean + TABLE.std * torch.randn(4000, 3)
    torch.manual_seed(0)
    table = LatentVariableModel(
        TABLE, MlpEncoder(), GaussianPosterior(2), Vamp(4000), MlpDecoder(), GaussianLikelihood()
    )
    u, h = table.prior.pseudo_inputs, table.likelihood.features(table.observe(raw))
    torch.testing.assert_close(u.mean(0), h.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(u.std(0), h.std(0), atol=0.1, rtol=0)
    grey = DataSpec(Layout.image(1, 2, 2), mean=torch.full((1, 2, 2), 51.0), std=torch.full((1, 2, 2), 5.1))
    picture = LatentVariableModel(
        grey, MlpEncoder(), GaussianPosterior(2), Vamp(2000), MlpDecoder(), GaussianLikelihood()
    )
    u = picture.prior.pseudo_inputs
    assert u.mean().item() == pytest.approx(0.2, abs=0.01)
    assert u.std().item() == pytest.approx(0.02, abs=0.005)
    unknown = LatentVariableModel(
        DataSpec(Layout.table(3)), MlpEncoder(), GaussianPosterior(2), Vamp(2000), MlpDecoder(), GaussianLikelihood()
    )
    assert unknown.prior.pseudo_inputs.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("attempt", "complaint"),
    [
        (lambda: AutoregressiveFlow(transforms=0), "transforms is 0"),
        (lambda: AutoregressiveFlow(hidden=()), "hidden is"),
        (lambda: Mixture(components=0), "components is 0"),
        (lambda: Mixture(spread=1.0), "spread is 1.0"),
        (lambda: Vamp(components=-1), "components is -1"),
        (lambda: Vamp().build(Space((2,)))(), "no encoder yet"),
        (
            lambda: LatentVariableModel(
                DataSpec(Layout.text(7, longest=5)),
                RecurrentEncoder(),
                GaussianPosterior(2),
                Vamp(),
                MlpDecoder(),
                Tokens(),
            ),
            "the vamp prior does not fit text data: its pseudo-inputs need examples of one size",
        ),
    ],
)
def test_what_does_not_fit_is_refused(attempt, complaint):
    with pytest.raises(ValueError, match=complaint):
        attempt()


def test_zuko_leaves_the_checks_of_torch_as_they_were():
    """In a process of its own: importing zuko by itself turns them off."""
    program = (
        "import torch; from torch.distributions import Distribution, Normal\n"
        "before = dict(vars(Distribution))\n"
        "import buttress.priors.autoregressive_flow\n"
        "assert {k: v for k, v in vars(Distribution).items()} == before\n"
        "try: Normal(0.0, -1.0)\n"
        "except ValueError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "refused", done.stderr


def test_the_rate_under_a_prior_that_does_not_factorise_is_one_group():
    x = torch.randn(5, 3, dtype=torch.float64)
    for prior in priors():
        model = model_of(prior).eval()  # in training a prior may be told what is near x
        terms = model(x, samples=3)
        assert model.groups == (("z0", "z1") if prior == StandardNormal() else ("z",))
        assert terms.latent.log_ratio.shape == (3, 5, len(model.groups))
        assert terms.latent.closed_form == (prior == StandardNormal())
        total = model.posterior(x).log_prob(terms.latent.z) - model.prior().log_prob(terms.latent.z)
        torch.testing.assert_close(terms.latent.log_ratio.sum(-1), total)


@pytest.fixture
def image():
    return replace(baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))), decoder=PixelCNN())


def test_the_variational_lossy_autoencoder_is_two_remedies_and_a_floor(image):
    three = remedy.apply("local_decoder:field=3+flow_prior:mean_only=true:hidden=640+free_bits:total=7.84", image)
    one = remedy.apply("vlae:field=3", image)
    assert (three.prior, three.objective) == (one.prior, one.objective)
    assert one.decoder == three.decoder.replace(spatial=True)
    with pytest.raises(remedy.DoesNotFit, match="vlae"):
        remedy.apply("free_bits:total=4+vlae", image)
    assert (
        remedy.apply("flow_prior", baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))).prior
        == AutoregressiveFlow()
    )


def test_a_flow_prior_says_what_it_does_not_fit(image):
    with pytest.raises(remedy.DoesNotFit, match="flow_prior sets prior, and this recipe has prior = mixture already"):
        remedy.apply("flow_prior", replace(image, prior=Mixture()))
    for order in ("free_bits+flow_prior", "flow_prior+free_bits"):
        with pytest.raises(remedy.DoesNotFit, match="try free_bits:total=4"):
            remedy.apply(order, image)
    for order in ("free_bits:total=4+flow_prior", "flow_prior+free_bits:total=4"):
        recipe = remedy.apply(order, image)
        assert (recipe.objective.total, recipe.prior) == (4.0, AutoregressiveFlow())


@pytest.mark.parametrize("prior", [AutoregressiveFlow(2, (6,)), Mixture(3), Vamp(3)], ids=lambda p: p.name())
def test_a_run_is_trained_measured_and_reported(prior, tmp_path):
    recipe = Recipe(
        LinearGaussianData(dim=3, latent_dim=1, n=80),
        MlpEncoder(hidden=(4,)),
        GaussianPosterior(2),
        prior,
        MlpDecoder(hidden=(4,)),
        GaussianLikelihood(),
        FreeBits(total=0.1),
        Joint(),
        Training(steps=6, batch_size=8, validate_every=3, checkpoint_every=3),
    )
    run = train(recipe, tmp_path / "run", progress=False)
    with (run.folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [name for name in rows[0] if name.startswith("rate/")] == ["rate/z"]
    for row in rows:
        assert float(row["rate"]) == pytest.approx(float(row["rate/z"]), rel=1e-5)
    evidence = Run.load(run.folder).diagnose(samples=2, nll_samples=5, gap_steps=3)
    assert evidence.estimates["rate"].method == "Monte Carlo"
    assert evidence.estimates["rate"].value == pytest.approx(float(rows[-1]["rate"]), abs=1.5)
    assert evidence.groups.names == ("z0", "z1")
    assert evidence.groups.rate == (None, None)
    assert None not in evidence.groups.variance_of_mean
    assert evidence.estimates["amortisation_gap"].value is not None
    assert evidence.verdict.state
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "known only for a normal prior" in page
    assert "The rate is known only for all groups together" in page
