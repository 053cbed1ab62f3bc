"""Objectives on records made by hand, where every number is known."""

from __future__ import annotations

import math

import pytest
import torch

from buttress.core.records import Latent, Terms
from buttress.objectives.elbo import ELBO
from buttress.objectives.free_bits import FreeBits
from buttress.objectives.importance_weighted import ImportanceWeighted, importance_weighted_bound
from buttress.schedules.linear import Linear


def terms(distortion, kl, ratio=None):
    """Terms of B examples with S samples from nested lists."""
    distortion, kl = torch.tensor(distortion), torch.tensor(kl)
    z = torch.zeros(*distortion.shape, kl.shape[-1])
    ratio = kl.expand(*z.shape).clone() if ratio is None else torch.tensor(ratio)
    return Terms(distortion, Latent(z, ratio, kl))


def test_elbo_sums_groups_and_averages_examples():
    batch = terms([[10.0, 20.0]], [[1.0, 2.0], [3.0, 4.0]])
    assert ELBO()(batch, 0).item() == pytest.approx((10 + 3 + 20 + 7) / 2)


def test_beta_follows_the_schedule():
    batch = terms([[10.0, 20.0]], [[1.0, 2.0], [3.0, 4.0]])
    annealed = ELBO(beta=Linear(steps=10))
    assert [annealed(batch, t).item() for t in (0, 5, 10)] == [pytest.approx(v) for v in (15.0, 17.5, 20.0)]


RAMP = Linear(steps=10)


@pytest.mark.parametrize(
    ("objective", "weights", "settled"),
    [
        (ELBO(), (1.0, 1.0), (True, True)),
        (ELBO(beta=RAMP), (0.5, 1.0), (False, True)),
        (FreeBits(total=1.0, beta=RAMP), (0.5, 1.0), (False, True)),
        (FreeBits(per_group=1.0), (1.0, 1.0), (True, True)),
        (ImportanceWeighted(4), (None, None), (True, True)),
    ],
)
def test_an_objective_says_its_weight_and_whether_it_still_changes(objective, weights, settled):
    assert tuple(objective.weight(t) for t in (5, 10)) == weights
    assert tuple(objective.settled(t) for t in (5, 10)) == settled


def test_free_bits_takes_the_maximum_after_the_mean_over_the_batch():
    batch = terms([[0.0, 0.0]], [[0.0, 2.0], [1.0, 2.0]])
    # group means are 0.5 and 2; a maximum taken per example would give (0.6 + 1) / 2 = 0.8 for the first
    assert FreeBits(per_group=0.6)(batch, 0).item() == pytest.approx(0.6 + 2.0)
    assert FreeBits(total=3.0)(batch, 0).item() == pytest.approx(3.0)
    assert FreeBits(total=2.0)(batch, 0).item() == pytest.approx(2.5)


def test_free_bits_give_no_gradient_below_the_floor_and_all_of_it_above():
    kl = torch.tensor([[0.2, 2.0]], requires_grad=True)
    FreeBits(per_group=0.5)(Terms(torch.zeros(1, 1), Latent(torch.zeros(1, 1, 2), kl[None], kl)), 0).backward()
    assert kl.grad.tolist() == [[0.0, 1.0]]


def test_the_importance_weighted_mean_stands_inside_the_logarithm():
    log_weight = torch.tensor([[math.log(0.2)], [math.log(0.6)]])
    assert importance_weighted_bound(log_weight).item() == pytest.approx(math.log(0.4), abs=1e-6)


def test_the_importance_weighted_objective_uses_samples_not_the_closed_form():
    batch = terms([[1.0], [3.0]], [[99.0]], ratio=[[[0.5]], [[0.5]]])
    expected = -math.log((math.exp(-1.5) + math.exp(-3.5)) / 2)
    assert ImportanceWeighted(2)(batch, 0).item() == pytest.approx(expected, rel=1e-5)


def test_a_schedule_inside_an_objective_is_checked():
    FreeBits(per_group=0.1, beta=Linear(steps=10)).check(11)
    with pytest.raises(ValueError, match="linear schedule"):
        FreeBits(per_group=0.1, beta=Linear(steps=10)).check(10)
