"""WaveNet at the sizes that are used: what a sample sees of others and of codes, by gradient; and what it draws."""

from __future__ import annotations

import torch

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, remedy
from buttress.data.sounds import Sounds
from buttress.decoders.wavenet import WaveNet
from buttress.likelihoods.categorical import Categorical


def built(places, codes, **settings):
    spec = DataSpec(Layout.wave(places, levels=16))
    return WaveNet(**settings).build(spec, (codes, 3), Categorical().build(spec)).double()


def test_no_sample_sees_itself_or_a_later_one_and_each_sees_all_within_the_radius():
    torch.manual_seed(0)
    module = built(700, 7, channels=6, skips=64, layers=8, cycle=8)
    z, before = torch.randn(1, 7, 3).double(), torch.randn(1, 700, 6).double().requires_grad_()
    for place in (0, 255, 256, 699):
        (gradient,) = torch.autograd.grad(module.from_reading(z, before, (1,))[0, place].sum(), before)
        seen = gradient[0].abs().sum(-1).nonzero().flatten()  # of the readings, each of the sample before its place
        assert seen.tolist() == list(range(max(0, place - module.radius + 1), place + 1))
    assert module.radius == 256


def test_a_sample_sees_its_own_code_and_those_beside_it():
    torch.manual_seed(0)
    module = built(70, 7, channels=6, skips=64, layers=1, context=3)
    z = torch.randn(1, 7, 3).double().requires_grad_()
    (gradient,) = torch.autograd.grad(module.from_reading(z, torch.randn(1, 70, 6).double(), (1,))[0, 35].sum(), z)
    assert gradient[0].abs().sum(-1).nonzero().flatten().tolist() == [2, 3, 4]


def test_the_cached_loop_draws_what_the_naive_one_draws_over_many_cycles():
    torch.manual_seed(0)
    module = built(90, 9, channels=6, skips=8, layers=7, cycle=3)
    with torch.no_grad():
        module.out.weight.mul_(30)
    p = module(torch.randn(3, 9, 3).double())
    drawn = []
    for sample in (p.sample, p.sample_naively):
        torch.manual_seed(1)
        drawn.append(sample())
    assert torch.equal(*drawn) and drawn[0].unique().numel() > 8


def test_vectors_of_raw_samples_differ_between_places_before_anything_is_learned():
    """Codes are chosen by these differences; behind six layers or more little would be left of them."""
    torch.manual_seed(0)
    spec = DataSpec(Layout.wave(2048, levels=256))
    start = baseline(Sounds("speech", "wave", crop=2048), spec)
    loud = torch.linspace(0.02, 1.0, 2048) * torch.randn(2, 2048)
    x = (128 + 40 * loud).long().clamp(0, 255)
    for written in (
        "speech_codes:width=16",
        "speech_codes:stride=256:width=16",
        "contrastive_codes:stride=64:width=16:steps=2",
    ):
        model = remedy.apply(written, start).model(spec)
        vectors = model.inference.vectors(model.reading(x)).flatten(0, -2)
        assert vectors.std(0).mean() > 0.1 * vectors.abs().mean(), written
