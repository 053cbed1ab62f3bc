"""The cosine penalty against a double loop over pairs, its gradient and its invariances; from model to loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from buttress.algorithms.descent import Descent
from buttress.core import Batch, DataSpec, Layout, Step
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Training
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.nn.dispersion import likeness
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal

SPEC = DataSpec(Layout.table(3), mean=torch.zeros(3), std=torch.ones(3))


def loop(h):
    """The mean cosine over all pairs, i = j included, pair by pair."""
    return torch.stack([torch.stack([a @ b / (a.norm() * b.norm()) for b in h]).mean() for a in h])


def test_likeness_and_its_gradient_are_those_of_the_double_loop():
    h = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(likeness(h), loop(h))
    fast, slow = (torch.autograd.grad(f(h).mean(), h)[0] for f in (likeness, loop))
    torch.testing.assert_close(fast, slow)
    assert slow.abs().max() > 0.01


def test_doubling_every_example_changes_nothing():
    h = torch.randn(5, 4)
    torch.testing.assert_close(likeness(torch.cat([h, h])), likeness(h).repeat(2))


@pytest.mark.parametrize(
    ("h", "c"),
    [
        (torch.tensor([[3.0, -4.0]]) * torch.tensor([[1.0], [2.0], [0.1]]), 1.0),  # one direction, any length
        (2 * torch.eye(5), 1 / 5),  # orthogonal: only i = j counts
        (torch.tensor([[1.0, 1.0], [-2.0, -2.0]]), 0.0),  # opposite
        (torch.tensor([[0.0, 0.0], [1.0, 0.0]]), 0.25),  # no direction: like nothing
        (torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0)).expand(4, 2, 3), 1.0),  # maps
    ],
)
def test_known_values(h, c):
    assert likeness(h).mean().item() == pytest.approx(c, abs=1e-6)


def test_likeness_is_exact_in_half_precision():
    h = torch.randn(64, 16).bfloat16()
    assert likeness(h).dtype == torch.float32
    torch.testing.assert_close(likeness(h), likeness(h.float()))


def model(cosine, encoder=None):
    torch.manual_seed(0)
    encoder = encoder or MlpEncoder(hidden=(6,), activation="tanh", cosine=cosine)
    return LatentVariableModel(
        SPEC, encoder, GaussianPosterior(2), StandardNormal(), MlpDecoder(hidden=(4,)), GaussianLikelihood()
    )


def test_the_model_passes_the_penalty_on_for_every_sample_and_the_algorithm_adds_it():
    x = torch.randn(8, 3)
    heavy, light = model(2.0), model(0.0)
    torch.manual_seed(1)
    terms = heavy(x, samples=3)
    c = loop(heavy.encode(x))
    torch.testing.assert_close(terms.latent.penalty["cosine"], 2 * c.expand(3, -1))
    assert light(x).latent.penalty == {}
    logs = {}
    for name, of in (("heavy", heavy), ("light", light)):
        torch.manual_seed(2)
        step = Step(0, Batch(x), lambda: Batch(x))
        logs[name] = Descent(of, ELBO(), Training())(step, step.batch)
    torch.testing.assert_close(logs["heavy"]["cosine"], 2 * c.mean().detach())
    torch.testing.assert_close(logs["heavy"]["loss"] - logs["light"]["loss"], 2 * c.mean().detach())


def test_the_penalty_alone_makes_features_disperse():
    x = 2 + 0.3 * torch.randn(64, 3)
    encoder = MlpEncoder(hidden=(8,), activation="tanh").build(SPEC)
    encoder.cosine = 1.0
    adam, start = torch.optim.Adam(encoder.parameters(), lr=0.01), likeness(encoder(x)).mean().item()
    for _ in range(150):
        adam.zero_grad()
        encoder.penalty(encoder(x))["cosine"].mean().backward()
        adam.step()
    assert start > 0.9 > 0.3 > likeness(encoder(x)).mean().item()


def test_every_encoder_has_the_weight():
    assert {part.cosine for part in (*MlpEncoder.tiny(), *ConvEncoder.tiny())} == {0.0}
    assert (
        replace(MlpEncoder(), cosine=0.5).cosine == 0.5
        and model(0.0, MlpEncoder(hidden=(4,), cosine=0.5)).encoder.cosine == 0.5
    )
