"""The laws, on every cell of the catalogue: each part and each combination of parts that fits, through tiny instances.

A new part enters by itself: the catalogue looks into the folders.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Distribution, Independent, Normal

from buttress import catalogue
from buttress.model import LatentVariableModel
from buttress.objectives.elbo import ELBO
from buttress.objectives.importance_weighted import importance_weighted_bound
from buttress.parts import EOS, PAD, DataSpec, Space

SPECS = {
    "image": DataSpec("image", (1, 4, 5), mean=torch.full((1, 4, 5), 90.0), std=torch.full((1, 4, 5), 50.0)),
    "colour": DataSpec("image", (3, 4, 4), mean=torch.full((3, 4, 4), 90.0), std=torch.full((3, 4, 4), 50.0)),
    "text": DataSpec("text", (5,), vocabulary=7),
    "table": DataSpec("table", (3,), mean=torch.zeros(3), std=torch.ones(3), columns=("a", "b", "c")),
}


def tiny(room):
    return [part for kind in catalogue.parts(room).values() for part in kind.tiny()]


def fits(part, spec):
    return spec.kind in getattr(part, "kinds", (spec.kind,))


def raw_data(spec, likelihood, n=6):
    """Stored data inside the support of a likelihood."""
    generator = torch.Generator().manual_seed(3)
    if spec.kind == "text":
        x = torch.randint(4, spec.vocabulary, (n, *spec.shape), generator=generator)
        lengths = torch.arange(n) % spec.shape[0]
        place = torch.arange(spec.shape[0])
        x = torch.where(place == lengths[:, None], EOS, x)
        return torch.where(place > lengths[:, None], PAD, x)
    if not getattr(likelihood, "ordinal", True):
        return torch.randint(0, likelihood.levels, (n, *spec.shape), generator=generator, dtype=torch.int32)
    if getattr(likelihood, "binarize", None) == "none" or (spec.kind == "table" and likelihood.name() == "bernoulli"):
        return torch.randint(0, 2, (n, *spec.shape), generator=generator).float()
    if spec.kind == "image":
        return torch.randint(0, 256, (n, *spec.shape), generator=generator, dtype=torch.uint8)
    return torch.randn(n, *spec.shape, generator=generator)


def cells():
    """(spec, encoder, posterior, prior, decoder, likelihood): with a Gaussian and N(0, I) every encoder with one
    decoder, every decoder with all likelihoods that fit it; with one decoder every pair of posterior and prior.
    """
    pairs = [pair for pair in itertools.product(tiny("posteriors"), tiny("priors")) if alike(*pair)]
    for name, spec in SPECS.items():
        rooms = {room: [p for p in tiny(room) if fits(p, spec)] for room in ("encoders", "decoders", "likelihoods")}
        encoder, decoder, likelihood = (rooms[room][0] for room in ("encoders", "decoders", "likelihoods"))
        for posterior, prior in (pair for pair in pairs if fits(pair[1], spec)):
            yield name, (encoder, posterior, prior, decoder, likelihood)
            for spatial in (e for e in rooms["encoders"] if posterior.discrete and getattr(e, "spatial", False)):
                yield name, (spatial, posterior, prior, decoder, likelihood)
        first = next(pair for pair in pairs if [part.name() for part in pair] == ["gaussian", "standard_normal"])
        for decoder, likelihood in itertools.product(rooms["decoders"], rooms["likelihoods"]):
            yield name, (encoder, *first, decoder, likelihood)
        for encoder in rooms["encoders"][1:]:
            yield name, (encoder, *first, rooms["decoders"][0], rooms["likelihoods"][0])


def alike(posterior, prior):
    """Whether both are about integers, or both about real numbers."""
    return posterior.discrete == prior.discrete


def label(cell):
    return "-".join([cell[0], *(p.name() for p in cell[1])])


@pytest.fixture(params=list(dict.fromkeys(cells())), ids=label)
def cell(request):
    """A model with random weights away from its initial symmetry, its spec, and data it has observed."""
    name, parts = request.param
    spec = SPECS[name]
    torch.manual_seed(0)
    try:
        model = LatentVariableModel(spec, *parts)
    except ValueError as refusal:
        if not any(part.name() in str(refusal) for part in parts[2:]):
            raise
        pytest.skip(f"does not fit, and says so: {refusal}")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    raw = raw_data(spec, parts[4])
    model.decoder.likelihood.check(raw)
    return model.eval(), model.observe(raw)


def test_terms_have_their_shapes_and_are_finite(cell):
    model, x = cell
    terms = model(x, samples=2)
    groups = len(model.groups)
    assert terms.distortion.shape == (2, len(x))
    assert terms.latent.log_ratio.shape[1:] == (len(x), groups)
    assert terms.latent.rate.shape == (len(x), groups)
    assert torch.isfinite(terms.elbo).all()


def test_no_example_hears_of_its_neighbours(cell):
    """Which makes loss([x, x]) = loss(x), whatever is summed or averaged inside."""
    model, x = cell
    z = model.posterior(x).sample((2,))
    alone = torch.cat([model.log_likelihood(x[i : i + 1], z[:, i : i + 1]) for i in range(len(x))], 1)
    twice = model.log_likelihood(torch.cat([x, x]), torch.cat([z, z], 1))
    torch.testing.assert_close(twice, torch.cat([alone, alone], 1), rtol=1e-4, atol=1e-4)
    pair, single = model.posterior(torch.cat([x, x])).log_prob(torch.cat([z, z], 1)), model.posterior(x).log_prob(z)
    torch.testing.assert_close(pair, torch.cat([single, single], 1), rtol=1e-4, atol=1e-4)
    assert ELBO()(model(x), 0).shape == ()


def test_every_parameter_learns(cell):
    model, x = cell
    model.train()
    terms = model(x)
    (ELBO()(terms, 0) + sum(p.mean() for p in terms.latent.penalty.values())).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_evaluation_changes_nothing(cell):
    model, x = cell
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model(x)
        model.reconstruct(x)
        model.sample(2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_samples_are_data_that_the_model_could_read(cell):
    model, x = cell
    drawn = model.sample(3)
    assert drawn.dtype == x.dtype
    assert drawn.shape[0] == 3
    assert drawn.shape[1:] == x.shape[1:] or model.spec.kind == "text"
    assert torch.isfinite(model.decoder(torch.zeros(3, *model.inference.z_shape)).log_prob(drawn)).all()


def test_the_bound_stays_below_the_exact_log_marginal(cell):
    """z has two dimensions, so log p(x) is a sum over a fine grid; L_1 and L_50 must not pass it by four errors."""
    model, x = cell
    if model.inference.space != Space((2,)):
        pytest.skip("log p(x) by a grid needs a z of two dimensions")
    x = x[:2]
    axis = torch.linspace(-5, 5, 61)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        chunks = grid[:, None].expand(-1, len(x), 2).split(400)
        joint = torch.cat([model.log_likelihood(x, z.contiguous()) + model.prior().log_prob(z) for z in chunks])
        exact = joint.logsumexp(0) + 2 * math.log(float(axis[1] - axis[0]))
        for k in (1, 50):
            bounds = torch.stack([importance_weighted_bound(model(x, samples=k).log_weight) for _ in range(60)])
            error = bounds.std(0) / len(bounds) ** 0.5
            assert (bounds.mean(0) <= exact + 4 * error + 1e-3).all(), k


@pytest.mark.parametrize("prior", [p for p in tiny("priors") if not p.discrete], ids=lambda p: p.name())
def test_a_prior_integrates_to_one(prior):
    module = prior.build(Space((2,)))
    net = torch.nn.Linear(3, 2)
    likelihood = catalogue.part("likelihoods", "gaussian")().build(SPECS["table"])
    module.bind(lambda u: Independent(Normal(net(u), 0.5), 1), likelihood, SPECS["table"])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        p: Distribution = module()
    axis = torch.linspace(-8, 8, 401)
    mass = p.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("prior", [p for p in tiny("priors") if p.discrete], ids=lambda p: p.name())
@pytest.mark.parametrize("shape", [(2, 2, 1), (2, 1, 2), (4,)], ids=str)
def test_a_prior_over_codes_sums_to_one(prior, shape):
    torch.manual_seed(0)
    try:
        p: Distribution = prior.build(Space(shape, classes=3))()
    except ValueError as refusal:
        if prior.name() not in str(refusal):
            raise
        pytest.skip(f"does not fit, and says so: {refusal}")
    codes = torch.cartesian_prod(*[torch.arange(3)] * 4).reshape(-1, *shape)
    assert p.log_prob(codes).exp().sum().item() == pytest.approx(1, abs=1e-5)
    drawn = p.sample((5,))
    assert drawn.shape == (5, *shape)
    assert not drawn.is_floating_point()
    assert torch.isfinite(p.log_prob(drawn)).all()
