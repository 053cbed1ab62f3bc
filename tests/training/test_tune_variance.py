"""Tuning the variance of a trained Gaussian likelihood alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import small
import torch

from buttress.cli.main import main
from buttress.experiments.tune_variance import tune_variance
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.training.run import Run, train


def trained(tmp_path, likelihood, recipe=None):
    return train(replace(recipe or small.joint(), likelihood=likelihood), tmp_path / "before", progress=False)


def elbo(run, variance, x, z):
    """Of the same networks at another variance, with these samples of z."""
    likelihood = replace(run.recipe.likelihood, variance=variance, learned="fixed").build(run.spec)
    p = run.model.decode(z)
    return likelihood(p.parameters).log_prob(x).mean().item()


@pytest.mark.parametrize("learned", ["fixed", "scalar", "optimal"])
def test_no_other_variance_of_the_same_networks_is_better(tmp_path, learned):
    run = trained(tmp_path, GaussianLikelihood(variance=3.0, learned=learned))
    found = tune_variance(run, tmp_path / "after")
    assert found.run.recipe.likelihood.learned == "fixed" and found.constant == ()
    splits = run.splits()
    x = run.model.observe(splits.train.batch(torch.arange(len(splits.train))))
    torch.manual_seed(0)
    with torch.no_grad():
        z = run.model.posterior(x).sample((300,))
        best = elbo(run, found.variance, x, z)
        assert best > max(elbo(run, found.variance * factor, x, z) for factor in (0.9, 1.1))
    same = {k: v for k, v in run.model.state_dict().items() if k in found.run.model.state_dict()}
    assert all(torch.equal(found.run.model.state_dict()[k], v) for k, v in same.items())
    assert found.after.value - found.before.value == pytest.approx(found.gain.value, abs=4 * found.gain.error + 1e-3)
    again = Run.load(tmp_path / "after")
    assert again.progress.finished and again.recipe == found.run.recipe
    assert train(again.recipe, tmp_path / "after", resume=True, progress=False).recipe == again.recipe


def test_constant_columns_are_named_and_not_counted(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    rows = [f"{a},{b},2.5,{c}\n" for a, b, c in x]
    (tmp_path / "table.csv").write_text("".join(["a,b,still,c\n", *rows]))
    path = str(tmp_path / "table.csv")
    assert main(["train", path, "--training.steps", "5", "--likelihood.learned", "fixed", "--likelihood.variance", "9",
                 "--out", str(tmp_path / "run"), "--nll_samples", "0", "--gap_steps", "0"]) == 0  # fmt: skip
    found = tune_variance(Run.load(tmp_path / "run"), tmp_path / "tuned")
    assert found.constant == ("still",)
    assert (
        0.5 < found.variance < 2.0
    )  # three standardised columns, of which five steps explain nothing; with four: less


def test_lengths_are_minded(tmp_path):
    """Frames beyond an example's true length are none of its sites."""
    likelihood = GaussianLikelihood(variance=2.0, learned="fixed")
    from buttress.core import DataSpec, Layout

    module = likelihood.build(DataSpec(Layout.frames(2, 4)))
    x = torch.ones(1, 4, 2)
    valid = torch.tensor([[True, True, True, False]])
    squares, sites = module.squares(torch.zeros(1, 1, 4, 2), x, valid)
    assert (squares.item(), sites.item()) == (6.0, 6.0)


def test_what_has_no_such_variance_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a variance for every site"):
        tune_variance(trained(tmp_path, GaussianLikelihood(learned="per_site")), tmp_path / "no")
    np.save(tmp_path / "bits.npy", (np.random.default_rng(0).random((60, 4, 4)) < 0.5).astype("uint8") * 255)
    assert main(["train", str(tmp_path / "bits.npy"), "--training.steps", "1", "--out", str(tmp_path / "bits"),
                 "--nll_samples", "0", "--gap_steps", "0"]) == 0  # fmt: skip
    run = Run.load(tmp_path / "bits")
    assert isinstance(run.recipe.likelihood, Bernoulli)
    with pytest.raises(ValueError, match="its likelihood is bernoulli"):
        tune_variance(run, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_the_command_says_what_was_gained(tmp_path, capsys):
    run = trained(tmp_path, GaussianLikelihood(variance=30.0, learned="fixed"))
    assert main(["tune-variance", str(run.folder)]) == 0
    printed = capsys.readouterr().out
    assert "variance: 30 -> " in printed and "gain " in printed
    assert Run.load(tmp_path / "before-tuned").recipe.likelihood.variance < 30
    assert main(["tune-variance", str(run.folder)]) == 2 and "holds a run already" in capsys.readouterr().err
    assert math.isfinite(
        Run.load(tmp_path / "before-tuned").diagnose(nll_samples=0, gap_steps=0).estimates["elbo"].value
    )
