"""The recurrent decoder of sound over codes: what it draws, what each place sees, and who is told to speak."""

from __future__ import annotations

import torch

from buttress.core import DataSpec, Layout
from buttress.decoders.gru import GruDecoder
from buttress.likelihoods.categorical import Categorical


def built(places=60, codes=6):
    torch.manual_seed(0)
    spec = DataSpec(Layout.wave(places, levels=16))
    part = GruDecoder(hidden=6, embedding=4, context=3, width=8)
    return part.build(spec, (codes, 3), Categorical().build(spec)).double()


def test_the_cached_loop_draws_what_the_naive_one_draws_beside_many_codes():
    module = built()
    with torch.no_grad():
        module.out.weight.mul_(30)
    p, drawn = module(torch.randn(3, 6, 3).double()), []
    for sample in (p.sample, p.sample_naively):
        torch.manual_seed(1)
        drawn.append(sample())
    assert torch.equal(*drawn) and drawn[0].unique().numel() > 8


def test_a_sample_sees_all_before_it_all_codes_and_nothing_else():
    module = built(places=20, codes=4)
    z, before = torch.randn(1, 4, 3).double().requires_grad_(), torch.randn(1, 20, 4).double().requires_grad_()
    for place in (0, 7, 19):
        seen = torch.autograd.grad(module.from_reading(z, before, (1,))[0, place].sum(), (before, z))
        assert seen[0][0].abs().sum(-1).nonzero().flatten().tolist() == list(range(place + 1))
        assert seen[1][0].any(-1).all()
