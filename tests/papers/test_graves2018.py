"""The trial of associative compression networks with tiny settings: it runs, is taken up, and draws its figures."""

from __future__ import annotations

import json
import queue

import numpy as np
import pytest
import torch

from buttress.data.images import Images
from buttress.experiments import compare
from buttress.experiments.papers.graves2018 import ARMS, Graves2018, neighbour_accuracy


def one_after_the_other(work, tasks, jobs, watch, ended):
    """The runs of a comparison in this process, for others take seconds to start."""
    return {name: work(*task, queue.Queue()) for name, task in tasks.items()}, {}


def test_it_runs_resumes_and_draws(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    threads = torch.get_num_threads()
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (80, 8, 8), np.uint8), y=rng.integers(0, 3, 80))
    data = Images(str(tmp_path / "x.npz"), key="x", labels_key="y", held_out=0.4)
    tiny = Graves2018(data=data, latents=2, layers=2, channels=4, components=2, steps=3, batch_size=8, seeds=1)
    found = tiny.run(tmp_path / "out")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [run["arm"] for run in result["runs"]] == list(ARMS)
    assert all(run["unordered_cost"] is not None for run in result["runs"] if run["arm"] in ("acn", "random"))
    assert tiny.run(tmp_path / "out") == found
    torch.set_num_threads(threads)
    assert all(path.stat().st_size > 0 for path in tiny.figures(tmp_path / "out"))


def test_the_arms_differ_in_posterior_and_prior_alone():
    vae, mixture, acn, random = (Graves2018().recipe(arm) for arm in ARMS)
    assert vae.decoder == acn.decoder == random.decoder and vae.training == acn.training == mixture.training
    assert vae.encoder == acn.encoder and mixture.posterior == acn.posterior == random.posterior != vae.posterior
    assert random.prior == acn.prior.replace(neighbour="random")
    assert Graves2018.full().latents == 16


def test_accuracy_of_neighbours_is_that_of_chance_on_noise():
    labels = torch.arange(2000) % 10
    assert neighbour_accuracy(torch.randn(2000, 3), labels) == pytest.approx(0.1, abs=0.03)
