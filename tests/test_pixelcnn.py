"""The PixelCNN is a true mass, sees exactly its field, and its cached loop is the naive one."""

import itertools

import pytest
import torch

from buttress.core import DataSpec, Layout
from buttress.decoders import _pixels
from buttress.decoders.pixelcnn import PixelCNN
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.nn.gated import Vertical, gate, reaches
from pixels import decoder, latents

SMALL = PixelCNN(layers=3, channels=6, maps=2, hidden=3)


@pytest.mark.parametrize("field", [1, 3, 5, None])
def test_the_mass_of_all_small_images_is_one(field):
    module = decoder(SMALL.replace(field=field), (1, 2, 3))
    x = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64).view(64, 1, 2, 3)
    log_prob = module(latents(1, 3)).log_prob(x)
    assert log_prob.shape == (64,)
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-12)


def seen_from(module, shape, place):
    """Which pixels of x the parameters at a place depend on, by gradient: (H, W)."""
    x = torch.rand(2, *shape, dtype=torch.float64, requires_grad=True)
    out = module.parameters_of(latents(2, 3), x)[:, *place].sum()
    (gradient,) = torch.autograd.grad(out, x, allow_unused=True, materialize_grads=True)
    return (gradient != 0).any(0).any(0)


def window(field, shape, place):
    """Which pixels it may depend on."""
    _, height, width = shape
    i, j = torch.arange(height)[:, None], torch.arange(width)
    before = (i < place[0]) | ((i == place[0]) & (j < place[1]))
    radius = max(height, width) if field is None else (field - 1) // 2
    return before & ((i - place[0]).abs() <= radius) & ((j - place[1]).abs() <= radius)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("field", [1, 3, 5, 7, 13, None])
def test_a_pixel_sees_exactly_its_field(field, layers):
    shape = (2, 9, 11)
    module = decoder(SMALL.replace(field=field, layers=layers), shape)
    for place in [(0, 0), (0, 6), (4, 5), (4, 0), (4, 10), (8, 5), (8, 10)]:
        assert torch.equal(seen_from(module, shape, place), window(field, shape, place)), place


def test_the_whole_image_is_seen_at_the_size_of_mnist_and_beyond():
    for shape in [(1, 28, 28), (1, 6, 70)]:
        module = decoder(SMALL.replace(field=None, channels=8), shape)
        last = (shape[1] - 1, shape[2] - 1)
        assert torch.equal(seen_from(module, shape, last), window(None, shape, last))


def test_layers_share_the_radius_without_gaps():
    for layers, radius in itertools.product(range(1, 8), range(60)):
        far = reaches(radius, layers)
        assert len(far) == layers
        assert sum(far) == radius
        assert all(d <= sum(far[:i]) for i, d in enumerate(far) if i)


def test_z_reaches_every_pixel_even_if_x_does_not():
    module = decoder(SMALL.replace(field=1))
    x = torch.zeros(1, 1, 5, 7, dtype=torch.float64)
    one, other = module.parameters_of(latents(1, 3), x), module.parameters_of(latents(1, 3), x)
    assert ((one - other).abs() > 1e-6).all()


def test_samples_follow_the_mass():
    module = decoder(SMALL, (1, 1, 2))
    p = module(latents(3))
    x = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64).view(4, 1, 1, 2)
    mass = p.log_prob(x).exp()
    drawn = p.sample((20_000,))
    share = torch.stack([(drawn == one).flatten(1).all(1).double().mean() for one in x])
    torch.testing.assert_close(share, mass, rtol=0, atol=0.015)


def test_x_is_shared_by_the_samples_of_z():
    module = decoder(SMALL.replace(field=5))
    z, x = latents(4, 3, 3), torch.randint(0, 2, (3, 1, 5, 7)).double()
    together = module(z).log_prob(x)
    assert together.shape == (4, 3)
    apart = torch.stack([module(z[s]).log_prob(x) for s in range(4)])
    torch.testing.assert_close(together, apart)
    assert module(z).expand((2, 4, 3)).log_prob(x).shape == (2, 4, 3)


@pytest.mark.parametrize("field", [1, 3, None])
def test_every_parameter_learns_from_the_start(field):
    spec = DataSpec(Layout.image(1, 6, 6))
    module = SMALL.replace(field=field).build(spec, (3,), Bernoulli().build(spec))
    module(torch.randn(5, 3)).log_prob(torch.rand(5, 1, 6, 6).round()).sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_in_mixed_precision_maps_turned_once_give_what_maps_turned_by_every_layer_give(monkeypatch):
    spec = DataSpec(Layout.image(1, 6, 6))
    module = SMALL.replace(field=None).build(spec, (3,), Bernoulli().build(spec))
    z, x = torch.randn(2, 5, 3), torch.rand(5, 1, 6, 6).round()
    read = []
    module.horizontal[1].side.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        once = module.parameters_of(z, x)
        monkeypatch.setattr(_pixels, "lowered", lambda maps: maps)
        every = module.parameters_of(z, x)
    assert torch.equal(once, every)
    assert read == [torch.bfloat16, torch.float32]


def test_it_starts_near_the_mean_of_the_data():
    mean = torch.rand(1, 6, 6) * 200 + 20
    spec = DataSpec(Layout.image(1, 6, 6), mean=mean)
    module = PixelCNN().build(spec, (3,), Bernoulli().build(spec))
    chance = module.parameters_of(torch.randn(9, 3), torch.rand(9, 1, 6, 6).round()).sigmoid()[..., 0]
    assert (chance - mean[0] / 255).abs().max() < 0.1


def test_the_gate_is_tanh_times_sigmoid_twice_differentiable():
    t = latents(2, 6, 3).requires_grad_()
    a, b = t.chunk(2, 1)
    torch.testing.assert_close(gate(t), torch.tanh(a / 2) * torch.sigmoid(b))
    assert torch.autograd.gradgradcheck(gate, (t,))


def test_a_layer_adds_to_what_it_reads():
    layer = Vertical(4, 4, reach=2)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    v = torch.randn(2, 4, 5, 6)
    assert torch.equal(layer(v), v)


@pytest.mark.parametrize("wrong", [dict(field=4), dict(field=0), dict(layers=0), dict(channels=1), dict(maps=0)])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match=f"pixelcnn decoder: {next(iter(wrong))} is {next(iter(wrong.values()))}"):
        PixelCNN(**wrong)
