"""Codes on one, two and three levels: how each is chosen, what it sees, and whether an idle one is found out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from buttress.core import EMPTY, DataSpec, DecoderModule, Layout, registry
from buttress.core.model import LatentVariableModel
from buttress.decoders.conv import ConvDecoder
from buttress.diagnostics.diagnose import diagnose
from buttress.encoders.conv import ConvEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.uniform import Uniform

DEPTHS = (1, 2, 3)


def built(levels, places=(4, 4), codes=5, dim=2, dropout=0.0):
    torch.manual_seed(0)
    module = HierarchicalQuantized(levels=levels, codes=codes, dim=dim, dropout=dropout).build(6, places)
    with torch.no_grad():
        for quantiser in module.quantisers:
            quantiser.codebook.copy_(torch.randn_like(quantiser.codebook))
    return module, Uniform().build(module.space)()


@pytest.mark.parametrize("levels", DEPTHS)
def test_the_row_of_codes_is_that_of_all_levels_and_is_read_place_by_place(levels):
    module, prior = built(levels)
    h = torch.randn(7, 4, 4, 6)
    latent = module.latent(h, prior)
    codes = module(h).sample()
    assert torch.equal(latent.codes[0], codes)
    torch.testing.assert_close(module.embed(codes), latent.z[0])
    assert latent.kl.sum(1).tolist() == pytest.approx([sum(4**k for k in range(3)[-levels:]) * math.log(5)] * 7)
    for number, (level, quantiser) in enumerate(zip(module.space.levels, module.quantisers, strict=True)):
        words = quantiser.codebook[0][level.view(codes)[..., 0]]
        each = 4 // words.shape[1]
        spread = words.repeat_interleave(each, 1).repeat_interleave(each, 2)
        torch.testing.assert_close(latent.z[0][..., 2 * number : 2 * number + 2], spread)


def test_one_level_is_the_plain_quantiser():
    module, prior = built(1)
    plain = VectorQuantized(codes=5, dim=2).build(6, (4, 4))
    plain.load_state_dict(module.quantisers[0].state_dict())
    h = torch.randn(7, 4, 4, 6)
    one, other = module.latent(h, prior), plain.latent(h, Uniform().build(plain.space)())
    assert torch.equal(one.z, other.z) and torch.equal(one.codes, other.codes)
    assert torch.equal(one.penalty["commitment"], other.penalty["commitment"])


@pytest.mark.parametrize("levels", DEPTHS[1:])
def test_a_level_is_chosen_with_all_codewords_above_in_view_and_none_below(levels):
    module, _ = built(levels)
    h = torch.randn(50, 4, 4, 6)
    before = module(h).sample()
    for number, quantiser in enumerate(module.quantisers):
        kept = quantiser.codebook.clone()
        quantiser.codebook.copy_(kept.flip(1) + 3)
        after = module(h).sample()
        changed = [bool((level.view(after) != level.view(before)).any()) for level in module.space.levels]
        assert changed == [i >= number for i in range(levels)]
        quantiser.codebook.copy_(kept)


def test_dropped_maps_are_the_last_ones_and_only_in_training():
    module, prior = built(3, dropout=1.0)
    h = torch.randn(100, 4, 4, 6, requires_grad=True)
    whole = module.eval().latent(h, prior)
    torch.testing.assert_close(whole.z[0], module.embed(whole.codes[0]))
    read = module.train().latent(h, prior).z[0]
    kept = (read == whole.z[0]).unflatten(-1, (3, 2)).all((1, 2, 4))  # (B, L): which maps are read
    gone = (read == 0).unflatten(-1, (3, 2)).all((1, 2, 4))
    assert (kept | gone).all() and kept.sum(1).unique().tolist() == [1, 2, 3]
    assert (kept.int().diff(dim=1) <= 0).all()  # what is left out lies below what is read


@pytest.mark.parametrize("levels", DEPTHS)
def test_every_level_follows_what_it_chose(levels):
    module, prior = built(levels)
    module.train().latent(torch.randn(9, 4, 4, 6, requires_grad=True), prior)
    before = [quantiser.codebook.clone() for quantiser in module.quantisers]
    module.after_step()
    assert all(not torch.equal(q.codebook, old) for q, old in zip(module.quantisers, before, strict=True))


class Reader(DecoderModule):
    """Pixels of a 2 x 2 square from the numbers of one place, each level by its own least squares, one left out."""

    def __init__(self, likelihood, z, x, left_out):
        super().__init__()
        squares = x[:, 0].unflatten(-1, (4, 2)).unflatten(-3, (4, 2)).transpose(-3, -2).flatten(-2)
        self.likelihood, self.weight = likelihood, torch.zeros(z.shape[-1], 4)
        for number in {*range(z.shape[-1] // 3)} - {left_out}:
            level = slice(3 * number, 3 * number + 3)
            fit = torch.linalg.lstsq(z[..., level].flatten(0, 2), 4 * squares.flatten(0, 2) - 2)
            self.weight[level] = fit.solution

    def forward(self, z, given=EMPTY):
        squares = (z @ self.weight).unflatten(-1, (2, 2))  # (..., 4, 4, 2, 2)
        return self.likelihood(squares.transpose(-3, -2).flatten(-4, -3).flatten(-2)[..., None], given)


@pytest.mark.parametrize(("levels", "left_out"), [(2, 0), (2, 1), (2, None), (3, 0), (3, 1), (3, 2)])
def test_a_level_that_the_decoder_does_not_read_is_reported_idle(levels, left_out):
    torch.manual_seed(1)
    spec, posterior = DataSpec(Layout.image(1, 8, 8)), HierarchicalQuantized(levels, codes=16, dim=3)
    parts = (ConvEncoder((8,), spatial=True), posterior, Uniform(), ConvDecoder((8,)), Bernoulli())
    model = LatentVariableModel(spec, *parts)
    x = sum(F.interpolate((torch.rand(400, 1, n, n) - 0.5) / n**0.5, (8, 8)) for n in (1, 2, 4)).gt(0).float()
    model(x)
    model.after_step()  # codewords become outputs of the encoder
    model.eval()
    with torch.no_grad():
        codes = model.posterior(x).sample()
        model.decoder = Reader(model.likelihood, model.inference.embed(codes), x, left_out)
    found = diagnose(model, list(x.split(200)), nll_samples=0, gap_steps=0)
    idle = found.estimates["idle_levels"]
    assert idle.value == (left_out is not None)
    if left_out is not None:
        name = model.space.levels[left_out].name
        assert f"{name} (not read)" in idle.note
        assert found.estimates[f"worth_shuffled/{name}"].value == pytest.approx(0, abs=1e-4)


def test_recipes_of_earlier_versions_name_their_two_levels():
    plain = {"name": "two_level_quantized", "codes": 8, "dim": 4}
    assert registry.from_plain(registry.ROOMS["posteriors"], plain) == HierarchicalQuantized(2, 8, 4)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: HierarchicalQuantized(levels=0), "levels is 0, wanted at least 1"),
        (lambda: HierarchicalQuantized(levels=3).build(4, (2, 2)), "can be halved 2 times"),
        (lambda: HierarchicalQuantized().build(4, ()), r"features at places \(\), wanted a map"),
    ],
)
def test_contradictions_are_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()
