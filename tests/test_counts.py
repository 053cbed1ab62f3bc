"""Counts in tables: true masses, samples of the right distribution, and runs from a file of counts to counts again."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
import torch
from torch.distributions import Gamma
from torch.distributions import Poisson as Exact

from buttress.cli import main as cli
from buttress.core import DataSpec, Layout
from buttress.diagnostics.diagnose import diagnose
from buttress.likelihoods._counts import gamma_quantile, poisson_quantile
from buttress.likelihoods.negative_binomial import NegativeBinomial
from buttress.likelihoods.poisson import Poisson
from buttress.training.run import Run

TWO = DataSpec(Layout.table(2), columns=("a", "b"))
BOTH = [Poisson(), NegativeBinomial(3.0), NegativeBinomial(0.4, "scalar"), NegativeBinomial(1.5, "fixed")]
LITTLE = ("--training.steps", 30, "--training.batch_size", 16, "--nll_samples", 5, "--gap_steps", 2)


def label(value):
    return f"{value.name()}-{getattr(value, 'learned', '')}"


def near(log_means):
    """Parameters for these log means: the inverse of the smooth bound."""
    return (30 * (torch.as_tensor(log_means) / 30).atanh()).unsqueeze(-1)


def negative_binomial(x, mean, r):
    """log p in Python's float64, term by term."""
    ways = math.lgamma(x + r) - math.lgamma(r) - math.lgamma(x + 1)
    return ways + r * math.log(r / (r + mean)) + x * math.log(mean / (r + mean))


def test_poisson_equals_its_formula_at_small_and_large_counts():
    x = torch.tensor([[0.0, 3.0], [7.0, 0.0], [1e6, 1_002_345.0]])
    log_mean = torch.tensor([[0.3, -2.0], [1.9, -9.0], [math.log(1e6), math.log(1e6)]], dtype=torch.float64)
    p = Poisson().build(TWO)
    wanted = Exact(log_mean.exp()).log_prob(x.double()).sum(-1)
    torch.testing.assert_close(p(near(log_mean)).log_prob(x), wanted, rtol=1e-12, atol=1e-7)
    output = near(log_mean).float()
    found, again = p(output).log_prob(x), p(output.double()).log_prob(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), again, rtol=1e-6, atol=0)


@pytest.mark.parametrize("r", [1e-3, 0.7, 20.0, 1e6])
def test_negative_binomial_equals_its_formula(r):
    x, log_mean = torch.tensor([[0.0, 2.0], [50.0, 900_000.0]]), torch.tensor([[-3.0, 0.5], [3.0, 13.0]]).double()
    p = NegativeBinomial(r, "fixed").build(TWO)
    pairs = zip(x.flatten().tolist(), log_mean.exp().flatten().tolist(), strict=True)
    wanted = torch.tensor([negative_binomial(*pair, r) for pair in pairs], dtype=torch.float64).view(2, 2).sum(1)
    torch.testing.assert_close(p(near(log_mean)).log_prob(x), wanted, rtol=1e-9, atol=1e-5)


def test_negative_binomial_is_that_of_torch_and_becomes_the_poisson():
    x, output = torch.arange(40.0)[:, None].expand(40, 2), near([1.0, 2.5])
    mean = torch.tensor([1.0, 2.5]).exp()
    law = torch.distributions.NegativeBinomial(3.0, logits=(mean / 3.0).log())
    p = NegativeBinomial(3.0).build(TWO)
    torch.testing.assert_close(p(output).log_prob(x), law.log_prob(x).sum(-1), rtol=1e-4, atol=1e-4)
    limit = NegativeBinomial(3e6, "fixed").build(TWO)
    torch.testing.assert_close(limit(output).log_prob(x), Poisson().build(TWO)(output).log_prob(x), rtol=1e-3, atol=0)


@pytest.mark.parametrize("part", BOTH, ids=label)
def test_the_masses_of_all_counts_sum_to_one_and_give_the_mean(part):
    p = part.build(DataSpec(Layout.table(1)))
    output = near([0.7])
    x = torch.arange(600.0)[:, None]
    mass = p(output).log_prob(x).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-5)
    assert (mass * x[:, 0]).sum().item() == pytest.approx(p(output).mean.item(), rel=1e-4)


@pytest.mark.parametrize("part", BOTH, ids=label)
def test_samples_have_the_mass_they_claim(part):
    p = part.build(DataSpec(Layout.table(1)))
    output = near([1.5])
    drawn = p(output).sample((40_000,)).squeeze(-1)
    assert drawn.dtype == torch.float32 and drawn.min() >= 0 and torch.equal(drawn, drawn.round())
    mass = p(output).log_prob(torch.arange(300.0)[:, None]).exp().detach()
    seen = torch.bincount(drawn.long(), minlength=300)[:300] / 40_000
    assert (mass.cumsum(0) - seen.cumsum(0)).abs().max() < 1.95 / 200  # Kolmogorov-Smirnov at one in a thousand


def test_quantiles_invert_the_distribution_functions():
    mean = torch.tensor([0.0, 1e-9, 0.3, 40.0, 1e6, 1e12]).double()
    for u in (0.0, 0.2, 0.9, 1 - 2**-24):
        k = poisson_quantile(mean, torch.tensor(u))
        assert (k >= 0).all()
        assert (torch.special.gammaincc(k + 1, mean) >= u - 1e-9).all()
        assert (torch.special.gammaincc(k.clamp(min=1), mean)[k > 0] <= max(u, 1e-6)).all()
    assert poisson_quantile(torch.tensor([1e19]).double(), torch.tensor(0.5)).isfinite().all()  # and it ends
    shape, u = torch.tensor([0.01, 0.5, 3.0, 1e6]).double(), torch.tensor([0.001, 0.5, 0.999]).double()[:, None]
    torch.testing.assert_close(Gamma(shape, 1.0).cdf(gamma_quantile(shape, u)), u.expand(3, 4), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("part", [*BOTH, NegativeBinomial(1e-4), NegativeBinomial(3e6)], ids=label)
def test_nothing_overflows_and_gradients_stay_finite(part):
    p = part.build(TWO)
    output = torch.tensor([[[1e6], [-1e6]], [[40.0], [-40.0]]], requires_grad=True)
    log_prob = p(output).log_prob(torch.tensor([[0.0, 1e7], [3.0, 0.0]]))
    log_prob.sum().backward()
    assert log_prob.isfinite().all() and output.grad.isfinite().all()
    assert p(output.detach()).sample((50,)).isfinite().all()


def test_a_learned_dispersion_finds_that_of_the_data():
    mean, r = 6.0, torch.tensor([0.5, 4.0])
    x = torch.poisson(Gamma(r, r / mean).sample((4000,)))
    p = NegativeBinomial().build(TWO)
    output = near([math.log(mean)] * 2)
    optimizer = torch.optim.LBFGS(p.parameters(), max_iter=40)

    def closure():
        optimizer.zero_grad()
        loss = -p(output).log_prob(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(p.log_r.exp().float(), r, rtol=0.15, atol=0)  # about three standard errors


@pytest.mark.parametrize("part", BOTH, ids=label)
def test_it_starts_at_the_mean_and_reads_counts_at_unit_scale(part):
    x = torch.poisson(torch.tensor([0.5, 30.0, 4000.0]).expand(5000, 3))
    p = part.build(DataSpec(Layout.table(3), mean=x.mean(0), std=x.std(0)))
    torch.testing.assert_close(p(p.start()).mean, x.mean(0), rtol=1e-4, atol=0)
    h = p.features(x)
    assert h.mean(0).abs().max() < 0.2 and (h.std(0) - 1).abs().max() < 0.2
    still = part.build(DataSpec(Layout.table(1), mean=torch.zeros(1), std=torch.zeros(1)))
    assert still(still.start()).mean.item() == pytest.approx(1e-3, rel=1e-4)
    assert still.features(torch.tensor([[0.0]])).item() == 0


@pytest.mark.parametrize("part", BOTH, ids=label)
def test_an_offset_of_the_data_changes_no_nat(part):
    """Counts far from zero are stored with an offset subtracted."""
    x, output = torch.tensor([[5_000_003.0, 2.0]]), near([math.log(5e6), 1.0])
    stored = x - torch.tensor([5e6, 0.0])
    p, far = part.build(TWO), part.build(DataSpec(Layout.table(2), offset=(5e6, 0.0)))
    far.check(stored - torch.tensor([7.0, 0.0]))
    torch.testing.assert_close(far(output).log_prob(stored), p(output).log_prob(x))
    torch.testing.assert_close(far.features(stored), p.features(x))
    u = torch.rand(1, 2, p.draws)
    torch.testing.assert_close(far.pick(output[None], u)[0, 0] + 5e6, p.pick(output[None], u)[0, 0])


def test_a_temperature_narrows_counts():
    p = Poisson().build(DataSpec(Layout.table(1)))
    output, uniforms = near([math.log(400.0)]).expand(4000, 1, 1), torch.rand(4000, 1, 1)
    for temperature in (0.0, 0.3, 1.0):
        drawn = p.pick(*p.temper(output, uniforms, temperature))
        assert drawn.std().item() == pytest.approx(20 * temperature, abs=1)
    assert torch.equal(p.pick(*p.temper(output, uniforms, 0.0)).unique(), torch.tensor([400.0]))


@pytest.mark.parametrize("part", BOTH, ids=label)
def test_what_is_no_count_is_refused_by_its_column(part):
    p, name = part.build(TWO), part.name()
    p.check(torch.tensor([[0.0, 3.0]]))
    for value, advice in ((2.5, "the gaussian likelihood"), (-1.0, "the gaussian"), (math.nan, "--data.missing set_")):
        wanted = f"^{name} likelihood: column 'b' holds {value:g}, wanted whole numbers from 0; try {advice}"
        with pytest.raises(ValueError, match=wanted):
            p.check(torch.tensor([[1.0, 3.0], [1.0, value]]))
    with pytest.raises(ValueError, match=f"^{name} likelihood: column 'b' holds categories"):
        part.build(DataSpec(Layout.table(2), columns=("a", "b"), categories=(0, 3)))
    assert part.misfit(Layout.image(1, 2, 2)) == "it needs a table of counts"


def test_a_dispersion_out_of_bounds_is_refused():
    with pytest.raises(ValueError, match="inverse_dispersion is 0"):
        NegativeBinomial(0.0)


# From a file of counts to counts again


def typed(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    """A file of words in documents of two topics."""
    random = np.random.default_rng(0)
    rates = np.array([[3.0, 0.2, 40.0], [0.1, 5.0, 60.0]])
    path = tmp_path_factory.mktemp("counts") / "words.csv"
    rows = random.poisson(rates[random.integers(0, 2, 150)])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["cat", "dog", "the"], *rows.tolist()])
    return path


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_a_file_of_counts_is_trained_measured_and_sampled(counts, tmp_path, capsys, name):
    folder = tmp_path / "run"
    assert typed("train", counts, "--likelihood", name, "--out", folder, "--diagnose", "false", *LITTLE) == 0
    found = Run.load(folder).diagnose(nll_samples=5, gap_steps=2)
    assert np.isfinite([found.estimates[key].value for key in ("elbo", "rate", "nll", "bits_per_dim")]).all()
    capsys.readouterr()
    assert typed("sample", folder, "--count", 20) == 0
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["cat", "dog", "the"] and all(cell.isdigit() for row in rows for cell in row)
    assert typed("reconstruct", folder, "--count", 3) == 0
    assert typed("sample", folder, "--mean", "true") == 0


def test_fractions_in_a_file_are_refused_by_line_and_column(tmp_path, capsys):
    path = tmp_path / "people.csv"
    path.write_text("age,visits\n" + "".join(f"{20 + i}{'.5' * (i == 7)},{i % 5}\n" for i in range(40)))
    assert typed("train", path, "--likelihood", "poisson", "--out", tmp_path / "run", *LITTLE) == 2
    said = capsys.readouterr().err
    assert "people.csv, line 9: poisson likelihood: column 'age' holds 27.5, wanted whole numbers from 0" in said


class Counting(torch.nn.Module):
    """A model of somebody else whose decoder gives log means."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(3, 4), torch.nn.Linear(2, 3)

    def forward(self, x):
        mu, logvar = self.encoder(x.log1p()).chunk(2, -1)
        return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar


def test_a_model_of_somebody_else_may_give_log_means():
    x, model = torch.poisson(torch.full((60, 3), 2.0)), Counting()
    found = diagnose(model, x, likelihood="poisson", nll_samples=0, gap_steps=0, samples=200)
    q = torch.distributions.Normal(*(lambda m, v: (m, (v / 2).exp()))(*model.encoder(x.log1p()).chunk(2, -1)))
    wanted = -Exact(model.decoder(q.sample((2000,))).exp()).log_prob(x).sum(-1).mean()
    assert found.estimates["distortion"].value == pytest.approx(wanted.item(), rel=0.02)
    assert any("log of the mean" in note for note in found.notes)
    with pytest.raises(ValueError, match=r"likelihood 'poisson': x holds \d\.5, wanted whole numbers from 0"):
        diagnose(model, x + 0.5, likelihood="poisson", nll_samples=0, gap_steps=0)
