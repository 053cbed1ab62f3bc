"""What conditions say and leave, and whether numbers can be trusted: against closed forms."""

import math

import pytest
import torch
from closed_forms import close, normals
from conditional import ConditionalGaussian
from torch import nn
from torch.distributions import Bernoulli

from buttress.core.batch import Batch
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimator import Subject
from buttress.diagnostics.estimators.condition import gain_of_linear_z, worth_of_condition
from buttress.diagnostics.estimators.constant_error import constant_error
from buttress.diagnostics.passes import Encoded
from buttress.diagnostics.protocol import Adapter, conditional
from buttress.diagnostics.reference import LinearGaussian
from buttress.diagnostics.residuals import residuals

CHEAP = {"nll_samples": 0, "gap_steps": 0}


def subject(model, batches, conditions=()):
    asked = conditional(model)
    return Subject(asked, Encoded(asked, batches), {"seed": 0}, conditions=conditions)


def spread(n, m, length, seed=0):
    """White noise and one direction of a variance of 1 + length^2."""
    own = torch.Generator().manual_seed(seed)
    u = nn.functional.normalize(torch.ones(m), dim=0)
    return torch.randn(n, m, generator=own) + length * torch.randn(n, 1, generator=own) * u


@pytest.mark.parametrize(("n", "m"), [(4000, 10), (600, 900)])
def test_the_gain_of_a_linear_z_is_that_of_its_eigenvalue_and_noise_gains_nothing(n, m):
    found = gain_of_linear_z(spread(n, m, 4.0))
    truth = 0.5 * (16 - math.log(17))
    assert abs(found.value - truth) < 4 * found.error + 0.15 * truth  # few examples of many numbers find less
    nothing = gain_of_linear_z(spread(n, m, 0.0))
    assert abs(nothing.value) < 0.05
    assert gain_of_linear_z(spread(n, m, 4.0), beta=20.0).value < 0.05  # it does not pay at such a weight


def test_a_condition_is_worth_what_its_offsets_are():
    model = ConditionalGaussian()
    batches = model.sample(1000)
    found = worth_of_condition(subject(model, batches, ("label",)))
    y = torch.cat([batch.given["label"] for batch in batches])
    share = y.bincount(minlength=4).double() / len(y)
    square = torch.cdist(model.offset, model.offset).square()
    truth = float(share @ square @ share) / (2 * model.within.model.variance)
    assert close(found, truth) and "reads the label of another" in found.note
    assert worth_of_condition(subject(model, batches[:1], ())).value == 0


def test_what_is_left_beside_a_condition_is_what_the_factors_say():
    model = ConditionalGaussian()
    found = diagnose(model, model.sample(1200), **CHEAP).estimates["gain_beyond_condition"]
    silent = LinearGaussian(0 * model.within.model.weight, model.within.model.mean, model.within.model.variance)
    deaf = ConditionalGaussian(silent.lagging())
    left = diagnose(deaf, model.sample(1200), **CHEAP).estimates["gain_beyond_condition"]
    truth = (model.within.model.log_marginal(model.beyond(model.sample(1200))).mean()) - silent.log_marginal(
        model.beyond(model.sample(1200))
    ).mean()
    assert abs(left.value - float(truth)) < 4 * left.error + 0.1 and found.value > 1
    assert "worth_condition" not in diagnose(model.within, [model.beyond(model.sample(300))], **CHEAP).estimates


def test_what_is_left_of_bits_and_of_whole_numbers():
    p = torch.tensor([0.1, 0.5, 0.9])
    model = Adapter(
        lambda x: normals(torch.zeros(len(x), 1)),
        lambda: normals(torch.zeros(1)),
        lambda x, z: Bernoulli(p).log_prob(x).sum(-1).expand(z.shape[:2]),
    )
    x = torch.bernoulli(p.expand(400, 3), generator=torch.Generator().manual_seed(0))
    r = residuals(subject(model, [x]), 400)
    assert torch.allclose(r.float(), (x - p) / (p * (1 - p)).sqrt(), atol=1e-4)
    assert residuals(subject(model, [x.long()]), 400) == "x is made of whole numbers"
    assert residuals(subject(model, [x[:5]]), 400) == "5 examples are too few"
    assert residuals(subject(model, [x, x[:, :2]]), 400) == "the examples differ in length"


def test_a_constant_error_is_the_share_that_a_bias_would_take_away():
    noise = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    found = constant_error(noise + shift)
    assert abs(found.value - math.sqrt(5 / 11)) < 3 * found.error and constant_error(noise).value < 0.1
    model = LinearGaussian.random(6, 2, 0.25)
    x = model.sample(300)[0]
    assert abs(diagnose(model.vae(), [x], **CHEAP).estimates["constant_error"].value) < 0.15
    assert diagnose(model.vae(), [x + 30 * shift], **CHEAP).verdict.cause == "the estimates are not to be trusted"


@pytest.mark.parametrize(("kind", "share"), [(None, None), (torch.bfloat16, 0.5)])
def test_noise_is_lost_where_it_is_narrower_than_the_steps_of_the_type(kind, share):
    """Two coordinates with means of about 1, sigma of 1 and of a thousandth; bfloat16 has steps of 0.008 there."""
    model = Adapter(
        lambda x: normals(1 + 0.01 * x[:, :2], torch.tensor([1.0, 0.001])),
        lambda: normals(torch.zeros(2)),
        lambda x, z: normals(x).log_prob(x).expand(z.shape[:2]),
        module=nn.Linear(1, 1, dtype=kind),
    )
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    found = diagnose(model, [x], **CHEAP).estimates.get("rounded_noise")
    assert (None if found is None else found.value) == share


def test_a_condition_of_another_length_in_each_batch_is_compared_within_one():
    model = Adapter(
        lambda x, given: normals(torch.zeros(len(x), 1) + 0 * given["c"].sum(1, keepdim=True)),
        lambda: normals(torch.zeros(1)),
        lambda x, z, given: normals(x - given["c"].mean(1, keepdim=True)).log_prob(x).expand(z.shape[:2]),
    )
    batches = [Batch(torch.randn(40, 2), {"c": torch.randn(40, length)}) for length in (3, 5)]
    assert worth_of_condition(subject(model, batches, ("c",))).n == 40


@pytest.mark.parametrize("odd", [math.nan, math.inf, 1e300])
def test_residuals_that_are_not_finite_leave_the_gain_unknown(odd):
    found = gain_of_linear_z(torch.full((30, 4), odd, dtype=torch.float64))
    assert found.value is None and "not finite" in found.note
