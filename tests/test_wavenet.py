"""WaveNet at the sizes that are used: what a sample sees of others and of codes, by gradient; and what it draws."""

from __future__ import annotations

import torch

from buttress.core import DataSpec, Layout
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
