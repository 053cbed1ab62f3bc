"""Learned priors over codes against enumeration, and against the loop that computes everything again."""

import itertools
import math

import pytest
import torch

from buttress.core import Space, registry
from buttress.priors import _codes
from buttress.priors._codes import CodesModule

LEVELS = Space.stacked([("top", (1, 2, 1), 3), ("bottom", (2, 2, 1), 3)])
THREE = Space.stacked([("top", (1, 2, 1), 3), ("middle", (2, 2, 1), 3), ("bottom", (3, 3, 1), 3)])
SPACES = [Space((3, 2, 1), 3), Space((2, 2, 2), 4), Space((5,), 3), LEVELS, THREE]
PRIORS = [prior for kind in registry.parts("priors").values() for prior in kind.tiny() if prior.discrete]


def learns_codes(prior, space):
    """Whether a prior over codes fits a space; those of maps and of levels refuse others by name."""
    try:
        return isinstance(prior.build(space), CodesModule)
    except ValueError as refusal:
        if prior.name() not in str(refusal):
            raise
        return False


@pytest.fixture(
    params=[pair for pair in itertools.product(PRIORS, SPACES) if learns_codes(*pair)],
    ids=lambda pair: f"{pair[0].name()}-{pair[1].shape}",
)
def built(request):
    prior, space = request.param
    module = prior.build(space)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return module


def test_the_cached_loop_draws_what_the_naive_one_does(built):
    p = built()
    torch.manual_seed(1)
    fast = p.sample((40,))
    torch.manual_seed(1)
    assert torch.equal(p.sample_naively((40,)), fast)
    assert fast.dtype == torch.long and len(fast.unique()) == built.classes


def test_terms_of_the_chain_rule_add_up_and_are_conditional_distributions(built):
    p = built()
    codes = p.sample((2, 3))
    terms = p.log_prob_by_group(codes)
    assert terms.shape == codes.shape
    torch.testing.assert_close(terms.flatten(2).sum(-1), p.log_prob(codes))
    for group in itertools.product(*map(range, built.space.shape)):
        here = (0, 0, *group)
        mass = 0.0
        for k in range(built.classes):
            other = codes.clone()
            other[here] = k
            mass += p.log_prob_by_group(other)[here].exp().item()
        assert mass == pytest.approx(1, abs=1e-5)


def test_a_code_sees_only_those_before_it(built):
    shape = built.space.shape
    codes = torch.zeros(1, *shape, dtype=torch.long)
    terms = built().log_prob_by_group(codes).flatten()
    for g in range(terms.numel()):
        changed = codes.flatten().clone()
        changed[g:] = built.classes - 1
        others = built().log_prob_by_group(changed.view(1, *shape)).flatten()
        torch.testing.assert_close(others[:g], terms[:g])


def test_large_batches_are_scored_a_part_at_a_time(built, monkeypatch):
    codes = built().sample((11,))
    whole = built().log_prob(codes)
    monkeypatch.setattr(_codes, "LOGITS", 4 * codes[0].numel() * built.classes)
    with torch.no_grad():
        torch.testing.assert_close(built().log_prob(codes), whole)


def test_a_single_value_needs_no_batch_and_a_draw_no_shape(built):
    p = built()
    assert p.log_prob(p.sample()).shape == ()
    assert (p.batch_shape, p.event_shape) == ((), built.space.shape)
    assert p.support.check(p.sample((3,))).all()


@pytest.mark.parametrize("prior", [p for p in PRIORS if learns_codes(p, SPACES[0])], ids=lambda p: p.name())
def test_a_prior_starts_near_the_uniform_one_and_learns_what_is_there(prior):
    """Codes that alternate down the first column, the first being free: log 2 nats in all."""
    space = Space((4, 1, 1), 2)
    first = torch.tensor([0, 1]).repeat(16)
    codes = ((first[:, None] + torch.arange(4)) % 2).view(-1, *space.shape)
    module = prior.build(space)
    assert -module().log_prob(codes).mean().item() == pytest.approx(4 * math.log(2), abs=0.5)
    adam = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(150):
        adam.zero_grad()
        loss = -module().log_prob(codes).mean()
        loss.backward()
        adam.step()
    assert loss.item() == pytest.approx(math.log(2), abs=0.05)


@pytest.mark.parametrize("prior", [p for p in PRIORS if learns_codes(p, SPACES[0])], ids=lambda p: p.name())
def test_what_is_no_space_of_codes_is_refused(prior):
    with pytest.raises(ValueError, match=f"{prior.name()} prior: z is made of real numbers"):
        prior.build(Space((2, 2, 1)))
    with pytest.raises(ValueError, match=f"{prior.name()} prior: 1 code says nothing"):
        prior.build(Space((2, 2, 1), 1))
    if prior.name().startswith("pixel"):
        with pytest.raises(ValueError, match=r"no map .* try the recurrent prior"):
            prior.build(Space((4,), 3))


@pytest.mark.parametrize("prior", [p for p in PRIORS if learns_codes(p, SPACES[0])], ids=lambda p: p.name())
def test_in_bf16_the_cost_of_a_code_is_in_float32(prior):
    p = prior.build(Space((2, 2, 1), 3))()
    codes = torch.zeros(2, 2, 2, 1, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        nats = p.log_prob_by_group(codes)
    assert nats.dtype == torch.float32
    torch.testing.assert_close(nats, p.log_prob_by_group(codes), atol=0.02, rtol=0.02)
