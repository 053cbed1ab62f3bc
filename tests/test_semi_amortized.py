"""Semi-amortised inference: the gradient against a hand-written recursion and finite differences, and its contracts."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from buttress.algorithms.joint import Joint
from buttress.algorithms.refined import Refined, fingerprints
from buttress.algorithms.refinement import Refinement, negative_elbo, standard, terms_at
from buttress.algorithms.semi_amortized import SemiAmortized, SemiAmortizedModule
from buttress.core import EMPTY, Batch, DataSpec, Layout, Step
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Training
from buttress.core.remedy import DoesNotFit, apply
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.diagnostics.reference import LinearGaussian
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.categorical import Categorical
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.standard_normal import StandardNormal
from buttress.schedules.constant import Constant
from test_laws import SPECS, fits, raw_data, tiny

SGD = Training(optimizer="sgd", learning_rate=0.1, clip=None)
BETA = 0.7


class Encoder(nn.Linear):
    weight_of_penalty = 0.0

    def penalty(self, h):
        return {"size": self.weight_of_penalty * h.square().sum(1)} if self.weight_of_penalty else {}


class Inference(nn.Module):
    def forward(self, h):
        mean, log_scale = h.chunk(2, -1)
        return Independent(Normal(mean, (0.3 * log_scale).exp()), 1)


class Model(nn.Module):
    """N(x; tanh(z A) W, 1) with a linear encoder, in float64: small enough to differentiate by hand."""

    groups = ("z0", "z1")

    def __init__(self):
        super().__init__()
        self.encoder, self.inference = Encoder(4, 4), Inference()
        self.decoder = nn.ParameterDict({"A": torch.randn(2, 3), "W": torch.randn(3, 4)})
        self.double()

    def encode(self, x, given=EMPTY):
        return self.encoder(x)

    def infer(self, x, given=EMPTY):
        return self.encode(x), self.posterior(x)

    def posterior(self, x, given=EMPTY):
        return self.inference(self.encode(x))

    def prior(self, given=EMPTY):
        return Independent(Normal(torch.zeros(2).double(), 1.0), 1)

    def log_likelihood(self, x, z):
        return Normal((z @ self.decoder["A"]).tanh() @ self.decoder["W"], 1.0).log_prob(x).sum(-1)


def algorithm(part, model, objective=None):
    return SemiAmortizedModule(part, model, objective or ELBO(Constant(BETA)), SGD)


def loss_of(part, model, x, objective=None):
    torch.manual_seed(1)
    return algorithm(part, model, objective).terms(Batch(x), 0)[1]


def noises(steps, samples=1, batch=6):
    torch.manual_seed(1)
    return torch.randn(steps, 1, batch, 2).double(), torch.randn(samples, batch, 2).double()


def by_hand(model, x, part):
    """The loss at lambda_K, every inner gradient written out; autograd only differentiates the recursion."""
    inner, last = noises(part.refine_steps)
    a, w = model.decoder["A"], model.decoder["W"]
    q = model.posterior(x).base_dist
    mean, log_scale = q.loc, q.scale.log()
    v = torch.zeros(6, 4).double()
    for e in inner[:, 0]:
        signs = (1, -1) if part.antithetic else (1,)
        t = [((mean + log_scale.exp() * sign * e) @ a).tanh() for sign in signs]
        slopes = [-(((x - at @ w) @ w.T) * (1 - at**2)) @ a.T for at in t]
        slope = sum(slopes) / len(slopes)
        along = sum(sign * s * e for sign, s in zip(signs, slopes, strict=True)) / len(slopes)
        g = torch.cat([slope + BETA * mean, along * log_scale.exp() + BETA * ((2 * log_scale).exp() - 1)], 1)
        if part.clip is not None:
            norm = g.norm(dim=1, keepdim=True)
            g = torch.where(norm > part.clip, g * part.clip / norm, g)
        v = part.momentum * v - g
        mean, log_scale = mean + part.refine_rate * v[:, :2], log_scale + part.refine_rate * v[:, 2:]
    decoded = ((mean + log_scale.exp() * last[0]) @ a).tanh() @ w
    rate = 0.5 * (mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
    return (-Normal(decoded, 1.0).log_prob(x).sum(1) + BETA * rate).mean()


SETTINGS = [
    SemiAmortized(5, 0.1, 0.5, None),
    SemiAmortized(5, 0.1, 0.5, None, antithetic=True),
    SemiAmortized(5, 0.1, 0.9, 1.5),
    SemiAmortized(1, 0.3, 0.0, None),
]


@pytest.fixture
def x():
    return 2 * torch.randn(6, 4).double()


@pytest.mark.parametrize("part", SETTINGS, ids=str)
def test_the_gradient_is_the_exact_one_of_the_unrolled_recursion(part, x):
    model = Model()
    mine, hand = loss_of(part, model, x), by_hand(model, x, part)
    assert mine.item() == pytest.approx(hand.item(), rel=1e-12)
    pairs = zip(*(torch.autograd.grad(loss, list(model.parameters())) for loss in (mine, hand)), strict=True)
    for g, h in pairs:
        assert (g - h).norm() < 1e-6 * h.norm()
        assert h.norm() > 1e-3


@pytest.mark.parametrize("part", SETTINGS, ids=str)
@pytest.mark.parametrize("objective", [ELBO(Constant(BETA), samples=3), FreeBits(per_group=0.2)], ids=["elbo", "floor"])
def test_the_gradient_is_the_slope_of_the_total_loss(part, objective, x):
    model = Model()
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(loss_of(part, model, x, objective), parameters)
    size = 1e-5
    for parameter, g in zip(parameters, gradient, strict=True):
        direction = torch.randn_like(parameter)
        ends = []
        for sign in (1, -1):
            parameter.data += sign * size * direction
            ends.append(loss_of(part, model, x, objective).item())
            parameter.data -= sign * size * direction
        assert (ends[0] - ends[1]) / (2 * size) == pytest.approx((g * direction).sum().item(), rel=1e-3)


def test_cutting_the_derivative_through_the_steps_changes_it(x):
    """Else the tests above would hold for any of the variants."""
    model = Model()
    one, other = (
        torch.autograd.grad(loss_of(replace(SETTINGS[0], variant=v), model, x), [*model.parameters()])
        for v in ("sa", "vae_svi")
    )
    assert all((g - h).norm() > 1e-2 * h.norm() for g, h in zip(one, other, strict=True))


def test_vae_svi_gives_the_encoder_the_plain_gradient_and_the_decoder_that_at_a_constant_q(x):
    model, part = Model(), replace(SETTINGS[0], variant="vae_svi")
    loss = loss_of(part, model, x)
    loss.backward()
    inner, last = noises(part.refine_steps)
    prior, start = model.prior(), model.posterior(x).base_dist
    plain = negative_elbo(model, prior, Batch(x), start, last, BETA).mean()
    for parameter, g in zip(
        model.encoder.parameters(), torch.autograd.grad(plain, [*model.encoder.parameters()]), strict=True
    ):
        torch.testing.assert_close(parameter.grad, g, rtol=1e-9, atol=1e-12)
    refined = part.refinement(model, Batch(x), start, inner, BETA)
    assert not refined.loc.requires_grad
    here = negative_elbo(model, prior, Batch(x), refined, last, BETA).mean()
    assert loss.item() == pytest.approx(here.item(), rel=1e-12)
    for name, g in zip("AW", torch.autograd.grad(here, [model.decoder["A"], model.decoder["W"]]), strict=True):
        torch.testing.assert_close(model.decoder[name].grad, g, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variant", ["sa", "vae_svi"])
def test_penalties_on_features_are_added_once(x, variant):
    model, part = Model(), replace(SETTINGS[0], variant=variant)
    losses = []
    for model.encoder.weight_of_penalty in (0.0, 0.4):
        losses.append(loss_of(part, model, x))
    penalty = 0.4 * model.encode(x).square().sum(1).mean()
    assert losses[1].item() == pytest.approx((losses[0] + penalty).item(), rel=1e-12)
    weights = [model.encoder.weight]
    grads = [torch.autograd.grad(loss, weights)[0] for loss in (*losses, penalty)]
    torch.testing.assert_close(grads[1], grads[0] + grads[2], rtol=1e-9, atol=1e-12)


def test_svi_starts_at_the_prior_and_leaves_the_encoder_alone(x):
    model, part = Model(), replace(SETTINGS[0], variant="svi")
    loss = loss_of(part, model, x)
    loss.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    inner, last = noises(part.refine_steps)
    refined = part.refinement(model, Batch(x), standard(model.prior(), Batch(x)), inner, BETA)
    here = negative_elbo(model, model.prior(), Batch(x), refined, last, BETA).mean()
    assert loss.item() == pytest.approx(here.item(), rel=1e-12)
    assert all(p.grad.any() for p in model.decoder.values())


def test_no_example_hears_of_its_neighbours(x):
    model, part = Model(), SemiAmortized(5, 0.1, 0.9, 1.5)
    inner, last = noises(5)

    def loss(x, inner, last):
        q = part.refinement(model, Batch(x), model.posterior(x).base_dist, inner, BETA, through=True)
        value = ELBO(Constant(BETA))(terms_at(model, model.prior(), Batch(x), q, last), 0)
        return value, torch.cat([g.flatten() for g in torch.autograd.grad(value, [*model.parameters()])])

    once = loss(x, inner, last)
    twice = loss(torch.cat([x, x]), torch.cat([inner, inner], 2), torch.cat([last, last], 1))
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_refinement_arrives_at_the_best_q_of_a_linear_gaussian_model():
    model = LinearGaussian.random(dims=5, latents=2, variance=0.7)
    x, _ = model.sample(7)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 2)  # have the moments that f depends on
    noise = corners[None, :, None].expand(600, -1, 7, -1)
    q = Refinement(600, 0.02, 0.8, None)(model, Batch(x), standard(model.prior(), Batch(x)), noise)
    v, d = model.optimal_encoder()
    torch.testing.assert_close(q.loc, (x - model.mean) @ v.T, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(q.variance, d.expand(7, 2), rtol=1e-6, atol=1e-6)


def test_the_noise_of_a_pair_does_not_move_the_mean_of_a_linear_gaussian_model():
    model = LinearGaussian.random(dims=5, latents=2, variance=0.7)
    x, _ = model.sample(7)
    noise = torch.randn(30, 1, 7, 2).double()
    pairs, still, single = (
        Refinement(30, 0.02, 0.5, None, antithetic)(model, Batch(x), standard(model.prior(), Batch(x)), e).loc
        for antithetic, e in ((True, noise), (True, torch.zeros_like(noise)), (False, noise))
    )
    torch.testing.assert_close(pairs, still, rtol=1e-9, atol=1e-12)
    assert (single - still).abs().mean() > 0.01


def sentence_model():
    torch.manual_seed(0)
    decoder = RecurrentDecoder(embedding=3, hidden=4, word_dropout=0.4, dropout=0.3)
    encoder = RecurrentEncoder(embedding=3, hidden=4)
    return LatentVariableModel(SPECS["text"], encoder, GaussianPosterior(2), StandardNormal(), decoder, Categorical())


def sentence_step(number):
    return Step(number, Batch(raw_data(SPECS["text"], Categorical())), lambda: None)


def test_without_steps_it_is_joint_training():
    models = sentence_model(), sentence_model()
    both = [part.build(m, ELBO(), SGD) for part, m in zip((Joint(), SemiAmortized(0)), models, strict=True)]
    for number in range(4):
        logs = []
        for built in both:
            torch.manual_seed(number)
            logs.append(built.step(sentence_step(number)))
        assert logs[0].keys() == logs[1].keys()
        torch.testing.assert_close(*(log["loss"] for log in logs))
    for one, other in zip(*(m.state_dict().values() for m in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("part", SemiAmortized.tiny(), ids=lambda p: p.variant)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_restored_algorithm_goes_on_as_if_nothing_had_happened(part, optimizer):
    settings = replace(SGD, optimizer=optimizer)
    models = sentence_model(), sentence_model()

    def advance(built, numbers):
        for number in numbers:
            torch.manual_seed(number)
            built.step(sentence_step(number))

    one = part.build(models[0], ELBO(), settings)
    advance(one, range(3))
    models[1].load_state_dict(models[0].state_dict())
    other = part.build(models[1], ELBO(), settings)
    other.load_state_dict(deepcopy(one.state_dict()))
    advance(one, range(3, 5))
    advance(other, range(3, 5))
    assert all(torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in models), strict=True))


def decoders():
    for name, spec in SPECS.items():
        for decoder in (p for p in tiny("decoders") if fits(p, spec)):
            for likelihood in (p for p in tiny("likelihoods") if fits(p, spec)):
                yield pytest.param(spec, decoder, likelihood, id=f"{name}-{decoder}-{likelihood}")


@pytest.mark.parametrize(("spec", "decoder", "likelihood"), list(decoders()))
def test_every_decoder_can_be_differentiated_twice(spec, decoder, likelihood):
    """d/dtheta of the slope in z, along a direction of each, against a finite difference."""
    try:
        reading = likelihood.build(spec)
    except ValueError as refusal:
        pytest.skip(f"does not fit, and says so: {refusal}")
    model = decoder.build(spec, (2,), reading).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = model.likelihood.observe(raw_data(spec, likelihood, n=3))
    z, along = torch.randn(1, 3, 2).double(), torch.randn(1, 3, 2).double()
    parameters = list(model.parameters())
    direction = [torch.randn_like(p) for p in parameters]

    def slope(graph):
        at = z.clone().requires_grad_()
        (g,) = torch.autograd.grad(model(at).log_prob(x).sum(), at, create_graph=graph)
        return (g * along).sum()

    found = torch.autograd.grad(slope(True), parameters, allow_unused=True)
    parts = [(g * d).sum().item() for g, d in zip(found, direction, strict=True) if g is not None]
    ends = []
    for sign in (1, -1):
        for p, d in zip(parameters, direction, strict=True):
            p.data += sign * 1e-5 * d
        ends.append(slope(False).item())
        for p, d in zip(parameters, direction, strict=True):
            p.data -= sign * 1e-5 * d
    if getattr(model, "z_places", 0) != 1:  # all look at the one place there is, whatever they ask
        assert all(parts)
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(sum(parts), abs=1e-3 * sum(map(abs, parts)))


def test_bf16_keeps_q_and_its_cost_in_float32():
    model = sentence_model()
    built = SemiAmortized(2).build(model, ELBO(), SGD)
    with torch.autocast("cpu", torch.bfloat16):
        terms, loss = built.terms(sentence_step(0).batch, 0)
        logs = built.step(sentence_step(0))
    assert {t.dtype for t in (terms.latent.z, terms.latent.kl, terms.distortion, loss)} == {torch.float32}
    assert torch.isfinite(logs["loss"]) and all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_the_refined_q_belongs_to_the_example():
    model = sentence_model().eval()
    x = raw_data(SPECS["text"], Categorical())
    before = torch.get_rng_state()
    with torch.no_grad():
        whole = Refined(model, Refinement(3)).posterior(x)
        again = Refined(model, Refinement(3))
        alone = [again.posterior(x[i : i + 1, : int(x[i].ne(0).sum())]) for i in (4, 0, 2)]
        reseeded = Refined(model, Refinement(3), seed=1).posterior(x)
    assert torch.equal(before, torch.get_rng_state())
    for i, q in zip((4, 0, 2), alone, strict=True):
        torch.testing.assert_close(q.mean[0], whole.mean[i], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(reseeded.mean, whole.mean, atol=1e-4)
    assert len(again.known) == 3 and not whole.mean.requires_grad


def test_a_refined_q_is_found_once():
    model = LinearGaussian.random(dims=4, latents=2)
    calls = []
    counted = Refined(model.lagging(), Refinement(2))
    counted._refine = lambda batch, marks: calls.append(len(batch)) or Refined._refine(counted, batch, marks)
    x, _ = model.sample(5)
    one, other = counted.posterior(x), counted.posterior(torch.cat([x[3:], x[:2]]))
    assert calls == [5] and torch.equal(one.mean[:2], other.mean[2:])
    assert fingerprints(Batch(x)).unique().numel() == 5


def test_a_refined_q_gives_a_better_bound_and_the_evidence_of_a_model():
    lagging = LinearGaussian.random(dims=4, latents=2).lagging(0.2)
    x, _ = lagging.model.sample(200)
    refined = Refined(lagging, Refinement(200, 0.02))
    own, best = lagging.elbo(x).mean().item(), lagging.model.vae().elbo(x).mean().item()
    q = refined.posterior(x).base_dist
    found = lagging.model
    bounds = -negative_elbo(found, found.prior(), Batch(x), q, torch.randn(50, 200, 2).double())
    assert own < best - 1 and best - 0.5 < bounds.mean().item() < best + 0.05
    assert refined.describe_inference().startswith("refined for each example: 200 gradient steps of 0.02 (momentum 0.5")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({"refine_steps": -1}, "steps is -1, wanted 0 or more"),
        ({"refine_rate": 0.0}, "rate is 0.0 and momentum 0.5"),
        ({"momentum": 1.0}, "momentum 1.0; wanted a rate above 0 and a momentum from 0 to below 1"),
        ({"clip": 0.0}, "clip is 0.0, wanted a norm above 0"),
    ],
)
def test_contradictions_are_refused(bad, complaint):
    with pytest.raises(ValueError, match=complaint):
        SemiAmortized(**bad)


def test_only_a_gaussian_posterior_is_refined():
    with pytest.raises(ValueError, match="got a posterior of type Inference, wanted a gaussian one"):
        SemiAmortized().build(Model(), ELBO(), SGD)


def test_the_remedy_sets_the_algorithm():
    from buttress.baseline import baseline
    from buttress.data.mnist5k import Mnist5k

    recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
    changed = apply("kl_annealing+semi_amortized:steps=4:variant=vae_svi", recipe)
    assert changed.algorithm == SemiAmortized(refine_steps=4, antithetic=True, variant="vae_svi")
    with pytest.raises(DoesNotFit, match="semi_amortized needs the gaussian posterior"):
        apply("semi_amortized", replace(recipe, posterior=VectorQuantized()))
