"""The PixelSNAIL is a true mass, sees its whole past and nothing else, and its cached loop is the naive one."""

import itertools

import pytest
import torch

from buttress.core import DataSpec, Layout
from buttress.decoders.pixelsnail import PixelSNAIL
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.nn.attention import Attend, causal_attention
from pixels import decoder, latents

SMALL = PixelSNAIL(layers=1, channels=6, heads=2, field=3, maps=2, hidden=3)
CODES = Categorical(levels=3, ordinal=False)


def all_images(values, shape):
    points = list(itertools.product(range(values), repeat=torch.Size(shape).numel()))
    return torch.tensor(points).view(-1, *shape)


@pytest.mark.parametrize("field", [1, 3])
def test_the_mass_of_all_small_images_is_one(field):
    module = decoder(SMALL.replace(field=field), (1, 2, 3))
    x = all_images(2, (1, 2, 3)).double()
    assert module(latents(1, 3)).log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


def before(shape, place):
    """Which pixels come before a place: (H, W)."""
    _, height, width = shape
    return torch.arange(height * width).view(height, width) < place[0] * width + place[1]


@pytest.mark.parametrize("field", [1, 3, None])
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_pixel_sees_exactly_its_past(blocks, field):
    shape = (2, 5, 6)
    module = decoder(SMALL.replace(field=field, blocks=blocks), shape)
    for place in [(0, 0), (0, 1), (0, 5), (2, 3), (3, 0), (4, 5)]:
        x = torch.rand(2, *shape, dtype=torch.float64, requires_grad=True)
        out = module.parameters_of(latents(2, 3), x)[:, *place].sum()
        (gradient,) = torch.autograd.grad(out, x, allow_unused=True, materialize_grads=True)
        assert torch.equal((gradient != 0).any(0).any(0), before(shape, place)), place


def test_the_cached_loop_projects_every_place_once_for_each_attention(monkeypatch):
    module, projected, addmm = decoder(SMALL, (1, 4, 5)), [], torch.addmm

    def count(start, x, weight):
        if weight.shape[1] == 3 * SMALL.channels:
            projected.append(len(x))
        return addmm(start, x, weight)

    monkeypatch.setattr(torch, "addmm", count)
    module(latents(2, 3)).sample()
    assert projected == [2] * (20 * SMALL.blocks)


def test_samples_of_z_and_a_shared_x_are_each_their_own():
    module = decoder(SMALL, (1, 4, 5))
    z, x = latents(4, 3, 3), torch.randint(0, 2, (3, 1, 4, 5)).double()
    together = module(z).log_prob(x)
    apart = torch.stack([module(z[s]).log_prob(x) for s in range(4)])
    torch.testing.assert_close(together, apart)
    assert ((together[0] - together[1]).abs() > 1e-6).all()


def test_a_constant_z_makes_it_a_prior_over_code_maps():
    module = decoder(SMALL, (2, 1, 2), CODES, (1,))
    p = module(torch.zeros(1, dtype=torch.float64))
    x = all_images(3, (2, 1, 2))
    assert p.batch_shape == () and p.log_prob(x).shape == (81,)
    assert p.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert p.sample((5,)).shape == (5, 2, 1, 2)


def test_every_parameter_learns_from_the_start():
    spec = DataSpec(Layout.image(1, 5, 5))
    for likelihood, x in ((Bernoulli(), torch.rand(4, 1, 5, 5).round()), (CODES, torch.randint(0, 3, (4, 1, 5, 5)))):
        module = PixelSNAIL().build(spec, (3,), likelihood.build(spec))
        module(torch.randn(4, 3)).log_prob(x).sum().backward()
        assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("lengths", [None, [4, 2]], ids=["causal", "open places"])
def test_attention_is_its_formula_and_twice_differentiable(lengths):
    seen = None if lengths is None else (torch.arange(4) < torch.tensor(lengths)[:, None])[:, None, None]
    attend = causal_attention if seen is None else lambda q, k, v: Attend()(q, k, v, seen)
    q, k, v = (latents(2, 2, 4, 3).requires_grad_() for _ in range(3))
    closed = torch.ones(4, 4).triu(1).bool() if seen is None else ~seen
    scores = (q @ k.mT / 3**0.5).masked_fill(closed, -torch.inf)
    weights = latents(2, 2, 4, 3)
    ours, plain = attend(q, k, v), scores.softmax(-1) @ v
    torch.testing.assert_close(ours, plain)
    for twice in (False, True):  # the kernels' gradient, and the one that can be differentiated again
        gradients = torch.autograd.grad((weights * ours).sum(), (q, k, v), create_graph=twice, retain_graph=True)
        wanted = torch.autograd.grad((weights * plain).sum(), (q, k, v), retain_graph=True)
        torch.testing.assert_close(gradients, wanted)
    assert torch.autograd.gradgradcheck(attend, (q, k, v))


def test_the_log_probability_can_be_differentiated_twice():
    """Which refining a posterior by unrolled gradient steps needs."""
    module = decoder(SMALL, (1, 2, 3))
    x = torch.randint(0, 2, (2, 1, 2, 3)).double()
    assert torch.autograd.gradgradcheck(lambda z: module(z).log_prob(x), (latents(2, 3).requires_grad_(),))


def test_no_attention_matrix_is_held_for_one_derivative():
    """1,024 places: what is kept for the gradient is linear in their number."""
    q = torch.randn(1, 1, 1024, 8, requires_grad=True)
    sizes = []

    def keep(t):
        sizes.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        causal_attention(q, q, q).sum().backward()
    assert max(sizes) <= 1024 * 8


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(field=4), "field is 4"),
        (dict(blocks=0), "blocks is 0"),
        (dict(heads=0), "heads is 0"),
        (dict(channels=32, heads=5), "5 heads do not divide 32 channels; try channels: 35"),
    ],
)
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=f"pixelsnail decoder: {message}"):
        PixelSNAIL(**wrong)
