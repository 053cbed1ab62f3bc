"""The experiment of Lucas 2019, small: the linear fit, arms, claims, result file and pictures."""

import math
import queue

import numpy as np
import pytest
import torch

from buttress.data.images import Images
from buttress.diagnostics.spectrum import Spectrum
from buttress.experiments import compare
from buttress.experiments.papers._lucas2019_linear import fit
from buttress.experiments.papers.lucas2019 import Lucas2019
from buttress.runtime.plain_data import load_json


def one_after_the_other(work, tasks, jobs, watch, ended):
    """The runs of a comparison in this process, for others take seconds to start."""
    return {name: work(*task, queue.Queue()) for name, task in tasks.items()}, {}


@pytest.mark.parametrize("variance", [0.3, 1.0, 6.0])
def test_the_fit_of_a_linear_vae_ends_at_the_optimum_of_ppca(variance):
    values = torch.tensor([5.0, 2.5, 1.5, 0.7, 0.5, 0.2, 0.1, 0.1]).double()
    spectrum = Spectrum(torch.zeros(8), values, torch.eye(8).double(), 100)
    found = fit(values, latents=4, variance=variance, seed=1)
    assert found.elbo == pytest.approx(spectrum.log_marginal(4, variance), abs=1e-4)
    assert found.active == min(4, spectrum.above(variance)) and found.slope < 1e-3


def test_the_trial_leaves_a_result_with_every_arm_and_pictures(tmp_path, monkeypatch, own_cache):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    np.save(tmp_path / "grey.npy", np.random.default_rng(0).integers(0, 256, (90, 4, 4), np.uint8))
    trial = Lucas2019(
        Images(str(tmp_path / "grey.npy")),
        variances=(0.1, 0.01),
        hidden=(6,),
        latents=2,
        steps=12,
        batch_size=8,
        seeds=1,
    )
    threads = torch.get_num_threads()
    found = trial.run(tmp_path / "out")
    assert trial.run(tmp_path / "out") == found  # taken up again
    torch.set_num_threads(threads)
    result = load_json(tmp_path / "out" / "result.json")
    assert [one["says"] for one in result["claims"]] == [one.says for one in found]
    assert all(len(one.seen) == 1 and math.isfinite(one.seen[0]) for one in found)
    arms = {run["arm"] for run in result["runs"]}
    assert arms == {
        "fixed-0.1",
        "fixed-0.01",
        "learned-10",
        "learned-0.1",
        "learned-0.01",
        "weak",
        "weak, annealed",
        "linear",
    }
    assert result["linear"]["log_units"] == pytest.approx(16 * math.log(256))
    fixed = next(run for run in result["runs"] if run["arm"] == "fixed-0.1")
    assert math.isfinite(fixed["tuned_elbo"]) and fixed["tuned_variance"] > 0
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in trial.figures(tmp_path / "out"))


def test_variances_fall():
    with pytest.raises(ValueError, match="falling"):
        Lucas2019(variances=(0.01, 0.1))
