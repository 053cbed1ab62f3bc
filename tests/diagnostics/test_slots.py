"""Levels, stages and slots that are constant, or that nobody reads."""

from types import SimpleNamespace

import pytest
import torch
from closed_forms import normals
from torch.distributions import Categorical, Independent, Normal

from buttress.core import Space
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimators.slots import idle, slots_of
from buttress.diagnostics.protocol import Adapter
from buttress.distributions.point import Point

QUICK = {"nll_samples": 0, "gap_steps": 0}


def stages(x, keep=(1, 1, 1)):
    """Three stages of four codes each, of numbers in [0, 1): quarters, quarters of these, and again."""
    digits = [(x * 4 ** (k + 1)).long() % 4 * keep[k] for k in range(3)]
    return torch.stack(digits, -1)


def residual(keep=(1, 1, 1), read=(1, 1, 1), places=(), stated=True):
    """A quantiser in stages; x has shape (B, *places), its codes (B, *places, 3)."""
    size = torch.tensor([0.25, 0.25**2, 0.25**3]) * torch.tensor(read)
    shape = (*places, 3)
    return Adapter(
        lambda x: Independent(Point(stages(x, keep)), len(shape)),
        lambda: Independent(Categorical(torch.ones(*shape, 4)), len(shape)),
        lambda x, z: Normal((z * size).sum(-1), 0.004).log_prob(x).reshape(*z.shape[:2], -1).sum(-1),
        space=Space(shape, 4) if stated else None,
    )


@pytest.mark.parametrize(
    ("keep", "read", "names"),
    [
        ((1, 1, 1), (1, 1, 1), {}),
        ((1, 0, 0), (1, 1, 1), {"slot1": "constant", "slot2": "constant"}),
        ((1, 1, 1), (1, 1, 0), {"slot2": "not read"}),
        ((0, 1, 1), (1, 1, 0), {"slot0": "constant", "slot2": "not read"}),
    ],
)
@pytest.mark.parametrize("places", [(), (2, 2)])
def test_idle_stages_of_a_residual_quantiser_are_counted_and_named(keep, read, names, places):
    x = torch.rand(400, *places)
    found = diagnose(residual(keep, read, places), list(x.split(150)), **QUICK).estimates
    assert (found["idle_levels"].value, found["idle_levels"].ceiling) == (len(names), 3.0)
    assert all(f"{name} ({why})" in found["idle_levels"].note for name, why in names.items())
    for k in range(3):
        assert found[f"code_perplexity/slot{k}"].value == pytest.approx(4.0 if keep[k] else 1.0, rel=0.05)
        assert (found[f"worth_shuffled/slot{k}"].value > 0.5) == (f"slot{k}" not in names)


def test_a_stage_is_worth_what_it_is_in_closed_form():
    """Two codes of four that are drawn apart differ by 2 (1.25 - 0) quarters squared on average: 2 var."""
    x = torch.rand(3000)
    found = diagnose(residual(), [x], **QUICK).estimates
    for k in range(3):
        truth = (0.25 ** (k + 1) / 0.004) ** 2 * 1.25  # half of 2 var, with var = 15/12
        assert found[f"worth_shuffled/slot{k}"].value == pytest.approx(truth, rel=0.1)


def test_without_a_space_the_last_dimension_runs_over_slots():
    found = diagnose(residual(places=(2,), stated=False), [torch.rand(200, 2)], **QUICK).estimates
    assert found["idle_levels"].value == 0.0 and "slot2" in found["idle_levels"].note
    assert slots_of((4, 4, 1)) == slots_of((40,)) == slots_of(()) == ()


def levels(read):
    """Four levels of two numbers each, of which some are read."""
    weight = torch.tensor(read).repeat_interleave(2).float()
    names = [f"level{k}" for k in range(4)]
    model = Adapter(
        lambda x: normals(x, 0.3),
        lambda: normals(torch.zeros(8)),
        lambda x, z: (Normal(z, 0.5).log_prob(x) * weight).sum(-1),
    )
    return SimpleNamespace(
        posterior=model.posterior,
        prior=model.prior,
        log_likelihood=model.log_likelihood,
        space=SimpleNamespace(levels=names, shape=(8,)),
        groups=[f"{name}/{j}" for name in names for j in range(2)],
    )


@pytest.mark.parametrize("read", [(1, 1, 1, 1), (1, 0, 0, 0)])
def test_levels_that_are_never_read_are_counted(read):
    found = diagnose(levels(read), list(torch.randn(400, 8).split(200)), **QUICK).estimates["idle_levels"]
    assert (found.value, found.error) == (4 - sum(read), pytest.approx(0, abs=1e-3))


def test_a_count_is_as_uncertain_as_its_parts():
    near = {"a": Estimate(0.11, 0.05, 10, ""), "b": Estimate(0.09, 0.05, 10, ""), "c": Estimate(5.0, None, 10, "")}
    assert idle(near).value == 1.0 and idle(near).error == pytest.approx(0.7, abs=0.03)
