"""Priors over codes that read a label: one distribution for each class, drawn alike by both loops."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress.algorithms.two_stage import TwoStage
from buttress.core import Column, DataSpec, Layout, Space
from buttress.core.recipe import Recipe, Training
from buttress.data.images import Images
from buttress.decoders.conv import ConvDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.objectives.elbo import ELBO
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.priors.level_product import LevelProduct
from buttress.priors.pixelcnn import PixelCNNPrior
from buttress.priors.pixelsnail import PixelSNAILPrior
from buttress.training.run import train

SPEC = DataSpec(Layout.image(1, 4, 4), given=(Column("label", classes=3), Column("age")))
MAP = Space((2, 2, 1), 2)
ONE = Space.stacked([("top", (2, 2, 1), 2)])
TWO = Space.stacked([("top", (1, 2, 1), 2), ("bottom", (2, 2, 1), 2)])
THREE = Space.stacked([("top", (1, 2, 1), 2), ("middle", (2, 2, 1), 2), ("bottom", (2, 2, 1), 2)])
SMALL = LevelProduct(layers=2, channels=4, embedding=2, given=3)
SNAIL = SMALL.replace(top="pixelsnail", field=3)
CASES = [
    (PixelCNNPrior(layers=2, channels=4, given=3), MAP),
    (PixelSNAILPrior(layers=1, channels=4, field=3, given=3), MAP),
    *itertools.product([SMALL, SNAIL], [ONE, TWO, THREE]),
]
GIVEN = {"label": torch.tensor([0, 1, 2, 2]), "age": torch.tensor([0.0, 1.0, 1.0, 1.0])}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name()}-{case[1].shape}")
def built(request):
    prior, space = request.param
    torch.manual_seed(0)
    module = prior.build(space)
    module.bind(lambda x: x, Bernoulli().build(SPEC), SPEC)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return module


def test_each_label_has_its_own_mass_which_sums_to_one(built):
    p = built(GIVEN)
    assert (p.batch_shape, p.event_shape, built.names) == ((4,), built.space.shape, ("label", "age"))
    codes = torch.cartesian_prod(*[torch.arange(2)] * math.prod(built.space.shape))
    nats = p.log_prob(codes.view(-1, 1, *built.space.shape).expand(-1, 4, *built.space.shape))
    torch.testing.assert_close(nats.exp().sum(0), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(nats[:, 2], nats[:, 3])
    assert (nats[:, 0] - nats[:, 1]).abs().max() > 0.05 < (nats[:, 1] - nats[:, 2]).abs().max()


def test_the_cached_loop_draws_what_the_naive_one_does(built):
    p = built(GIVEN)
    torch.manual_seed(1)
    fast = p.sample((30,))
    torch.manual_seed(1)
    assert fast.shape == (30, 4, *built.space.shape) and torch.equal(p.sample_naively((30,)), fast)


def test_every_level_reads_the_label_and_every_weight_learns(built):
    p = built(GIVEN)
    codes = torch.zeros(4, *built.space.shape, dtype=torch.long)
    terms = p.log_prob_by_group(codes).flatten(1)
    assert ((terms[0] - terms[1]).abs() > 1e-6).all()
    p.log_prob(torch.randint(0, 2, (4, *built.space.shape))).sum().backward()
    idle = [name for name, q in built.named_parameters() if q.grad is None or not q.grad.any()]
    flat = any(level.shape[0] == 1 for level in built.space.levels or ())  # nothing stands above the only row of a map
    assert [name for name in idle if not (flat and ".vertical.0." in name)] == []


def test_a_run_draws_the_codes_of_a_label_and_is_measured_given_the_labels(tmp_path, own_cache):
    """Images that are black or white by their label: the autoencoder reads no label, and p(z|y) tells the codes."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = (255 * labels[:, None, None] * np.ones((1, 8, 8)) + rng.integers(0, 3, (120, 8, 8))).clip(0, 255)
    np.savez(tmp_path / "pictures.npz", x=images.astype(np.uint8), y=labels)
    recipe = Recipe(
        Images(str(tmp_path / "pictures.npz"), key="x", labels_key="y"),
        ConvEncoder(widths=(8,), spatial=True),
        HierarchicalQuantized(codes=4, dim=4, revive=5),
        LevelProduct(layers=2, channels=4, embedding=2, given=4),
        ConvDecoder(widths=(8,)),
        Bernoulli(),
        ELBO(),
        TwoStage(first=0.5),
        Training(steps=160, batch_size=20, learning_rate=0.01, validate_every=40),
    )
    run = train(recipe, tmp_path / "run", progress=False)
    assert run.model.reads == ("label",)
    drawn = run.sample(40, given={"label": torch.arange(40) % 2}).float().flatten(1).mean(1)
    assert drawn[1::2].min() > drawn[::2].max()
    evidence = run.diagnose(nll_samples=0, gap_steps=0)
    assert evidence.estimates["rate"].value < 6.0 < 20 < evidence.estimates["rate_uniform"].value


def test_data_without_labels_are_refused_by_name_and_so_is_a_negative_size():
    module = SMALL.build(TWO)
    with pytest.raises(ValueError, match=r"level_product prior: .* nothing to condition on.* or set its given to 0"):
        module.bind(lambda x: x, Bernoulli().build(SPEC), replace(SPEC, given=()))
    with pytest.raises(ValueError, match="pixelcnn prior: given is -1"):
        PixelCNNPrior(given=-1)
    with pytest.raises(ValueError, match="layers is 3, wanted an even number"):
        LevelProduct(layers=3, top="pixelsnail")
