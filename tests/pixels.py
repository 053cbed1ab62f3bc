"""Small image decoders in float64, for the tests of those that go pixel by pixel."""

import torch

from buttress.core import DataSpec, Layout
from buttress.likelihoods.bernoulli import Bernoulli


def decoder(part, shape=(1, 5, 7), likelihood=None, z_shape=(3,)):
    """A module with weights away from their initial symmetry."""
    spec = DataSpec(Layout.image(*shape), mean=torch.full(shape, 100.0), std=torch.full(shape, 50.0))
    module = part.build(spec, z_shape, (likelihood or Bernoulli()).build(spec)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def latents(*shape):
    """z of this shape."""
    return torch.randn(*shape, dtype=torch.float64)
