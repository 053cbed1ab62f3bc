"""The oracle generator: it stays as it is, its NLL is the true one, and the claims are what the numbers say."""

import csv
import json
import math
import queue

import numpy as np
import pytest
import torch

from buttress.cli import main as cli
from buttress.core import EOS, DataSpec, Layout
from buttress.data.lstm_text import LstmText
from buttress.decoders.random_lstm import RandomLstm
from buttress.diagnostics.grid_posterior import grid_posterior
from buttress.experiments import compare
from buttress.experiments.claim import Claim
from buttress.experiments.papers import _oracle_page as report
from buttress.experiments.papers import semi_amortized as paper
from buttress.likelihoods.categorical import Categorical
from buttress.training.run import Run

DATA = LstmText(latent_dim=1, spread=0.0, hidden=8, words=20, length=4, train=64, held_out=20, test=1)
SMALL = paper.SemiAmortizedVae(DATA, hidden=6, steps=6, batch_size=8, refine_steps=3, every=3, grid_step=0.1, seeds=2)


def one_after_the_other(work, tasks, jobs, watch, ended):
    """The runs of a comparison in this process, for others take seconds to start."""
    return {name: work(*task, queue.Queue()) for name, task in tasks.items()}, {}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sa")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "run_all", one_after_the_other)
        found = SMALL.run(folder)
    torch.set_num_threads(threads)
    return folder, found


def result_in(folder):
    return json.loads((folder / paper.RESULT).read_text())


def test_only_inference_learns_and_the_generator_stays_as_it_is(done):
    folder, _ = done
    true = {f"decoder.network.{name}": weight for name, weight in DATA.generator().state_dict().items()}
    for run in result_in(folder)["runs"]:
        found = Run.load(folder / run["folder"])
        weights = found.model.state_dict()
        assert len(true) == 8 and all(torch.equal(weights[name], weight) for name, weight in true.items())
        assert [n for n, p in found.model.named_parameters() if not p.requires_grad] == list(true)
    moved = [Run.load(folder / f"learned/none/seed-{seed}").model.inference.linear.weight for seed in (0, 1)]
    assert not torch.equal(*moved)


def test_every_arm_is_told_at_the_q_it_ends_with(done):
    folder, _ = done
    result = result_in(folder)
    assert [(run["arm"], run["seed"]) for run in result["runs"]] == [(a, s) for s in (0, 1) for a in paper.ARMS]
    for run in result["runs"]:
        assert run["nelbo"] > result["truth"]["nll"] - 0.1  # a bound, but for the noise of a few samples
        start = {"VAE": "amortised", "SVI": "3 gradient steps of 0.03125", "SA-VAE": "the encoder's q"}[run["arm"]]
        assert start in run["inference"]
        assert (run["nelbo_encoder"] is None) == (run["arm"] == "SVI")
        assert (run["nelbo_refined"] == run["nelbo"]) == (run["arm"] != "VAE")
    rows = list(csv.DictReader((folder / paper.TRACE).read_text().splitlines()))
    steps = {arm: [int(row["step"]) for row in rows if row["arm"] == arm] for arm in paper.ARMS}
    assert steps == {"VAE": [3, 6] * 2, "SVI": [1] * 2, "SA-VAE": [3, 6] * 2}


def test_the_true_nll_is_what_samples_of_the_prior_say(done):
    """The grid, and the mean of p(x|z) over many z from the generator's own p(z), which is also that of the models."""
    x, generator = DATA.open().held_out.batch(torch.arange(20)), DATA.generator()
    z = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(generator.log_prior(z), torch.distributions.Normal(0.0, 1.0).log_prob(z)[:, 0])
    p = torch.stack([generator.log_prob(row.expand(len(z), -1), z).double().exp() for row in x])
    brute, errors = p.mean(1).log(), p.std(1) / p.mean(1) / len(z) ** 0.5
    grid = grid_posterior(SMALL.recipe(1).model(DATA.open().spec), [x], width=6.0, step=0.1).log_marginal
    assert ((grid - brute).abs() < 4 * errors).all() and errors.max() < 0.02
    truth = result_in(done[0])["truth"]
    assert truth["nll"] == pytest.approx(-grid.mean().item(), abs=1e-6) and truth["grid_edge"] < 1e-6


def test_a_finished_experiment_is_not_done_again(done, monkeypatch):
    folder, found = done
    before = (folder / paper.RESULT).read_text()
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    for step in ("training.engine.Engine.run", "training.run.Run.diagnose", "diagnostics.estimators.rate.bound"):
        monkeypatch.setattr(f"buttress.{step}", None)
    monkeypatch.setattr("buttress.diagnostics.grid_posterior.grid_posterior", None)
    assert SMALL.run(folder) == found and (folder / paper.RESULT).read_text() == before


def runs(**arms):
    names = dict(zip(("vae", "svi", "sa"), paper.ARMS, strict=True))
    return [{"arm": names[a], "seed": s, "nelbo": v} for a, values in arms.items() for s, v in enumerate(values)]


def test_the_claims_are_those_of_the_paper():
    found = paper.claims(runs(vae=[21.77, 21.0], svi=[22.33, 21.2], sa=[20.13, 20.5]), truth=19.63)
    assert [claim.held for claim in found] == [True] * 3
    assert [claim.seen for claim in found] == [
        pytest.approx((1.64, 0.5)), pytest.approx((0.5, 0.87)), pytest.approx((0.56, 0.2)),
    ]  # fmt: skip
    worse = paper.claims(runs(vae=[20.4], svi=[20.3], sa=[20.35]), truth=19.6)
    assert [claim.held for claim in worse] == [False] * 3
    assert worse[2].seen == pytest.approx((-0.1,))  # SVI below VAE
    lost = paper.claims(runs(vae=[21.0, 21.0], svi=[22.0, 22.0], sa=[20.0]), truth=19.6)
    assert [claim.held for claim in lost] == [False] * 3 and math.isnan(lost[2].seen[1])


def test_the_figure_shows_every_run_above_the_truth(done):
    folder, _ = done
    figure = report.draw_figure(*report.read(folder))
    ends = sorted(float(line.get_ydata()[-1]) for line in figure.axes[0].lines)
    rows = {
        (r["arm"], r["seed"]): float(r["nelbo"])
        for r in csv.DictReader((folder / paper.TRACE).read_text().splitlines())
    }
    assert np.allclose(ends, sorted([*rows.values(), result_in(folder)["truth"]["nll"]]))
    assert report.write_figure(folder).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"steps": 0}, "steps is 0, wanted at least 1"),
        ({"refine_steps": 0}, "refine_steps is 0, wanted at least 1"),
        ({"data": LstmText(latent_dim=1)}, "spread 2.0, wanted 1 and 0"),
        ({"grid_step": 7.0}, "wanted 0 < step <= width"),
    ],
)
def test_what_would_fail_late_or_mislead_is_refused_early(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        paper.SemiAmortizedVae(**settings)


def test_the_command_passes_its_flags_on_and_says_what_held(tmp_path, monkeypatch, capsys):
    asked = []

    def run(self, folder, jobs, watch):
        asked.append((self, jobs))
        return [Claim("one", "above", 0.3, (0.5,)), Claim("other", "below", 0.7, (0.9,))]

    monkeypatch.setattr(paper.SemiAmortizedVae, "run", run)
    monkeypatch.setattr(report, "write_figure", lambda folder: folder / report.PICTURE)
    assert cli.main(["paper", "semi_amortized", "--steps", "7", "--jobs", "2", "--out", str(tmp_path)]) == 0
    assert asked == [(paper.SemiAmortizedVae(steps=7), 2)]
    out = capsys.readouterr().out
    assert out.count("did not hold") == 1 and f"written: {tmp_path}/nelbo.png" in out
    assert cli.main(["paper", "semi_amortized", "--data.latent_dim", "2"]) == 2
    assert "latent_dim 2" in capsys.readouterr().err


def decoder(words=3, length=2, dims=1):
    spec = DataSpec(Layout.text(words + 4, longest=length + 1))
    return RandomLstm(hidden=5).build(spec, (dims,), Categorical().build(spec))


def test_the_generator_as_a_decoder_is_the_generator():
    part = LstmText(latent_dim=1, spread=0.0, hidden=5, words=3, length=2)
    every = torch.cat([torch.cartesian_prod(*[torch.arange(4, 7)] * 2), torch.full((9, 1), EOS)], 1)
    z = torch.tensor([[0.7], [-1.0]])
    p = decoder()(z[:, None]).log_prob(every).exp()
    torch.testing.assert_close(p.sum(1), torch.ones(2))
    true = torch.stack([part.generator().log_prob(every, at.expand(9, 1)) for at in z])
    torch.testing.assert_close(p.log(), true, rtol=0, atol=1e-6)
    assert part.decoder() == RandomLstm(hidden=5)


def test_what_the_decoder_writes_is_what_it_says_and_the_loop_gives_the_same():
    p = decoder(words=6, length=5)(torch.linspace(-2, 2, 50)[:, None])
    drawn = []
    for sample in (p.sample, p.sample_naively):
        torch.manual_seed(0)
        drawn.append(sample((3,)))
    assert torch.equal(*drawn) and torch.isfinite(p.log_prob(drawn[0])).all()
    for wrong in ([[4, 5, 4, 5, EOS, 0]], [[4, 5, 3, 5, 6, EOS]], [[4, 5, 6, EOS]]):
        with pytest.raises(ValueError, match="not 5 words and EOS, which is all that it writes"):
            p.log_prob(torch.tensor(wrong))


def test_gradients_of_gradients_through_the_generator_are_right():
    model, x = decoder(words=6, length=5), torch.tensor([[4, 5, 6, 7, 8, EOS]])

    def slope(z):
        return torch.autograd.grad(model(z).log_prob(x).sum(), z, create_graph=True)[0]

    at = torch.tensor([[0.3]], requires_grad=True)
    (curvature,) = torch.autograd.grad(slope(at).sum(), at)
    ends = [slope((at + e).detach().requires_grad_()).item() for e in (1e-2, -1e-2)]
    assert curvature.item() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)
