"""Each likelihood is a true density or mass of the stored data, transformations included."""

import itertools
import math

import pytest
import torch

from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import FIRST, Categorical, choose, score_tokens
from buttress.parts import PAD, DataSpec, Likelihood
from buttress.randomness import shard

IMAGE = DataSpec("image", (2, 1, 2))


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
    p = Bernoulli().build(DataSpec("image", (1, 1, 3)))
    raw = torch.tensor([0, 64, 255], dtype=torch.uint8).expand(20_000, 1, 1, 3)
    x = p.observe(raw)
    assert x.unique().tolist() == [0, 1]
    torch.testing.assert_close(x.mean((0, 1, 2)), torch.tensor([0, 64 / 255, 1]), atol=0.015, rtol=0)
    assert not torch.equal(x, p.observe(raw))
    torch.testing.assert_close(p.observe(raw / 255).mean(0), x.mean(0), atol=0.02, rtol=0)


def test_bernoulli_draws_the_same_for_one_process_and_two():
    p = Bernoulli().build(DataSpec("image", (1, 4, 4)))
    raw = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    torch.manual_seed(1)
    whole = p.observe(raw)
    torch.manual_seed(1)
    with shard(1, 2):
        half = p.observe(raw[3:])
    torch.testing.assert_close(half, whole[3:])


def test_bernoulli_without_chance():
    raw = torch.tensor([[[[0, 127, 128, 255]]]], dtype=torch.uint8)
    threshold = Bernoulli("threshold").build(DataSpec("image", (1, 1, 4)))
    assert threshold.observe(raw).flatten().tolist() == [0, 0, 1, 1]
    assert threshold.observe(raw / 255).flatten().tolist() == [0, 0, 1, 1]
    none = Bernoulli("none").build(DataSpec("table", (3,)))
    torch.testing.assert_close(none.observe(torch.tensor([[0, 1, 1]])), torch.tensor([[0.0, 1, 1]]))


def test_bernoulli_starts_at_the_mean_of_the_data():
    mean = torch.tensor([[[0.0, 51, 255]]])
    p = Bernoulli().build(DataSpec("image", (1, 1, 3), mean=mean))
    start = p.start()
    assert start.shape == (1, 3, 1)
    torch.testing.assert_close(p(start).mean.flatten(), torch.tensor([0.001, 0.2, 0.999]))
    of_binary = Bernoulli("none").build(DataSpec("image", (1, 1, 3), mean=mean / 255))
    torch.testing.assert_close(of_binary.start(), start)


# Categorical


def test_sentences_of_every_length_have_mass_one():
    """Tokens end with EOS: the mass of all sentences up to a length, plus that of the unfinished, is one."""
    p = Categorical().build(DataSpec("text", (3,), vocabulary=5))
    logits = parameters(p, 3, scale=2.0)
    sentences = []
    for length in (1, 2, 3):
        for words in itertools.product((3, 4), repeat=length - 1):
            sentences.append([*words, 2, *[PAD] * (3 - length)])
    unfinished = [list(words) for words in itertools.product((3, 4), repeat=3)]
    log_prob = p(logits).log_prob(torch.tensor(sentences + unfinished))
    assert log_prob.exp().sum() == pytest.approx(1, abs=1e-6)


def test_padding_costs_nothing_and_is_never_drawn():
    p = Categorical().build(DataSpec("text", (4,), vocabulary=6))
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
    p = Categorical().build(DataSpec("text", (4,), vocabulary=6))
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


def test_choose_follows_the_cumulative_probabilities():
    logits = torch.tensor([0.2, 0.0, 0.5, 0.3]).log()
    edges = torch.tensor([0.0, 0.1999, 0.2001, 0.6999, 0.7001, 1 - 2**-24])
    assert choose(logits.expand(6, 4), edges[:, None]).flatten().tolist() == [0, 0, 2, 2, 3, 3]


# What holds for all

WITH_SPEC: list[tuple[Likelihood, DataSpec]] = [
    (Bernoulli(), IMAGE),
    (Bernoulli("none"), DataSpec("table", (3,))),
    (Categorical(levels=4), IMAGE),
    (Categorical(), DataSpec("text", (3,), vocabulary=6)),
]


def places(spec: DataSpec) -> tuple[int, ...]:
    return spec.shape[1:] if spec.kind == "image" else spec.shape


@pytest.mark.parametrize(("part", "spec"), WITH_SPEC, ids=str)
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
    torch.testing.assert_close(p.pick(output[first], uniforms[first]), at_once[first])
    torch.testing.assert_close(p.to_places(p.to_x(at_once)), at_once)


@pytest.mark.parametrize(("part", "spec"), WITH_SPEC, ids=str)
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
        (Categorical(), IMAGE, [[0.5, 3.0]], "0.5 at .*whole numbers"),
        (Categorical(), DataSpec("text", (3,), 6), [[3, 6, 2]], r"6 at \(0, 1\).*tokenise"),
        (Categorical(), DataSpec("text", (3,), 6), [[3, 1, 2]], r"1 at \(0, 1\)"),
        (Categorical(), DataSpec("text", (3,), 6), [[3, 0, 2]], r"padding only behind"),
        (Categorical(), DataSpec("text", (3,), 6), [[0.0, 2.0]], "integer token ids"),
    ],
)
def test_data_outside_the_support_are_refused(part: Likelihood, spec: DataSpec, raw: list, message: str):
    with pytest.raises(ValueError, match=message):
        part.build(spec).check(torch.tensor(raw))


def test_good_data_pass():
    Bernoulli().build(IMAGE).check(torch.tensor([[0, 255]], dtype=torch.uint8))
    Bernoulli().build(IMAGE).check(torch.tensor([[0.0, 1.0]]))
    Categorical().build(DataSpec("text", (3,), 6)).check(torch.tensor([[5, 2, 0, 0], [3, 4, 5, 2]]))


def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="levels is 1"):
        Categorical(levels=1)
    with pytest.raises(ValueError, match="leaves no word"):
        Categorical().build(DataSpec("text", (3,), vocabulary=3))
