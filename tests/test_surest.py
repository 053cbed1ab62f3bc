"""Samples that a classifier is surest of: the classes asked for, in the order asked for, without the junk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress import api
from buttress.experiments import surest as module
from buttress.experiments.surest import surest_samples


@pytest.fixture
def run(tmp_path, own_cache):
    """A conditional model of black and white images, hardly trained."""
    labels = np.arange(80) % 2
    x = np.random.default_rng(0).integers(0, 30, (80, 1, 8, 8)) + 220 * labels[:, None, None, None]
    data = [{"image": torch.tensor(x, dtype=torch.uint8), "label": torch.tensor(labels)}]
    return api.train(data, tmp_path / "run", condition="embedding", steps=2, batch_size=8, progress=False)


def test_of_each_class_the_samples_that_look_like_it_are_kept_in_the_order_asked_for(run, monkeypatch):
    asked = torch.tensor([1, 0, 0, 1, 1, 0])

    def drawn(run, count, seed, given, **settings):
        assert count == 18 and torch.equal(given["label"], asked.repeat(3))
        x = given["label"].float().view(-1, 1, 1, 1).expand(18, 1, 8, 8).clone()
        x[:6] = 1 - x[:6]  # the first draw of each is of the other class
        return x

    monkeypatch.setattr(module, "sampled", drawn)
    kept = surest_samples(run, 6, 3, {"label": asked})
    assert torch.equal(kept.mean((1, 2, 3)), asked.float())


def test_one_draw_each_is_plain_sampling(run):
    given = {"label": torch.tensor([0, 1])}
    assert torch.equal(surest_samples(run, 2, 1, given, seed=3), module.sampled(run, 2, 3, given=given))


def test_runs_without_a_label_are_refused(run, monkeypatch):
    with pytest.raises(ValueError, match="best_of is 0"):
        surest_samples(run, 2, 0, {})
    monkeypatch.setattr(run, "spec", replace(run.spec, given=()))
    with pytest.raises(ValueError, match="reads no label"):
        surest_samples(run, 2, 2, {})
