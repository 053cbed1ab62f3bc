"""The amortisation gap of products of categoricals, against p(z|x) by enumeration."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, OneHotCategorical

from buttress.diagnostics.estimators.amortisation import refinement
from buttress.diagnostics.protocol import Adapter

N, WIDTH, SIGMA = 40, 30, 0.9


def product(groups, classes, family=OneHotCategorical):
    """A linear decoder of codes, an encoder that says the same for every x, and data of the model."""
    own = torch.Generator().manual_seed(groups)
    weight = torch.randn(groups, classes, WIDTH, generator=own)
    z = torch.nn.functional.one_hot(torch.randint(classes, (N, groups), generator=own), classes).float()
    x = torch.einsum("ngk,gkd->nd", z, weight) + SIGMA * torch.randn(N, WIDTH, generator=own)

    def log_likelihood(x, z):
        if family is not OneHotCategorical:
            z = torch.nn.functional.one_hot(z.long(), classes).float()
        return Normal(torch.einsum("sngk,gkd->snd", z.float(), weight), SIGMA).log_prob(x).sum(-1)

    def codes(n=()):
        logits = torch.zeros(*n, groups, classes)
        if family is Bernoulli:
            return Independent(Bernoulli(logits=logits[..., 0]), 1)
        return Independent(family(logits=logits), 1)

    return Adapter(lambda x: codes((len(x),)), codes, log_likelihood), x


def joint(model, x, groups, classes):
    """log p(x, z) of every z, (K, ..., K, N)."""
    every = torch.cartesian_prod(*[torch.arange(classes)] * groups).reshape(-1, groups)
    z = torch.nn.functional.one_hot(every, classes).float()[:, None].expand(-1, len(x), -1, -1)
    value = model.log_likelihood(x, z) + model.prior().log_prob(z)
    return value.double().reshape(*[classes] * groups, len(x))


def test_the_gap_of_one_hot_vectors_is_the_one_by_enumeration():
    model, x = product(1, 10)
    found, values = refinement(model, [x], examples=None), joint(model, x, 1, 10)
    gap = values.logsumexp(0) - (values.mean(0) + math.log(10))
    assert torch.allclose(found.gain, gap) and not found.error.any()
    assert found.estimates["amortisation_gap_share"].value == 1 and found.estimates["gap_unfinished"].value == 0


@pytest.mark.parametrize("family", [Categorical, OneHotCategorical])
def test_two_groups_reach_the_best_product(family):
    model, x = product(2, 4, family)
    values = joint(product(2, 4)[0], x, 2, 4)
    best = torch.full((N,), -torch.inf).double()
    for start in range(16):  # mean-field from every corner: the best of them is the optimum
        one = torch.full((4, N), 0.01 / 3).double()
        one[start % 4] = 0.99
        for _ in range(200):
            two = torch.einsum("in,ijn->jn", one, values).softmax(0)
            one = torch.einsum("jn,ijn->in", two, values).softmax(0)
        mass = one[:, None] * two[None]
        entropy = -(torch.xlogy(one, one).sum(0) + torch.xlogy(two, two).sum(0))
        best = torch.maximum(best, (mass * values).sum((0, 1)) + entropy)
    start = values.mean((0, 1)) + 2 * math.log(4)
    assert torch.allclose(refinement(model, [x], examples=None).gain, best - start, atol=0.02)


def test_what_is_too_many_to_try_is_swept_group_by_group():
    model, x = product(6, 3, Categorical)
    exact = refinement(model, [x], examples=None, steps=200)  # 729 values: all are tried
    swept = refinement(model, [x], examples=None, steps=110, samples=64)  # not all
    assert "every value" in exact.method and "every value" not in swept.method
    assert swept.gap.value == pytest.approx(exact.gap.value, rel=0.05)


def test_bits_are_codes_too_and_an_exact_q_gains_nothing():
    model, x = product(1, 2, Bernoulli)
    values = joint(product(1, 2)[0], x, 1, 2)
    found = refinement(model, [x], examples=None)
    assert torch.allclose(found.gain, values.logsumexp(0) - values.mean(0) - math.log(2), atol=1e-4)
    logits = (values[1] - values[0])[:, None]
    exact = Adapter(lambda x: Independent(Bernoulli(logits=logits), 1), model.prior, model.log_likelihood)
    assert refinement(exact, [x], examples=None).gap.value == pytest.approx(0, abs=1e-6)


def test_too_many_codes_for_the_steps_are_refused():
    model, x = product(6, 10)
    found = refinement(model, [x], steps=3)
    assert found.gap.value is None and "raise gap_steps" in found.gap.note
