"""Which likelihood and which sizes a baseline gives to which images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress.baseline import NEARLY_BINARY, baseline, binarised, two_valued
from buttress.core import DataSpec, Layout, remedy
from buttress.data.images import Images
from buttress.data.mnist5k import Mnist5k
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.logistic_mixture import LogisticMixture
from buttress.nn.maps import halved

ANYTHING = Mnist5k()


def spec_of(images: np.ndarray) -> DataSpec:
    """What is measured on images (N, H, W)."""
    x = torch.as_tensor(images).double()
    return DataSpec(
        Layout.image(1, *x.shape[1:]), mean=x.mean(0)[None].float(), std=x.std(0, correction=0)[None].float()
    )


def gradients(count: int = 200) -> np.ndarray:
    """Smooth greys that turn from picture to picture."""
    y, x = np.mgrid[0:8, 0:8] / 7
    turn = np.random.default_rng(0).uniform(0, 2 * math.pi, (count, 1, 1))
    smooth = np.cos(turn) * x + np.sin(turn) * y
    return np.round(255 * (smooth - smooth.min()) / np.ptp(smooth))


def test_digits_are_bernoulli_pixels():
    spec = ANYTHING.open().spec
    assert two_valued(spec) == pytest.approx(0.78, abs=0.01)
    assert baseline(ANYTHING, spec) == baseline(ANYTHING, DataSpec(Layout.image(1, 28, 28)))
    assert baseline(ANYTHING, spec).likelihood == Bernoulli()


@pytest.mark.parametrize(("white", "kept"), [(255, GaussianLikelihood), (1, Bernoulli)])
def test_greys_of_8_bits_stay_grey(white, kept):
    grey = spec_of(gradients() / 255 * white)
    assert two_valued(grey) < 0.4 and type(baseline(ANYTHING, grey).likelihood) is kept
    ink = spec_of((gradients() > 127) * white)
    assert two_valued(ink) == pytest.approx(1, abs=1e-3) and baseline(ANYTHING, ink).likelihood == Bernoulli()


@pytest.mark.parametrize(("file", "share"), [("frey_faces_28x20", 0.05), ("omniglot_small_28x28", 0.72)])
def test_photographs_and_drawings_are_told_apart(file, share, shared_data):
    data = Images(str(shared_data / f"{file}.npz"))
    spec = data.open().spec
    assert two_valued(spec) == pytest.approx(share, abs=0.01)
    assert isinstance(baseline(data, spec).likelihood, Bernoulli if share > NEARLY_BINARY else GaussianLikelihood)


def test_greys_that_become_black_and_white_are_told_with_what_to_do():
    grey = spec_of(gradients())
    recipe = replace(baseline(ANYTHING, grey), likelihood=Bernoulli())
    said = binarised(recipe, grey)
    assert said == "grey pixels are binarised at random; --likelihood logistic_mixture models grey levels"
    threshold = replace(recipe, likelihood=Bernoulli("threshold"))
    assert "at one half; --likelihood gaussian" in binarised(threshold, spec_of(gradients() / 255))
    for likelihood, spec in (
        (LogisticMixture(), grey),
        (Bernoulli("none"), grey),
        (Bernoulli(), spec_of((gradients() > 127) * 255)),
    ):
        assert binarised(replace(recipe, likelihood=likelihood), spec) == ""


@pytest.mark.parametrize("white", [255, 1])
def test_colours_are_trained_as_levels_and_as_fractions(white):
    mean = torch.full((3, 8, 8), 0.5 * white)
    levels = 256 if white == 255 else 0
    spec = DataSpec(Layout.image(3, 8, 8), mean=mean, std=mean / 2, levels=levels, span=(0, white))
    likelihood = baseline(ANYTHING, spec).likelihood.build(spec)
    raw = torch.rand(2, 3, 8, 8) * white
    likelihood.check(raw.to(torch.uint8) if white > 1 else raw)


SIZES = [(1, 1), (1, 2), (5, 5), (28, 20), (31, 33), (64, 64), (1, 784), (300, 1), (200, 300)]


@pytest.mark.parametrize("remedies", ["none", "vector_quantized"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_fit(channels, size, remedies):
    """Bound, gradients and samples, of a Gaussian z and of a map of codes."""
    shape = (channels, *size)
    spec = DataSpec(Layout.image(*shape), mean=torch.full(shape, 100.0), std=torch.full(shape, 50.0))
    recipe = remedy.apply(remedies, baseline(ANYTHING, spec))
    model = recipe.model(spec)
    x = model.observe(torch.randint(256, (2, *shape), dtype=torch.uint8))
    terms = model(x)
    assert terms.distortion.shape == (1, 2) and terms.distortion.isfinite().all()
    terms.distortion.sum().backward()
    last = model.encoder.net[0].weight.grad if recipe.posterior.discrete else model.inference.linear.weight.grad
    assert last is not None and last.abs().sum() > 0
    assert model.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (200, 300)])
def test_the_largest_map_has_the_fewest_channels_and_the_smallest_few_places(size):
    recipe = baseline(ANYTHING, DataSpec(Layout.image(1, *size)))
    widths = recipe.encoder.widths
    assert list(widths) == sorted(widths) and recipe.decoder.widths == widths[::-1]
    assert 4 < max(halved(list(size), len(widths))[-1]) <= 8
    assert recipe.training.batch_size * math.prod(size) <= 50 * 64**2 + 8 * math.prod(size)
