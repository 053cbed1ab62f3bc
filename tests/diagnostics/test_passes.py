"""One pass over q(z|x) serves all estimators; digits of a narrow q; levels; an estimator of one's own."""

import math

import pytest
import torch
from closed_forms import close, data, normals, toy
from torch import nn
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal, OneHotCategorical
from torch.nn.functional import one_hot

from buttress.core.spec import Space
from buttress.diagnostics import estimators
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimator import Estimator, catalogue
from buttress.diagnostics.estimators.active_units import activity
from buttress.diagnostics.estimators.amortisation import refinement
from buttress.diagnostics.estimators.codebook import DRAWN
from buttress.diagnostics.estimators.marginal_likelihood import likelihoods
from buttress.diagnostics.estimators.mutual_information import information
from buttress.diagnostics.estimators.probe import label_accuracy
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.estimators.worth import worth
from buttress.diagnostics.passes import Encoded
from buttress.diagnostics.protocol import Adapter, Conditional
from buttress.distributions.point import Point


class Counting:
    """A model that counts how often each example is encoded; x holds its number in the last column."""

    def __init__(self, posterior, n):
        self.one, self.times = data(n)[0].vae(), torch.zeros(n)
        self.wanted = posterior

    def posterior(self, x):
        self.times[x[:, -1].long()] += 1
        return self.wanted(self.one.posterior(x[:, :-1]))

    def prior(self):
        return self.one.prior()

    def log_likelihood(self, x, z):
        return self.one.log_likelihood(x[:, :-1], z)


def full(q):
    return MultivariateNormal(q.mean, torch.diag_embed(q.variance))


@pytest.mark.parametrize("posterior", [lambda q: q, full], ids=["normals", "multivariate normal"])
def test_every_example_is_encoded_at_most_twice(posterior):
    n = 700
    x = torch.cat([torch.cat(data(n)[1]), torch.arange(n, dtype=torch.float64)[:, None]], 1)
    model = Counting(posterior, n)
    settings = {"nll_samples": 5, "nll_examples": 300, "gap_steps": 2, "gap_examples": 100, "mi_examples": 300}
    diagnose(model, list(x.split(50)), labels=torch.arange(n) % 3, **settings)
    assert model.times.max() <= 2 and model.times.mean() < 1.1


def test_codes_are_encoded_at_most_twice():
    times = torch.zeros(500)

    def posterior(x):
        times[x[:, 0]] += 1
        return Independent(Point(x % 4), 1)

    prior = Independent(Categorical(torch.ones(1, 4)), 1)
    model = Adapter(posterior, lambda: prior, lambda x, z: -(z != x % 4).float().sum(-1) - math.log(125.0))
    diagnose(model, list(torch.arange(500)[:, None].split(100)), kind="table", nll_samples=2, gap_steps=0)
    assert times.max() <= 2 and times.mean() < 1.1


@pytest.mark.parametrize("limit", [0, 5000, 2**20])
def test_what_is_remembered_changes_no_number(limit):
    model, batches = data(500)
    model, labels = model.lagging(0.6), torch.arange(500) % 4
    settled = Encoded(Conditional(model), batches, limit=limit)
    for measure in (
        bound,
        activity,
        information,
        worth,
        lambda m, b: likelihoods(m, b, samples=7, examples=90).nll,
        lambda m, b: refinement(m, b, steps=4, examples=60),
        lambda m, b: label_accuracy(m, b, labels),
    ):
        fresh, shared = measure(model, batches), measure(settled.asked, settled)
        if isinstance(fresh, torch.Tensor):
            assert torch.equal(fresh, shared)
        else:
            assert str(fresh) == str(shared)
    assert settled.used <= limit


def test_x_is_not_read_where_z_is_enough():
    model, batches = data(300)

    class Reading(list):
        times = 0

        def __getitem__(self, number):
            Reading.times += 1
            return super().__getitem__(number)

    encoded = Encoded(Conditional(model.vae()), Reading(batches))
    bound(encoded.asked, encoded)
    before = Reading.times
    activity(encoded.asked, encoded)
    information(encoded.asked, encoded)
    assert Reading.times == before


def test_few_examples_of_many_batches_are_refined_together():
    model, batches = data(300)
    lagging, x = model.lagging(), torch.cat(batches)
    calls = []
    counted = Adapter(
        lagging.posterior, lagging.prior, lambda x, z: calls.append(len(x)) or lagging.log_likelihood(x, z)
    )
    apart = refinement(counted, list(x.split(10)), steps=5, examples=60)
    together = refinement(lagging, [x], steps=5, examples=60)
    assert apart.gap.value == pytest.approx(together.gap.value, rel=1e-6)
    assert max(calls) == 60


# --- digits ---


@pytest.mark.parametrize("sigma", [1e-3, 1e-8, 1e-12, 1e-20, 1e8])
def test_a_q_of_any_width_keeps_its_digits(sigma):
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    model = Adapter(
        lambda x: normals(x[:, :2], sigma),
        lambda: normals(torch.zeros(2)),
        lambda x, z: Normal(torch.cat([z] * 3, -1).clamp(-9, 9), 0.5).log_prob(x).sum(-1),
    )
    rate = (0.5 * (x[:, :2].double().square() + sigma**2 - 1) - math.log(sigma)).sum(1).mean().item()
    found = bound(model, [x])
    assert found.rate.value == pytest.approx(rate, rel=1e-5)
    split = information(model, [x])
    if sigma < 1:
        assert split.mutual_information.value == pytest.approx(math.log(300), abs=0.05)
        assert split.aggregate_kl.value == pytest.approx(rate - math.log(300), abs=4 * split.aggregate_kl.error)
    else:
        assert split.mutual_information.value == pytest.approx(0, abs=1e-6)
    sum_ = split.mutual_information.value + split.aggregate_kl.value
    assert sum_ == pytest.approx(rate, rel=0.3 if sigma > 1 else 0.02)


def test_narrow_and_wide_coordinates_side_by_side():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    both = Adapter(
        lambda x: Independent(Normal(x, torch.tensor([1e-10, 0.7]).expand_as(x)), 1),
        lambda: normals(torch.zeros(2)),
        lambda x, z: Normal(z, 1.0).log_prob(x).sum(-1),
    )
    assert information(both, [x]).mutual_information.value == pytest.approx(math.log(200), abs=1e-6)
    wide = toy(lambda x: normals(x[:, 1:] + 1e6, 0.7))
    near = toy(lambda x: normals(x[:, 1:], 0.7))
    one, other = (information(m, [x.double()]).mutual_information.value for m in (wide, near))
    assert one == pytest.approx(other, rel=1e-6)


def test_weights_of_a_narrow_q_are_those_of_its_noise():
    """Where every z is rounded to the mean, log q(z) would be half a nat too high for each coordinate."""
    x = torch.randn(100, 2)
    model = toy(lambda x: normals(x, 1e-12), latents=2)
    found = likelihoods(model, [x], samples=1).nll.mean().item()
    q = torch.tensor(1e-12).log().item() * -2 - math.log(2 * math.pi) - 1
    p = Normal(0.0, 1.0).log_prob(x).sum(1).mean().item()
    assert found == pytest.approx(x.sum(1).mean().item() - p + q, abs=0.5)


# --- one-hot codes ---


def near(x):
    return (x * 8).long().clamp(0, 7).unsqueeze(-1) // 2 * 2  # of 8 codes, the even ones


@pytest.mark.parametrize("kind", ["point", "categorical", "one-hot vectors"])
def test_codes_are_counted_however_they_come(kind):
    x, event = torch.rand(200, 5, generator=torch.Generator().manual_seed(0)), 2
    hot = lambda x: one_hot(near(x), 8).float()  # noqa: E731
    forms = {
        "point": lambda x: Independent(Point(near(x)), event),
        "categorical": lambda x: Independent(Categorical(probs=hot(x)), event),
        "one-hot vectors": lambda x: Independent(OneHotCategorical(probs=hot(x)), event),
    }
    vectors = kind == "one-hot vectors"
    flat = (OneHotCategorical if vectors else Categorical)(logits=torch.zeros(5, 1, 8))
    value = lambda z: (z.argmax(-1) if vectors else z).squeeze(-1) / 8  # noqa: E731
    model = Adapter(
        forms[kind], lambda: Independent(flat, event), lambda x, z: Normal(value(z), 0.2).log_prob(x).sum(-1)
    )
    found = diagnose(model, list(x.split(50)), nll_samples=0, gap_steps=0).estimates
    assert (found["codes_used"].value, found["codes_used"].ceiling) == (4, 8)
    assert found["code_perplexity"].value == pytest.approx(4, abs=0.1)
    assert found["rate"].value == pytest.approx(5 * math.log(8), rel=1e-4)
    assert found["rate_uniform"].value == pytest.approx(5 * math.log(8), rel=1e-6)
    assert found["mutual_information"].value == pytest.approx(math.log(200), abs=0.1)


def test_a_soft_categorical_that_is_sure_at_first_is_no_code():
    x = torch.cat([torch.zeros(100, 1), torch.ones(100, 1)])
    model = Adapter(
        lambda x: Independent(Categorical(probs=one_hot(x.long(), 3) * (1 - x[..., None] / 2) + x[..., None] / 6), 1),
        lambda: Independent(Categorical(logits=torch.zeros(1, 3)), 1),
        lambda x, z: Normal(z.float(), 1.0).log_prob(x).sum(-1),
    )
    found = diagnose(model, list(x.split(50)), nll_samples=0, gap_steps=0).estimates
    assert found["codes_used"].method == DRAWN and 0 < found["rate"].value < math.log(3)


# --- levels ---


class TwoLevels(nn.Module):
    """z of a top with one coordinate and a bottom with two; the decoder reads ``reads``."""

    space = Space.stacked([("top", (1,), None), ("bottom", (2,), None)])
    groups = ("top/0", "bottom/0", "bottom/1")

    def __init__(self, reads):
        super().__init__()
        self.reads = torch.tensor(reads).double()

    def posterior(self, x):
        return normals(x[:, :3] * 0.9, 0.4)

    def prior(self):
        return normals(torch.zeros(3).double())

    def log_likelihood(self, x, z):
        return Normal(z * self.reads, 0.5).log_prob(x[:, :3]).sum(-1)


@pytest.mark.parametrize("reads", [(1.0, 0.0, 0.0), (0.0, 1.0, 1.0)])
def test_an_idle_level_is_seen(reads):
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)).double()
    model = TwoLevels(reads)
    evidence = diagnose(model, list(x.split(100)), nll_samples=0, gap_steps=0)
    found, rates = evidence.estimates, evidence.groups.rate
    assert found["rate/top"].value == pytest.approx(rates[0])
    assert found["rate/bottom"].value == pytest.approx(rates[1] + rates[2])
    assert found["rate/top"].value + found["rate/bottom"].value == pytest.approx(found["rate"].value)
    idle, used = ("bottom", "top") if reads[0] else ("top", "bottom")
    assert found[f"worth_shuffled/{idle}"].value == 0
    assert found[f"worth_shuffled/{used}"].value == pytest.approx(found["worth_shuffled"].value)
    assert close(found[f"worth_shuffled/{used}"], sum(reads) * 0.9 * x.var().item() / 0.25, 5)
    alone = information(toy(lambda x: normals(x[:, :1] * 0.9, 0.4)), [x]).mutual_information
    assert found["mutual_information/top"].value == pytest.approx(alone.value, abs=3 * alone.error)


def test_levels_of_codes_have_codebooks_of_their_own():
    space = Space.stacked([("top", (1,), 4), ("bottom", (2,), 8)])
    model = Adapter(
        lambda x: Independent(Point(x), 1),
        lambda: Independent(Categorical(logits=torch.zeros(3, 8)), 1),
        lambda x, z: -(z != x).double().sum(-1) - 9.0,
        space=space,
    )
    x = torch.stack([torch.arange(64) % 2, torch.arange(64) % 8, torch.arange(64) // 8], 1)
    found = diagnose(model, list(x.split(16)), kind="table", nll_samples=0, gap_steps=0).estimates
    assert (found["codes_used"].value, found["codes_used"].ceiling) == (2 + 8 + 8, 4 + 8 + 8) or (
        found["codes_used"].value == 2 + 8
    )
    assert found["mutual_information/top"].value == pytest.approx(math.log(2))
    assert found["rate/bottom"].value == pytest.approx(2 * math.log(8))


# --- an estimator of one's own ---


def test_a_file_in_the_folder_is_an_estimator(tmp_path, monkeypatch):
    (tmp_path / "halved_rate.py").write_text(
        "from buttress.diagnostics.estimate import Estimate\n"
        "from buttress.diagnostics.estimator import estimator\n\n\n"
        '@estimator("use of z by the decoder")\n'
        "def measure(subject):\n"
        '    rate = subject.estimates["rate"]\n'
        '    return {"halved_rate": Estimate(rate.value / 2, None, rate.n, rate.method)}\n'
    )
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(tmp_path)])
    catalogue.cache_clear()
    try:
        model, batches = data(60)
        found = diagnose(model.vae(), batches, nll_samples=0, gap_steps=0).estimates
    finally:
        catalogue.cache_clear()
    assert found["halved_rate"].value == found["rate"].value / 2


def test_an_estimator_of_no_stage_is_refused():
    with pytest.raises(ValueError, match="got the stage 'later', wanted one of bound"):
        Estimator(lambda subject: {}, "later")
