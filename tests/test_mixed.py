"""Tables of numbers and categories with missing values: a true density, in which what is missing takes no part."""

import math

import pytest
import torch
from torch.distributions import Normal

from buttress.core import DataSpec, Layout
from buttress.core.model import LatentVariableModel
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.mixed import Mixed
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal

NAN = math.nan
SPEC = DataSpec(
    Layout.table(4),
    mean=torch.tensor([1.0, 10.0, 0.7, -5.0]),
    std=torch.tensor([1.0, 2.0, 0.5, 0.1]),
    categories=(3, 0, 2, 0),
    words=(("a", "b", ""), (), ("no", "yes"), ()),
    missing=True,
)


def outputs(p, *lead):
    return torch.randn(*lead, 1, p.channels)


@pytest.mark.parametrize("learned", ["fixed", "scalar", "per_column"])
def test_the_density_is_that_of_its_columns(learned):
    p = Mixed(0.5, learned).build(SPEC)
    output = outputs(p, 7)
    x = torch.tensor([2.0, 11.0, 1.0, -5.2])
    means, (first, second) = p.split(output.squeeze(-2))
    law = Normal(means * SPEC.std[[1, 3]] + SPEC.mean[[1, 3]], 0.5**0.5 * SPEC.std[[1, 3]])
    wanted = law.log_prob(x[[1, 3]]).sum(-1) + first.log_softmax(-1)[:, 2] + second.log_softmax(-1)[:, 1]
    torch.testing.assert_close(p(output).log_prob(x), wanted)


def test_it_integrates_and_sums_to_one():
    spec = DataSpec(Layout.table(2), mean=torch.tensor([0.0, 10.0]), std=torch.tensor([1.0, 2.0]), categories=(3, 0))
    p = Mixed(0.5).build(spec)
    grid = torch.linspace(-20, 40, 2001)
    x = torch.cartesian_prod(torch.arange(3.0), grid)
    mass = p(outputs(p, 1)).log_prob(x).exp().sum() * (grid[1] - grid[0])
    assert mass.item() == pytest.approx(1, abs=1e-4)


def test_numbers_alone_are_those_of_the_gaussian():
    spec = DataSpec(Layout.table(3), mean=torch.tensor([1.0, 2, 3]), std=torch.tensor([1.0, 2, 0]))
    x, output = torch.randn(5, 3), torch.randn(5, 3)
    gaussian = GaussianLikelihood().build(spec)(output[..., None]).log_prob(x)
    torch.testing.assert_close(Mixed().build(spec)(output[:, None]).log_prob(x), gaussian)


def test_a_missing_entry_adds_no_nats_whichever_column_it_is_in():
    p = Mixed().build(SPEC)
    output = outputs(p, 1)
    x = torch.tensor([2.0, 11.0, 1.0, -5.2])
    alone = [torch.where(torch.arange(4) == i, x, NAN) for i in range(4)]
    parts = sum(p(output).log_prob(row) for row in alone)
    torch.testing.assert_close(parts, p(output).log_prob(x))
    assert p(output).log_prob(torch.full((4,), NAN)) == 0


@pytest.fixture
def model():
    parts = (MlpEncoder((8,)), GaussianPosterior(2), StandardNormal(), MlpDecoder((8,)), Mixed(learned="per_column"))
    return LatentVariableModel(SPEC, *parts)


def test_the_pattern_of_missing_entries_changes_no_other_example(model):
    x = torch.tensor([[0.0, 11, 1, -5], [1, 9, 0, -5.1], [2, 10, 1, -4.9]])
    holes = x.clone()
    holes[1] = torch.tensor([NAN, NAN, 1, NAN])
    z = torch.randn(4, 3, 2)
    for i in (0, 2):
        assert torch.equal(model.posterior(x).mean[i], model.posterior(holes).mean[i])
        assert torch.equal(model.log_likelihood(x, z)[:, i], model.log_likelihood(holes, z)[:, i])
    assert model.log_likelihood(holes, z).isfinite().all() and model.posterior(holes).mean.isfinite().all()
    assert not torch.equal(model.posterior(x).mean[1], model.posterior(holes).mean[1])


def test_a_gradient_reaches_every_parameter_and_every_output_through_rows_with_holes(model):
    x = torch.tensor([[0.0, 11, 1, NAN], [1, NAN, 0, -5.1], [2, 10, 1, -4.9]])
    terms = model(x)
    terms.distortion.mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    bias = model.decoder.out.bias.grad
    assert bias.shape == (2 + 3 + 2,) and bias.all()
    assert model.likelihood.raw_log_variance.grad.all()


def test_samples_are_rows_that_could_be_data(model):
    drawn = model.sample(500)
    model.likelihood.check(drawn)
    assert drawn.shape == (500, 4) and drawn[:, 0].unique().tolist() == [0, 1, 2]
    middle = model.decode(torch.zeros(5, 2)).mean
    model.likelihood.check(middle)
    p = Mixed(0.25, "fixed").build(SPEC)
    output = outputs(p)
    many = p(output).sample((20_000,))
    (means, (first, _)) = p.split(output.squeeze(-2))
    torch.testing.assert_close(many[:, 1].mean(), means[0] * 2 + 10, atol=0.05, rtol=0)
    torch.testing.assert_close(many[:, 1].std(), torch.tensor(1.0), atol=0.05, rtol=0)
    share = torch.stack([(many[:, 0] == k).float().mean() for k in range(3)])
    torch.testing.assert_close(share, first.softmax(-1), atol=0.02, rtol=0)


def test_a_temperature_narrows_numbers_and_categories():
    p = Mixed(0.25, "fixed").build(SPEC)
    output = outputs(p)
    uniforms = torch.rand(5000, 1, p.draws)
    for temperature in (0.0, 0.3, 1.0):
        q = p.pick(*p.temper(output.expand(5000, -1, -1), uniforms, temperature)).squeeze(1)
        assert q[:, 1].std().item() == pytest.approx(temperature, abs=0.05)
        assert temperature or len(q.unique(dim=0)) == 1
    torch.testing.assert_close(q, p.pick(output.expand(5000, -1, -1), uniforms).squeeze(1), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([3.0, 1, 1, 1], r"3\.0 at .*wanted codes 0 to 2 in column 0"),
        ([0.5, 1, 1, 1], "wanted codes 0 to 2"),
        ([0.0, math.inf, 1, 1], "wanted finite numbers, or NaN for what is missing"),
    ],
)
def test_what_lies_outside_is_refused(row, message):
    with pytest.raises(ValueError, match=message):
        Mixed().build(SPEC).check(torch.tensor([row]))


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="mixed likelihood: variance is 0"):
        Mixed(0.0)
    with pytest.raises(ValueError, match="every column is constant"):
        Mixed().build(DataSpec(Layout.table(1), mean=torch.zeros(1), std=torch.zeros(1)))
    with pytest.raises(ValueError, match=r"columns of categories; try: the mixed likelihood"):
        GaussianLikelihood().build(SPEC)
    with pytest.raises(ValueError, match=r"try: the mixed likelihood, which takes missing values"):
        GaussianLikelihood().build(DataSpec(Layout.table(1))).check(torch.tensor([[NAN]]))
