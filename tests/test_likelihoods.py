"""Each likelihood is a true density or mass of the stored data, transformations included."""

import itertools
import math

import pytest
import torch
from torch.distributions import Normal

from buttress.core import PAD, DataSpec, Layout, Likelihood
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import FIRST, Categorical, choose, score_tokens
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.logistic_mixture import LogisticMixture
from buttress.runtime.randomness import shard

IMAGE = DataSpec(Layout.image(2, 1, 2))


def label(value: object) -> str:
    return value.kind if isinstance(value, DataSpec) else str(value)


def parameters(p, *lead: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*lead, p.channels)


def every(values, sites: int) -> torch.Tensor:
    """All points of a space of ``sites`` sites that take ``values``."""
    return torch.tensor(list(itertools.product(values, repeat=sites)))


# Bernoulli


def test_bernoulli_sums_to_one_and_equals_its_formula():
    p = Bernoulli().build(IMAGE)
    logits = parameters(p, 1, 2)
    x = every((0.0, 1.0), 4).view(16, 2, 1, 2)
    log_prob = p(logits).log_prob(x)
    assert log_prob.exp().sum() == pytest.approx(1, abs=1e-6)
    chance = logits.movedim(-1, 0).sigmoid()
    by_hand = (x * chance.log() + (1 - x) * (1 - chance).log()).sum((1, 2, 3))
    torch.testing.assert_close(log_prob, by_hand)


def test_bernoulli_reads_grey_values_as_probabilities_afresh_each_time():
    p = Bernoulli().build(DataSpec(Layout.image(1, 1, 3)))
    raw = torch.tensor([0, 64, 255], dtype=torch.uint8).expand(20_000, 1, 1, 3)
    x = p.observe(raw)
    assert x.unique().tolist() == [0, 1]
    torch.testing.assert_close(x.mean((0, 1, 2)), torch.tensor([0, 64 / 255, 1]), atol=0.015, rtol=0)
    assert not torch.equal(x, p.observe(raw))
    torch.testing.assert_close(p.observe(raw / 255).mean(0), x.mean(0), atol=0.02, rtol=0)


def test_bernoulli_draws_the_same_for_one_process_and_two():
    p = Bernoulli().build(DataSpec(Layout.image(1, 4, 4)))
    raw = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    torch.manual_seed(1)
    whole = p.observe(raw)
    torch.manual_seed(1)
    with shard(1, 2):
        half = p.observe(raw[3:])
    torch.testing.assert_close(half, whole[3:])


def test_bernoulli_draws_ones_as_often_as_its_mean_says():
    p = Bernoulli().build(IMAGE)
    q = p(parameters(p, 1, 2))
    torch.testing.assert_close(q.sample((20_000,)).mean(0), q.mean, atol=0.015, rtol=0)


def test_bernoulli_without_chance():
    raw = torch.tensor([[[[0, 127, 128, 255]]]], dtype=torch.uint8)
    threshold = Bernoulli("threshold").build(DataSpec(Layout.image(1, 1, 4)))
    assert threshold.observe(raw).flatten().tolist() == [0, 0, 1, 1]
    assert threshold.observe(raw / 255).flatten().tolist() == [0, 0, 1, 1]
    none = Bernoulli("none").build(DataSpec(Layout.table(3)))
    torch.testing.assert_close(none.observe(torch.tensor([[0, 1, 1]])), torch.tensor([[0.0, 1, 1]]))


def test_bernoulli_starts_at_the_mean_of_the_data():
    mean = torch.tensor([[[0.0, 51, 255]]])
    p = Bernoulli().build(DataSpec(Layout.image(1, 1, 3), mean=mean))
    start = p.start()
    assert start.shape == (1, 3, 1)
    torch.testing.assert_close(p(start).mean.flatten(), torch.tensor([0.001, 0.2, 0.999]))
    of_binary = Bernoulli("none").build(DataSpec(Layout.image(1, 1, 3), mean=mean / 255))
    torch.testing.assert_close(of_binary.start(), start)


# Categorical


def test_sentences_of_every_length_have_mass_one():
    """Tokens end with EOS: the mass of all sentences up to a length, plus that of the unfinished, is one."""
    p = Categorical().build(DataSpec(Layout.text(5, longest=3)))
    logits = parameters(p, 3, scale=2.0)
    sentences = []
    for length in (1, 2, 3):
        for words in itertools.product((3, 4), repeat=length - 1):
            sentences.append([*words, 2, *[PAD] * (3 - length)])
    unfinished = [list(words) for words in itertools.product((3, 4), repeat=3)]
    log_prob = p(logits).log_prob(torch.tensor(sentences + unfinished))
    assert log_prob.exp().sum() == pytest.approx(1, abs=1e-6)


def test_padding_costs_nothing_and_is_never_drawn():
    p = Categorical().build(DataSpec(Layout.text(6, longest=4)))
    logits = parameters(p, 2, 3, 4).requires_grad_()
    x = torch.tensor([[3, 4, 2, 0], [2, 0, 0, 0], [5, 5, 5, 2]])
    log_prob = p(logits).log_prob(x)
    assert log_prob.shape == (2, 3)
    scores = logits.log_softmax(-1)
    for s, b in itertools.product(range(2), range(3)):
        by_hand = sum(scores[s, b, t, x[b, t] - FIRST] for t in range(4) if x[b, t] != PAD)
        torch.testing.assert_close(log_prob[s, b], by_hand)
    log_prob.sum().backward()
    assert (logits.grad[:, 1, 1:] == 0).all() and (logits.grad[:, 2] != 0).all()
    drawn = p(logits).sample((50,))
    assert drawn.shape == (50, 2, 3, 4) and drawn.unique().tolist() == [2, 3, 4, 5]
    assert p(logits).mode.shape == (2, 3, 4)
    with pytest.raises(ValueError, match="mode"):
        _ = p(logits).mean


def test_scoring_projects_true_positions_only():
    p = Categorical().build(DataSpec(Layout.text(6, longest=4)))
    hidden, layer = torch.randn(2, 3, 4, 5), torch.nn.Linear(5, p.channels)
    x = torch.tensor([[3, 4, 2, 0], [2, 0, 0, 0], [5, 5, 5, 2]])
    rows = []

    def project(h):
        rows.append(len(h))
        return layer(h)

    torch.testing.assert_close(score_tokens(hidden, x, project), p(layer(hidden)).log_prob(x))
    assert rows == [2 * 8]


def test_levels_sum_to_one_and_reduce_the_image():
    p = Categorical(levels=3).build(IMAGE)
    x = every((0, 1, 2), 4).view(81, 2, 1, 2)
    logits = parameters(p, 1, 2)
    log_prob = p(logits).log_prob(x)
    assert log_prob.exp().sum() == pytest.approx(1, abs=1e-6)
    scores = logits.view(2, 2, 3).log_softmax(-1)  # places, channels, levels
    point = torch.tensor([[[2, 0]], [[1, 1]]])
    by_hand = scores[0, 0, 2] + scores[1, 0, 0] + scores[0, 1, 1] + scores[1, 1, 1]
    torch.testing.assert_close(p(logits).log_prob(point), by_hand)
    torch.testing.assert_close((log_prob.exp()[:, None, None, None] * x).sum(0), p(logits).mean)
    raw = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert p.observe(raw).unique().tolist() == [0, 1, 2]
    torch.testing.assert_close(Categorical().build(IMAGE).observe(raw), raw.long())


def test_symbols_are_read_one_hot_and_stored_as_they_are():
    p = Categorical(levels=300, ordinal=False).build(IMAGE)
    assert (p.channels, p.feature_channels) == (600, 600)
    raw = torch.tensor([[[[0, 299]], [[7, 1]]]], dtype=torch.int16)
    p.check(raw)
    x = p.observe(raw)
    assert x.dtype == torch.int64 and x.tolist() == raw.tolist()
    hot = p.features(x)
    assert hot.shape == (1, 600, 1, 2)
    assert hot.nonzero().tolist() == [[0, 0, 0, 0], [0, 299, 0, 1], [0, 301, 0, 1], [0, 307, 0, 0]]
    assert p.features(x.expand(2, 3, 2, 1, 2)).shape == (2, 3, 600, 1, 2)
    q = p(parameters(p, 1, 2, scale=9.0))
    assert (q.mode.max(), q.mode.shape) == (q.parameters.view(2, 2, 300).argmax(-1).max(), (2, 1, 2))
    assert q.log_prob(q.mode) > q.log_prob(x[0])
    with pytest.raises(ValueError, match="codes means nothing"):
        _ = q.mean


def test_symbols_sum_to_one():
    p = Categorical(levels=3, ordinal=False).build(IMAGE)
    log_prob = p(parameters(p, 1, 2)).log_prob(every((0, 1, 2), 4).view(81, 2, 1, 2))
    assert log_prob.exp().sum() == pytest.approx(1, abs=1e-6)


def test_choose_follows_the_cumulative_probabilities():
    logits = torch.tensor([0.2, 0.0, 0.5, 0.3]).log()
    edges = torch.tensor([0.0, 0.1999, 0.2001, 0.6999, 0.7001, 1 - 2**-24])
    assert choose(logits.expand(6, 4), edges[:, None]).flatten().tolist() == [0, 0, 2, 2, 3, 3]
    never = torch.tensor([-math.inf, 0.0, -math.inf])
    assert choose(never.expand(2, 3), torch.tensor([[0.0], [1 - 2**-24]])).flatten().tolist() == [1, 1]


# GaussianLikelihood

TABLE = DataSpec(Layout.table(2), mean=torch.tensor([3.0, -100]), std=torch.tensor([0.5, 20]), columns=("a", "b"))


@pytest.mark.parametrize("learned", ["fixed", "scalar", "per_site"])
def test_gaussian_density_of_a_table_integrates_to_one_in_its_own_units(learned):
    p = GaussianLikelihood(0.6, learned).build(TABLE)
    output = parameters(p, 2, scale=0.3)
    first, second = torch.linspace(-2, 8, 401), torch.linspace(-300, 100, 401)
    x = torch.cartesian_prod(first, second)
    cell = (first[1] - first[0]) * (second[1] - second[0])
    assert (p(output).log_prob(x).exp().sum() * cell).item() == pytest.approx(1, abs=1e-4)
    log_variance = p.split(output)[1].expand(2, 1)[:, 0]
    law = Normal(TABLE.mean + TABLE.std * output[:, 0], TABLE.std * (0.5 * log_variance).exp())
    torch.testing.assert_close(p(output).log_prob(x), law.log_prob(x).sum(-1))
    torch.testing.assert_close(p(output).mean, law.mean)
    drawn = p(output).sample((20_000,))
    torch.testing.assert_close(drawn.mean(0), law.mean, atol=0.5, rtol=0.01)
    torch.testing.assert_close(drawn.std(0), law.stddev, atol=0, rtol=0.03)


def test_gaussian_density_of_an_image_is_that_of_its_grey_levels():
    p = GaussianLikelihood(0.01, "fixed").build(DataSpec(Layout.image(1, 1, 1)))
    raw = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    output = torch.full((1, 1, 1), 0.4)
    x = p.observe(raw.expand(256, 1, 1, 100))
    assert ((x >= raw) & (x <= raw.float() + 1)).all()
    grid = torch.linspace(-1000, 1000, 20_001).view(-1, 1, 1, 1)
    assert p(output).log_prob(grid).exp().sum() * 0.1 == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(p.features(x), x / 256)
    # Jensen: the mean log density over the noise lies below the log mass of the level, and the masses sum to one
    noise = (torch.arange(100) + 0.5) / 100
    density = p(output).log_prob((raw + noise).view(-1, 1, 1, 1)).view(256, 100)
    assert (density.mean(1) <= density.exp().mean(1).log()).all()
    unit = Normal(0.4, 0.1).log_prob((raw[7, 0, 0] + 0.5) / 256) - math.log(256)  # the paper's density of [0, 1]
    torch.testing.assert_close(p(output).log_prob(raw[7] + 0.5), unit.squeeze(-1).squeeze(-1).squeeze(-1))


def test_gaussian_images_of_floats_stay_as_they_are():
    p = GaussianLikelihood(0.3, "fixed", dequantize=False).build(DataSpec(Layout.image(2, 1, 1)))
    raw = torch.randn(5, 2, 1, 1)
    torch.testing.assert_close(p.observe(raw), raw)
    by_hand = Normal(torch.zeros(()), 0.3**0.5).log_prob(raw).sum((1, 2, 3))
    torch.testing.assert_close(p(torch.zeros(1, 1, 2)).log_prob(raw), by_hand)


def test_gaussian_learns_the_variance_of_the_residuals():
    p = GaussianLikelihood(0.1, "scalar", dequantize=False).build(DataSpec(Layout.image(1, 4, 4)))
    assert p.log_variance.exp().item() == pytest.approx(0.1)
    x = 0.5 * torch.randn(100, 1, 4, 4)
    optimizer = torch.optim.LBFGS(p.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = -p(torch.zeros(100, 4, 4, 1)).log_prob(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert p.log_variance.exp().item() == pytest.approx(x.square().mean().item(), rel=1e-3)


@pytest.mark.parametrize("part", [GaussianLikelihood(0.1, "scalar"), GaussianLikelihood(0.1, "per_site")], ids=label)
def test_gaussian_variance_is_bounded(part):
    p = part.build(DataSpec(Layout.image(1, 1, 1)))
    if p.raw_log_variance is not None:
        p.raw_log_variance.data.fill_(-1e9)
    output = torch.full((1, 1, p.channels), -1e6, requires_grad=True)
    log_prob = p(output).log_prob(torch.zeros(1, 1, 1))
    log_prob.backward()
    assert p.split(output)[1].item() == pytest.approx(-14)
    assert log_prob.isfinite() and output.grad.isfinite().all()


def test_gaussian_starts_at_the_mean_and_variance():
    mean = torch.tensor([[[0.0, 100, 255]]])
    p = GaussianLikelihood(0.2, "per_site").build(DataSpec(Layout.image(1, 1, 3), mean=mean))
    torch.testing.assert_close(p(p.start()).mean, mean + 0.5)
    torch.testing.assert_close(p.split(p.start())[1].exp(), torch.full((1, 3, 1), 0.2))
    table = GaussianLikelihood().build(TABLE)
    torch.testing.assert_close(table(table.start()).mean, TABLE.mean)
    unknown = GaussianLikelihood().build(DataSpec(Layout.image(2, 3, 4)))
    torch.testing.assert_close(unknown(unknown.start()).mean, torch.full((2, 3, 4), 128.0))


@pytest.mark.parametrize("learned", ["fixed", "scalar", "per_site"])
def test_gaussian_leaves_out_a_constant_column(learned):
    part = GaussianLikelihood(0.6, learned)
    one = DataSpec(Layout.table(1), mean=torch.tensor([1.0]), std=torch.tensor([4.0]))
    two = DataSpec(Layout.table(2), mean=torch.tensor([1.0, 3]), std=torch.tensor([4.0, 0]))
    without, p = part.build(one), part.build(two)
    output, x = parameters(p, 5, 2), torch.tensor([[2.0, 3.0]])
    torch.testing.assert_close(p(output).log_prob(x), without(output[:, :1]).log_prob(x[:, :1]))
    assert (p(output).sample((9,))[..., 1] == 3).all() and (p.features(torch.tensor([[2.0, 1e9]]))[:, 1] == 0).all()
    with pytest.raises(ValueError, match="every column is constant"):
        part.build(DataSpec(Layout.table(1), mean=torch.tensor([1.0]), std=torch.tensor([0.0])))


@pytest.mark.parametrize("learned", ["fixed", "scalar", "per_site"])
def test_gaussian_images_in_another_unit_differ_by_the_log_of_the_unit_alone(learned):
    part, x = GaussianLikelihood(0.3, learned, dequantize=False), torch.rand(7, 1, 2, 3)
    whole = {"mean": x.mean(0), "std": x.std(0, unbiased=False)}
    p = part.build(DataSpec(Layout.image(1, 2, 3), **whole))
    other = part.build(DataSpec(Layout.image(1, 2, 3), mean=1000 * whole["mean"] - 300, std=1000 * whole["std"]))
    output = parameters(p, 7, 2, 3)
    moved = 1000 * x - 300
    torch.testing.assert_close(p.features(x), other.features(moved), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(p.start(), other.start(), atol=1e-4, rtol=1e-4)
    expected = p(output).log_prob(x) - 6 * math.log(1000)
    torch.testing.assert_close(other(output).log_prob(moved), expected, atol=1e-3, rtol=1e-4)
    assert p.features(x).mean().abs() < 1e-5 and p.features(x).std(unbiased=False) == pytest.approx(1, abs=1e-4)


# Mixture of logistics


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_mixture_sums_to_one_over_the_levels(scale):
    p = LogisticMixture(mixtures=3).build(DataSpec(Layout.image(1, 1, 1)))
    output = parameters(p, 20, 1, 1, scale=scale)
    levels = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1, 1)
    total = p(output).log_prob(levels).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(20), atol=1e-5, rtol=0)


def test_mixture_of_coupled_channels_sums_to_one():
    p = LogisticMixture(mixtures=2).build(DataSpec(Layout.image(2, 1, 1)))
    output = parameters(p, 1, 1, scale=2.0)
    x = every(range(256), 2).view(-1, 2, 1, 1)
    mass = p(output).log_prob(x).exp().view(256, 256)
    assert mass.sum() == pytest.approx(1, abs=1e-5)
    marginal = mass.sum(1)
    conditional = mass / marginal[:, None]
    assert (conditional[50] - conditional[200]).abs().sum() > 0.05  # the second channel sees the first


def test_mixture_equals_differences_of_sigmoids():
    p = LogisticMixture(mixtures=1).build(DataSpec(Layout.image(1, 1, 1)))
    output = torch.tensor([[[0.0, 0.2, -1.0]]], dtype=torch.float64)
    mean, scale = 0.2, math.exp(-7 * math.tanh(1 / 7))
    edges = (torch.arange(-0.5, 256, dtype=torch.float64) / 127.5 - 1 - mean) / scale
    edges[0], edges[-1] = -math.inf, math.inf
    levels = torch.arange(256).view(256, 1, 1, 1)
    torch.testing.assert_close(p(output).log_prob(levels).exp(), edges.sigmoid().diff(), atol=1e-9, rtol=1e-6)


def test_mixture_is_finite_far_from_the_data():
    p = LogisticMixture(mixtures=3).build(DataSpec(Layout.image(3, 1, 2)))
    output = (parameters(p, 50, 1, 2) * 1e4).requires_grad_()
    x = torch.randint(0, 256, (50, 3, 1, 2), dtype=torch.uint8)
    log_prob = p(output).log_prob(x)
    log_prob.sum().backward()
    assert log_prob.isfinite().all() and output.grad.isfinite().all()
    torch.testing.assert_close(log_prob.double(), p(output.double()).log_prob(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_mixture_draws_have_the_mass_it_claims(channels):
    p = LogisticMixture(mixtures=2).build(DataSpec(Layout.image(channels, 1, 1)))
    output = parameters(p, 1, 1)
    drawn = p(output).sample((40_000,))
    assert drawn.dtype == torch.uint8
    mass = p(output).log_prob(every(range(256), channels).view(-1, channels, 1, 1)).exp().view(-1, 256).double()
    of_last = mass.sum(0)
    seen = torch.bincount(drawn[:, -1].flatten().long(), minlength=256) / 40_000
    assert (of_last.cumsum(0) - seen.cumsum(0)).abs().max() < 1.95 / 200  # Kolmogorov-Smirnov at one in a thousand
    if channels == 2:
        product = (every(range(256), 2).prod(1) * mass.flatten()).sum()
        assert (drawn[:, 0].double() * drawn[:, 1]).mean().item() == pytest.approx(product.item(), rel=0.03)


def test_mixture_starts_around_the_mean_of_the_data():
    mean = torch.tensor([0.0, 30, 200, 255]).view(2, 1, 2)
    p = LogisticMixture(mixtures=3).build(DataSpec(Layout.image(2, 1, 2), mean=mean))
    assert p.start().shape == (1, 2, p.channels)
    torch.testing.assert_close(p(p.start()).mean, mean, atol=1e-3, rtol=0)


# What holds for all

WITH_SPEC: list[tuple[Likelihood, DataSpec]] = [
    (Bernoulli(), IMAGE),
    (Bernoulli("none"), DataSpec(Layout.table(3))),
    *[(part, IMAGE) for part in GaussianLikelihood.tiny()],
    *[(part, DataSpec(Layout.table(2), mean=torch.ones(2), std=torch.ones(2))) for part in GaussianLikelihood.tiny()],
    (LogisticMixture(mixtures=2), DataSpec(Layout.image(3, 1, 2))),
    (Categorical(levels=4), IMAGE),
    (Categorical(), DataSpec(Layout.text(6, longest=3))),
]


def places(spec: DataSpec) -> tuple[int, ...]:
    return spec.layout.places or spec.shape


@pytest.mark.parametrize(("part", "spec"), WITH_SPEC, ids=label)
def test_shapes_broadcasting_and_draws(part: Likelihood, spec: DataSpec):
    p = part.build(spec)
    output = parameters(p, 2, 3, *places(spec))
    q = p(output)
    assert (q.batch_shape, q.event_shape) == ((2, 3), spec.shape)
    x = p(output[0]).sample()
    assert x.shape == (3, *spec.shape)
    log_prob = q.log_prob(x)
    assert log_prob.shape == (2, 3) and log_prob.isfinite().all()
    torch.testing.assert_close(log_prob[1], p(output[1]).log_prob(x))
    torch.testing.assert_close(p(output[0]).expand((4, 3)).log_prob(x), p(output[0]).log_prob(x).expand(4, 3))
    assert p.features(x).shape == x.shape
    uniforms = torch.rand(2, 3, *places(spec), p.draws)
    at_once = p.pick(output, uniforms)
    assert at_once.shape == (2, 3, *places(spec), p.values)
    first = (slice(None), slice(None), *[0] * len(places(spec)))
    if not isinstance(part, GaussianLikelihood) or spec.kind != "table":  # columns differ in their units
        torch.testing.assert_close(p.pick(output[first], uniforms[first]), at_once[first])
    torch.testing.assert_close(p.to_places(p.to_x(at_once)), at_once)


@pytest.mark.parametrize(("part", "spec"), WITH_SPEC, ids=label)
def test_half_precision_parameters_are_scored_in_full(part: Likelihood, spec: DataSpec):
    p = part.build(spec)
    output = parameters(p, 3, *places(spec)).bfloat16()
    x = p(output).sample()
    assert p(output).log_prob(x).dtype == torch.float32
    torch.testing.assert_close(p(output).log_prob(x), p(output.float()).log_prob(x))


@pytest.mark.parametrize(
    ("part", "spec", "raw", "message"),
    [
        (Bernoulli(), IMAGE, [[0.5, math.nan]], "nan at .*wanted finite"),
        (Bernoulli(), IMAGE, [[0.5, 3.0]], r"3\.0 at \(0, 1\).*uint8"),
        (Bernoulli("none"), IMAGE, [[0, 1, 7]], r"7 at \(0, 2\), wanted only 0 and 1; try: binarize"),
        (GaussianLikelihood(), IMAGE, [[0.5, 3.0]], "0.5 at .*dequantize: false"),
        (GaussianLikelihood(), IMAGE, [[3, 256]], "256 at .*0 to 255"),
        (GaussianLikelihood(dequantize=False), IMAGE, [[3, 255]], "int64 images.*dequantize: true"),
        (GaussianLikelihood(dequantize=False), IMAGE, [[0.5, math.inf]], "inf at"),
        (GaussianLikelihood(), DataSpec(Layout.table(2)), [[0.5, math.nan]], "nan at"),
        (LogisticMixture(), IMAGE, [[-1.0, 2.0]], "-1.0 at .*0 to 255"),
        (Categorical(), IMAGE, [[0.5, 3.0]], "0.5 at .*whole numbers"),
        (Categorical(9, ordinal=False), IMAGE, [[8, 9]], r"9 at .*whole numbers 0 to 8; try: raise levels"),
        (Categorical(), DataSpec(Layout.text(6, longest=3)), [[3, 6, 2]], r"6 at \(0, 1\).*tokenise"),
        (Categorical(), DataSpec(Layout.text(6, longest=3)), [[3, 1, 2]], r"1 at \(0, 1\)"),
        (Categorical(), DataSpec(Layout.text(6, longest=3)), [[3, 0, 2]], r"padding only behind"),
        (Categorical(), DataSpec(Layout.text(6, longest=3)), [[0.0, 2.0]], "integer token ids"),
    ],
)
def test_data_outside_the_support_are_refused(part: Likelihood, spec: DataSpec, raw: list, message: str):
    with pytest.raises(ValueError, match=message):
        part.build(spec).check(torch.tensor(raw))


def test_good_data_pass():
    Bernoulli().build(IMAGE).check(torch.tensor([[0, 255]], dtype=torch.uint8))
    Bernoulli().build(IMAGE).check(torch.tensor([[0.0, 1.0]]))
    Categorical().build(DataSpec(Layout.text(6, longest=3))).check(torch.tensor([[5, 2, 0, 0], [3, 4, 5, 2]]))


def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="levels is 1"):
        Categorical(levels=1)
    with pytest.raises(ValueError, match="levels is 257"):
        Categorical(levels=257)
    with pytest.raises(ValueError, match="levels is 65537, wanted 2 to 65536"):
        Categorical(levels=65_537, ordinal=False)
    with pytest.raises(ValueError, match="variance is 0"):
        GaussianLikelihood(variance=0.0)
    with pytest.raises(ValueError, match="log-variance bounds"):
        GaussianLikelihood(min_log_variance=1.0)
    with pytest.raises(ValueError, match="mixtures is 0"):
        LogisticMixture(mixtures=0)
    with pytest.raises(ValueError, match="log-scale bounds"):
        LogisticMixture(max_log_scale=-1.0)
    with pytest.raises(ValueError, match="leaves no word"):
        Categorical().build(DataSpec(Layout.text(3, longest=3)))


def test_floats_of_0_and_1_are_no_levels():
    module = GaussianLikelihood().build(
        DataSpec(Layout.image(1, 2, 2), mean=torch.zeros(1, 2, 2), std=torch.ones(1, 2, 2))
    )
    module.check(torch.tensor([[[[0.0, 255.0], [7.0, 1.0]]]]))
    with pytest.raises(ValueError, match="with 1 for white, wanted whole numbers 0 to 255"):
        module.check(torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]))
