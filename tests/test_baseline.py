"""Which likelihood a baseline gives to which images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress.baseline import NEARLY_BINARY, baseline, binarised, two_valued
from buttress.core import DataSpec, Layout
from buttress.data.images import Images
from buttress.data.mnist5k import Mnist5k
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.logistic_mixture import LogisticMixture

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


def test_digits_keep_the_recipe_they_had():
    spec = ANYTHING.open().spec
    assert two_valued(spec) == pytest.approx(0.78, abs=0.01)
    assert baseline(ANYTHING, spec) == baseline(ANYTHING, DataSpec(Layout.image(1, 28, 28)))
    assert baseline(ANYTHING, spec).likelihood == Bernoulli()


@pytest.mark.parametrize(("white", "kept"), [(255, LogisticMixture), (1, Bernoulli)])
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
    assert isinstance(baseline(data, spec).likelihood, Bernoulli if share > NEARLY_BINARY else LogisticMixture)


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
