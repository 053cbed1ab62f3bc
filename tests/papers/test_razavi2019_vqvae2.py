"""The trial of VQ-VAE-2 at toy size: its arms, its resumption, its files, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.experiments.papers import razavi2019_vqvae2 as paper
from buttress.experiments.papers._dcgan import train_dcgan


def bars(path):
    """Bars that stand or lie, which is their label."""
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 60, (240, 8, 8), np.uint8), rng.integers(0, 2, 240)
    for picture, lies, at in zip(pictures, labels, rng.integers(0, 6, 240), strict=True):
        (picture if lies else picture.T)[at : at + 2] = 255
    np.savez(path, x=pictures, y=labels)
    return Images(str(path), key="x", labels_key="y", held_out=0.3)


@pytest.mark.slow
def test_a_small_trial_runs_is_taken_up_again_and_draws_its_figures(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(paper, "EFFORT", {**paper.EFFORT, "mi_examples": 20})
    trial = paper.Razavi2019(
        bars(tmp_path / "bars.npz"), codes=4, dim=2, widths=(4,), steps=60, first=0.8, batch_size=16, judged=40, pool=2,
        classifier_steps=20, seeds=1, learning_rate=0.01,
    )  # fmt: skip
    found = trial.run(tmp_path / "out")
    result = json.loads((tmp_path / "out" / paper.RESULT).read_text())
    assert set(result["measured"]) == {"coarse", "one", "two", "three", "dcgan", "real"}
    two, three, real = (result["measured"][arm][0] for arm in ("two", "three", "real"))
    assert {"perplexity_top", "perplexity_bottom", "attention"} <= {*two} and "perplexity_middle" in three
    assert real["accuracy"] > 0.6 and 0 <= two["precision"] <= 1
    before = (tmp_path / "out" / paper.RESULT).read_text()
    assert trial.run(tmp_path / "out") == found and (tmp_path / "out" / paper.RESULT).read_text() == before
    assert [path.name for path in trial.figures(tmp_path / "out")] == ["samples.png", "rejection.png", "levels.png"]


def test_the_coarse_arm_has_the_small_map_and_the_decoder_of_the_others(own_cache):
    trial = paper.Razavi2019()
    coarse, other = trial.recipe(coarse=True), trial.recipe()
    assert (coarse.encoder.widths, other.encoder.widths) == ((32, 64, 64), (32, 64))
    assert coarse.decoder == other.decoder and coarse.training == other.training


def test_what_cannot_be_judged_is_refused_before_training(tmp_path, own_cache):
    with pytest.raises(ValueError, match="pool is 1, wanted at least 2"):
        paper.Razavi2019(pool=1)
    with pytest.raises(ValueError, match="no classes to condition on"):
        paper.Razavi2019(LinearGaussianData(n=50)).run(tmp_path)
    with pytest.raises(ValueError, match=r"images are held out, wanted 900 to judge"):
        paper.Razavi2019(bars(tmp_path / "bars.npz")).run(tmp_path)
    assert paper.Razavi2019.full().codes == 512


def test_a_gan_learns_the_classes_of_two_colours():
    labels = torch.arange(64) % 2
    images = (0.1 + 0.8 * labels.view(-1, 1, 1, 1).float()).expand(64, 1, 8, 8)
    drawn = train_dcgan(images, labels, 2, steps=150, batch_size=16, width=4).draw(labels).mean((1, 2, 3))
    assert drawn[labels == 1].min() > drawn[labels == 0].max() + 0.1
