"""Jitter of codes: how often, only beside, never beyond the true length, in training alone, and what learns by it."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent

from buttress.nn.jitter import jittered
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.runtime.randomness import seed_step, shard

LENGTHS = torch.tensor([9, 5, 2, 1])
VALID = torch.arange(9) < LENGTHS[:, None]


def test_each_place_is_replaced_by_a_neighbour_as_often_as_said_and_never_by_padding():
    torch.manual_seed(0)
    own, valid = torch.arange(9.0).expand(4, 9).repeat(2000, 1), VALID.repeat(2000, 1)
    moves = (jittered(own[..., None], 0.4, valid)[..., 0] - own).view(2000, 4, 9)
    assert set(moves.unique().tolist()) == {-1.0, 0.0, 1.0}
    for row, n in enumerate(LENGTHS.tolist()):
        left, right = ((moves[:, row] == step).double().mean(0) for step in (-1, 1))
        can_left, can_right = (
            (torch.arange(9) < n) & (torch.arange(9) + step >= 0) & (torch.arange(9) + step < n) for step in (-1, 1)
        )
        torch.testing.assert_close(left, 0.2 * can_left.double(), atol=0.03, rtol=0)
        torch.testing.assert_close(right, 0.2 * can_right.double(), atol=0.03, rtol=0)


def test_two_processes_jitter_as_one():
    z, found = torch.randn(4, 9, 2), []
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        seed_step(0, 7)
        with shard(rank, world):
            rows = slice(4 * rank // world, 4 * (rank + 1) // world)
            found.append(jittered(z[rows], 0.5, VALID[rows]))
    assert torch.equal(torch.cat(found[1:]), found[0])


def test_codes_are_jittered_in_training_alone_and_cost_the_same():
    torch.manual_seed(0)
    module = VectorQuantized(codes=8, dim=3, jitter=1.0).build(features=4, places=(9,))
    prior = Independent(Categorical(torch.rand(9, 1, 8)), 2)
    h = torch.randn(4, 9, 4, requires_grad=True)
    plain = module.eval().latent(h, prior, valid=VALID)
    assert torch.equal(plain.z[0], module.embed(plain.codes[0].view(4, 9, 1)))
    moved = module.train().latent(h, prior, valid=VALID)
    assert torch.equal(moved.codes, plain.codes) and torch.equal(moved.kl, plain.kl)
    assert torch.equal(moved.penalty["commitment"], plain.penalty["commitment"])
    read, kept = moved.z[0, 0, 1:8], plain.z[0, 0]
    beside = (read[:, None] == torch.stack([kept[:7], kept[2:]], 1)).all(-1)
    assert beside.any(1).all()
    (slope,) = torch.autograd.grad(moved.z[0, 0, 4].sum(), h)
    assert (
        slope[0, [3, 5]].any(-1).sum() == 1 and not slope[0, [0, 1, 2, 4, 6, 7, 8]].any()
    )  # the one that stands there


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"jitter is 1\.5, wanted a probability from 0 to 1"):
        VectorQuantized(jitter=1.5)
    with pytest.raises(ValueError, match="jitter needs codes at the places of a sequence"):
        VectorQuantized(jitter=0.5).build(features=4, places=(3, 3))
