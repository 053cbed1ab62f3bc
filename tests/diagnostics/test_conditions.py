"""What is given beside x reaches every estimator row by row, and the evidence is what z tells beyond it."""

import math

import pytest
import torch
from closed_forms import close, normals
from conditional import ConditionalGaussian
from torch.distributions import Independent, Normal

from buttress.core.batch import Batch
from buttress.diagnostics.check import check
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.amortisation import refinement
from buttress.diagnostics.estimators.marginal_likelihood import likelihoods
from buttress.diagnostics.estimators.mutual_information import information
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.estimators.worth import derangement, worth
from buttress.diagnostics.grid_posterior import grid_posterior
from buttress.diagnostics.passes import Encoded
from buttress.diagnostics.protocol import Adapter, Conditional
from buttress.diagnostics.reference import LinearGaussian


@pytest.fixture(scope="module", params=[0.0, 10.0], ids=["one prior", "a prior per example"])
def pair(request):
    model = ConditionalGaussian(shift=request.param)
    return model, model.sample(1200)


def test_the_bound_and_the_likelihood_are_those_given_y(pair):
    model, batches = pair
    x, vae = model.beyond(batches), model.within
    found = bound(model, batches)
    assert found.rate.value == pytest.approx(vae.rate(x).sum(1).mean().item())
    assert close(found.distortion, vae.distortion(x).mean().item())
    assert found.effective_beta.value == pytest.approx(1, abs=0.2)
    nll = likelihoods(model, batches, samples=20).nll
    assert torch.allclose(nll, -vae.model.log_marginal(x), atol=1e-6)  # q is exact


def test_information_and_worth_are_what_z_tells_beyond_y(pair):
    model, batches = pair
    truth = model.within
    found = diagnose(model, batches, nll_samples=0, gap_steps=0)
    assert close(found.estimates["mutual_information"], truth.mutual_information())
    assert close(found.estimates["worth_shuffled"], truth.worth_shuffled())
    assert close(found.estimates["worth_prior"], truth.worth_prior())
    assert abs(found.estimates["aggregate_kl"].value) < 0.1
    expected = sum(n / 1200 * math.log(n) for n in torch.cat([b.given["label"] for b in batches]).bincount().tolist())
    assert found.estimates["mutual_information"].ceiling == pytest.approx(expected)
    assert "4 groups of an equal condition: what z tells beyond label" in found.estimates["mutual_information"].note


def test_a_posterior_that_tells_the_condition_alone_tells_nothing_beyond_it():
    model = ConditionalGaussian(shift=10.0)
    only_y = Adapter(
        lambda x, given: model.prior(given),
        model.prior,
        lambda x, z, given: model.within.model.log_marginal(x - model.offset[given["label"]]).expand(z.shape[:2]),
    )
    found = diagnose(only_y, model.sample(800), nll_samples=0, gap_steps=0).estimates
    assert found["rate"].value == 0 and abs(found["mutual_information"].value) < 0.05
    assert found["worth_shuffled"].value == 0


def test_a_condition_of_real_numbers_bounds_information_from_above():
    model = ConditionalGaussian()
    batches = [Batch(b.x, {"label": b.given["label"], "noise": torch.randn(len(b))}) for b in model.sample(400)]
    reads_both = Adapter(
        lambda x, given: model.posterior(x + 0.01 * given["noise"][:, None], given), model.prior, model.log_likelihood
    )
    found = diagnose(reads_both, batches, nll_samples=0, gap_steps=0).estimates
    assert "bounds what z tells beyond label, noise from above" in found["mutual_information"].note
    ignores_noise = diagnose(model, batches, nll_samples=0, gap_steps=0).estimates
    assert "groups of an equal condition: what z tells beyond label" in ignores_noise["mutual_information"].note


def test_the_amortisation_gap_is_that_of_the_model_given_y():
    good = ConditionalGaussian(shift=10.0)
    lagging = ConditionalGaussian(good.within.model.lagging(0.3), shift=10.0)
    batches = lagging.sample(60)
    gap = refinement(lagging, batches, steps=60).gap
    assert close(gap, lagging.within.amortisation_gap(lagging.beyond(batches)).mean().item())


@pytest.mark.parametrize("size", [1, 7, 300])
def test_nothing_depends_on_how_the_batches_are_cut(size):
    model = ConditionalGaussian(shift=3.0)
    parts = model.sample(300)
    labels = torch.cat([batch.given["label"] for batch in parts])
    whole = Batch(torch.cat([batch.x for batch in parts]), {"label": labels})
    cut = [whole.take(rows) for rows in torch.arange(300).split(size)]
    settings = {"nll_samples": 5, "nll_examples": 40, "gap_steps": 3, "gap_examples": 30, "mi_examples": 200}
    one, other = (diagnose(model, batches, **settings).estimates for batches in ([whole], cut))
    for name, estimate in one.items():
        if estimate.value is None:
            assert other[name] == estimate
            continue
        assert other[name].value == pytest.approx(estimate.value, rel=1e-6, abs=1e-9), name


def test_codes_cost_what_their_own_prior_says():
    """One code of three, which is y plus one or two: a prior per example of two codes at 3/4 and 1/4."""
    from torch.distributions import Categorical

    from buttress.distributions.point import Point

    y = torch.arange(90) % 3
    x = ((y + 1 + (torch.arange(90) // 3) % 2) % 3)[:, None]
    table = torch.tensor([[0, 0.75, 0.25], [0.25, 0, 0.75], [0.75, 0.25, 0]])
    model = Adapter(
        lambda x: Independent(Point(x), 1),
        lambda given: Independent(Categorical(table[given["label"]][:, None]), 1),
        lambda x, z: -((z - x) != 0).float().sum(-1) - math.log(3),
    )
    found = diagnose(model, [Batch(x, {"label": y})], nll_samples=2, gap_steps=0, kind="table").estimates
    assert found["rate"].value == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2, rel=1e-5)
    assert found["mutual_information"].value == pytest.approx(math.log(2), rel=1e-6)
    assert found["codes_used"].value == 3.0 and found["rate_uniform"].value == pytest.approx(math.log(3))


def test_a_grid_takes_a_prior_per_example():
    one = LinearGaussian(torch.ones(1, 1).double(), torch.zeros(1).double(), 1.0)
    model = Adapter(
        lambda x: one.posterior(x),
        lambda given: Independent(Normal(given["m"][:, None], torch.ones(1).double()), 1),
        one.log_likelihood,
    )
    found = grid_posterior(model, [Batch(torch.zeros(2, 1).double(), {"m": torch.tensor([0.0, 2.0]).double()})])
    assert found.mean.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


def test_shuffling_keeps_within_groups():
    groups = torch.randint(3, (50,))
    other = derangement(50, seed=0, within=groups)
    assert torch.equal(groups[other], groups) and not (other == torch.arange(50)).any()
    assert other.sort().values.tolist() == list(range(50))


# --- how a model takes `given` ---


def test_given_is_passed_to_those_that_take_it():
    class Some:
        def posterior(self, x, given=None):
            return given

        def prior(self, *, given):
            return given

        def log_likelihood(self, x, z, reduction="sum"):
            return reduction

    asked = Conditional(Some())
    assert asked.takes == {"posterior", "prior"}
    x, given = torch.zeros(1), {"a": torch.ones(1)}
    assert asked.posterior(x, given) is given and asked.prior(given) is given
    assert asked.log_likelihood(x, x, given) == "sum"


# --- what hides its labels ---


def hidden(model, labels):
    """The same model, with its labels around it instead of in ``given``."""
    return Adapter(
        lambda x: model.posterior(x, {"label": labels(len(x))}),
        model.within.prior,
        lambda x, z: model.log_likelihood(x, z, {"label": labels(x.shape[0])}),
    )


def test_labels_that_do_not_follow_the_rows_are_refused():
    model = ConditionalGaussian()
    batches = model.sample(400)
    y, xs = torch.cat([b.given["label"] for b in batches]), [b.x for b in batches]
    with pytest.raises(ValueError, match=r"depends on the other examples .* or on their order.*`given`"):
        check(hidden(model, lambda n: y[:n]), xs)
    with pytest.raises(ValueError, match=r"does not follow the rows of x; let it take a last argument `given`"):
        check(hidden(model, lambda n: y), [torch.cat(xs)])


def test_a_prior_per_example_without_given_is_refused():
    model = Adapter(
        lambda x: normals(x[:, :2]), lambda: normals(torch.zeros(64, 2)), lambda x, z: z.sum(-1) - x.square().sum(-1)
    )
    with pytest.raises(ValueError, match=r"batch shape \(64,\).*let it take an argument `given`"):
        check(model, [torch.randn(64, 3)])


def test_conditions_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"given\['label'\] has shape \(3,\) for 5 examples"):
        diagnose(ConditionalGaussian(), [Batch(torch.zeros(5, 5), {"label": torch.zeros(3).long()})])


def test_conditions_that_nobody_reads_change_nothing():
    model = ConditionalGaussian()
    batches = [Batch(b.x, {"label": b.given["label"], "index": torch.arange(len(b))}) for b in model.sample(300)]
    plain = model.within
    settings = {"nll_samples": 3, "gap_steps": 2}
    with_, without = (diagnose(plain, data, **settings) for data in (batches, [b.x for b in batches]))
    assert with_.to_json() == without.to_json()


def test_memory_of_q_is_bounded():
    model = ConditionalGaussian()
    batches = model.sample(300)
    data = Encoded(Conditional(model), batches, limit=100 * 2 * 8 * 2)
    exact, bounded = bound(model, batches), bound(data.asked, data)
    assert 0 < data.used <= data.limit and bounded.rate == exact.rate and bounded.elbo == exact.elbo
    assert information(data.asked, data).mutual_information == information(model, batches).mutual_information
    assert worth(data.asked, data).shuffled == worth(model, batches).shuffled
