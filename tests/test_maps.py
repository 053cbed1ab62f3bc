"""A z that is a map speaks to its own neighbourhood of the image, whatever the sizes."""

from __future__ import annotations

import pytest
import torch

from buttress.core import DataSpec, Layout
from buttress.core.model import LatentVariableModel
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.pixelsnail import PixelSNAIL
from buttress.encoders.conv import ConvEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.nn.maps import Upsample, _resized, sizes_between
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.standard_normal import StandardNormal
from buttress.priors.uniform import Uniform

DECODERS = [
    ConvDecoder(widths=(4, 3)),
    PixelCNN(layers=2, channels=4, maps=2, hidden=3, field=3),
    PixelSNAIL(layers=1, channels=4, field=3, maps=2, hidden=3),
]


@pytest.mark.parametrize(
    ("small", "large"), [((1, 1), (9, 5)), ((7, 7), (28, 28)), ((3, 4), (7, 15)), ((5, 5), (5, 5)), ((6, 2), (3, 11))]
)
def test_maps_have_the_size_of_the_image(small, large):
    assert ([small, *sizes_between(small, large)])[-1] == large
    z = torch.randn(2, small[0] * small[1] * 3, requires_grad=True)
    maps = Upsample((*small, 3), 4, 5, large)(z)
    assert maps.shape == (2, *large, 5)
    maps.square().sum().backward()
    assert (z.grad != 0).all()


def test_a_larger_map_is_averaged_and_a_smaller_one_repeated():
    maps = torch.arange(12.0).view(1, 1, 6, 2)
    resized = _resized(maps, (3, 4))[0, 0]
    assert torch.equal(resized, torch.tensor([[1.0, 1, 2, 2], [5, 5, 6, 6], [9, 9, 10, 10]]))


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_corner_of_z_is_heard_in_its_corner_and_not_across(corner):
    z = torch.randn(1, 7 * 7 * 2, requires_grad=True)
    maps = Upsample((7, 7, 2), 4, 3, (29, 27))(z)[0]
    far = tuple(-1 - i for i in corner)
    for at, heard in ((corner, True), (far, False)):
        (gradient,) = torch.autograd.grad(maps[at].sum(), z, retain_graph=True)
        assert bool(gradient.view(7, 7, 2)[corner].any()) == heard
        assert gradient.view(7, 7, 2)[far].any() != heard


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.name())
@pytest.mark.parametrize(
    ("posterior", "prior"),
    [(VectorQuantized(codes=4, dim=3, slots=2), Uniform()), (GaussianPosterior(dim=2), StandardNormal())],
    ids=("codes", "gaussian"),
)
def test_a_model_of_maps_learns_and_samples(decoder, posterior, prior):
    torch.manual_seed(0)
    model = LatentVariableModel(
        DataSpec(Layout.image(1, 9, 6)),
        ConvEncoder(widths=(3, 4), spatial=True),
        posterior,
        prior,
        decoder,
        Bernoulli(),
    )
    x = torch.rand(5, 1, 9, 6).round()
    terms = model(x, samples=2)
    assert terms.latent.z.shape == (2, 5, 3, 2, posterior.dim * getattr(posterior, "slots", 1))
    (ELBO()(terms, 0) + sum(p.mean() for p in terms.latent.penalty.values())).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert model.sample(3).shape == model.reconstruct(x[:3]).shape == (3, 1, 9, 6)


@pytest.mark.parametrize("decoder", DECODERS[1:], ids=lambda d: d.name())
def test_given_a_map_the_cached_loop_draws_what_the_naive_one_draws(decoder):
    spec = DataSpec(Layout.image(1, 5, 7))
    p = decoder.build(spec, (3, 2, 4), Bernoulli().build(spec)).double()(torch.randn(4, 3, 2, 4, dtype=torch.float64))
    draws = []
    for sampler in (p.sample, p.sample_naively):
        torch.manual_seed(1)
        draws.append(sampler())
    assert torch.equal(*draws)
