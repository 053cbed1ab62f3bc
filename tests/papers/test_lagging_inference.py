import csv
import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from buttress.cli import main as cli
from buttress.data.lstm_text import LstmText
from buttress.experiments.claim import Claim
from buttress.experiments.papers import _posterior_means_page as report
from buttress.experiments.papers import lagging_inference as paper
from buttress.experiments.papers._posterior_means import PosteriorMeans, read_means
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.training.callbacks import Callback
from buttress.training.run import train

SMALL = paper.LaggingInference(
    LstmText(hidden=8, words=20, length=4, train=64, held_out=20, test=1),
    hidden=6, steps=6, batch_size=8, max_inner=3, epoch=3, every=2, sentences=12, grid_step=1.0, seeds=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lag")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "EFFORT", {"nll_samples": 4, "nll_examples": 5, "gap_steps": 2, "gap_examples": 4})
        return folder, SMALL.run(folder)


def test_both_arms_are_trained_alike_but_for_the_algorithm():
    plain, aggressive = (SMALL.recipe(arm, seed=1) for arm in paper.ARMS)
    assert aggressive.algorithm.max_inner == 3
    assert replace(aggressive, algorithm=plain.algorithm, remedies=plain.remedies) == plain
    assert not plain.posterior.bias  # its offset would be one for all sentences


def test_without_a_bias_features_that_say_nothing_give_the_prior():
    with_bias, without = (GaussianPosterior(dim=2, bias=bias).build(features=3) for bias in (True, False))
    assert without(torch.zeros(4, 3)).mean.abs().max() == 0 < with_bias(torch.zeros(4, 3)).mean.abs().max()
    assert torch.equal(without(torch.zeros(4, 3)).variance, torch.ones(4, 2))


def test_every_run_is_looked_at_on_the_same_sentences(done):
    folder, _ = done
    result = json.loads((folder / paper.RESULT).read_text())
    assert [(run["arm"], run["seed"]) for run in result["runs"]] == [
        ("none", 0), ("aggressive", 0), ("none", 1), ("aggressive", 1),
    ]  # fmt: skip
    rows = list(csv.DictReader((folder / paper.TRACE).read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6] * 4
    for run in result["runs"]:
        for look in read_means(folder / run["folder"]):
            assert len(look["encoder"]) == len(look["true"]) == 12
            assert look["grid_edge"] < 1e-6 and math.isfinite(look["nll"])
            assert look["elbo"] < 0 and look["size_true"] == pytest.approx(np.abs(look["true"]).mean())
            shifted = np.array(look["encoder"]) + 7.0
            assert look["apart_encoder"] == pytest.approx(np.abs(shifted - shifted.mean()).mean())
    start = [read_means(folder / f"{arm}/seed-0")[0] for arm in paper.ARMS]
    assert start[0] == start[1]


def test_looking_leaves_the_training_as_it_is(done, tmp_path):
    folder, _ = done
    blind = train(SMALL.recipe("aggressive", 0), tmp_path / "blind", progress=False)
    state = (folder / "aggressive/seed-0/weights.safetensors").read_bytes()
    assert (blind.folder / "weights.safetensors").read_bytes() == state


def test_a_half_finished_run_goes_on_and_sees_the_same(done, tmp_path):
    class StopAt(Callback):
        def on_step(self, step, total, latest):
            if step == 5:
                raise KeyboardInterrupt

    def looks():
        return [PosteriorMeans(tmp_path / "run", SMALL.every, SMALL.sentences, SMALL.grid_width, SMALL.grid_step)]

    recipe = SMALL.recipe("none", 0)
    recipe = replace(recipe, training=replace(recipe.training, checkpoint_every=3))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", progress=False, callbacks=[*looks(), StopAt()])
    train(recipe, tmp_path / "run", progress=False, resume=True, callbacks=looks())
    assert read_means(tmp_path / "run") == read_means(done[0] / "none/seed-0")


def test_a_finished_experiment_is_not_done_again(done, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", None)
    monkeypatch.setattr("buttress.training.run.Run.diagnose", None)
    assert SMALL.run(done[0]) == done[1]


def run_of(arm, trace, **final):
    looks = [
        {"step": s, "size_encoder": a, "size_true": b, "apart_encoder": a / 3, "apart_true": b} for s, a, b in trace
    ]
    return {"arm": arm, "seed": 0, "trace": looks, "final": {"rate": 0.0, "mutual_information": 0.0, **final}}


def test_the_marks_are_those_of_the_pilot():
    plain = run_of("none", [(0, 9.0, 1.0), (50, 0.1, 1.0), (100, 0.15, 1.0), (150, 9.0, 1.0)], rate=0.01, nll=39.6)
    held = run_of("aggressive", [(0, 0.0, 1.0), (150, 0.9, 1.0)], rate=0.4, mutual_information=0.4, nll=39.0)
    found = paper.claims([plain, held], epoch=100)
    assert [claim.held for claim in found] == [True] * 3 + [True, False] + [True] * 3
    assert [claim.median for claim in found] == pytest.approx([0.125, 0.125 / 3, 0.01, 0.9, 0.3, 0.4, 0.4, -0.6])
    lost = run_of("aggressive", [(150, 0.1, 1.0)], rate=0.01, mutual_information=None, nll=39.95)
    assert [claim.held for claim in paper.claims([plain, lost], epoch=100)] == [True] * 3 + [False] * 5


def test_a_claim_is_the_median_of_its_seeds_and_never_held_by_what_was_not_measured():
    assert Claim("x", "below", 1.0, (0.5, 9.0, 0.6)).held and not Claim("x", "above", 1.0, (0.5, 9.0, 0.6)).held
    lost = Claim("x", "below", 1.0, (0.5, math.nan))
    assert not lost.held and lost.plain()["median"] is None and lost.plain()["seen"] == [0.5, None]


def test_the_figure_shows_each_arm_and_each_moment(done):
    folder, _ = done
    figure = report.draw_figure(report.read(folder))
    ways, *moments = figure.axes
    assert len(moments) == 2 * 3  # of the four steps wanted, 6/8 and 6/4 are nearest to one look, or to two
    ends = [line.get_xydata()[-1] for line in ways.lines if line.get_marker() not in (".", "None")]
    last = [read_means(folder / f"{arm}/seed-{seed}")[-1] for arm in paper.ARMS for seed in (0, 1)]
    assert np.allclose(ends, [(row["size_true"], row["size_encoder"]) for row in last])
    assert ElementTree.parse(report.write_figure(folder)).getroot().tag.endswith("svg")
    assert (folder / "posterior_means.png").stat().st_size > 10_000


def test_the_command_passes_its_flags_on_and_says_what_held(done, tmp_path, monkeypatch, capsys):
    asked = []

    def run(self, folder, jobs, watch):
        asked.append(self)
        return done[1]

    monkeypatch.setattr(paper.LaggingInference, "run", run)
    monkeypatch.setattr(report, "write_figure", lambda folder: folder / "posterior_means.svg")
    words = ["paper", "lagging_inference", "--steps", "7", "--out", str(tmp_path), "--data.latent_dim", "1"]
    assert cli.main(words) == 0
    assert asked == [paper.LaggingInference(LstmText(latent_dim=1), steps=7)]
    out = capsys.readouterr().out
    assert out.count("did not hold") == sum(not claim.held for claim in done[1]) > 0
    assert f"written: {tmp_path}/posterior_means.svg" in out
    assert cli.main(["paper", "lagging_inference", "--every", "0"]) == 2
    assert "every is 0, wanted at least 1" in capsys.readouterr().err
    assert cli.main(["paper", "lagging_inference", "--data.words", "1"]) == 2
    assert "wanted at least 2 words" in capsys.readouterr().err
    assert asked == [paper.LaggingInference(LstmText(latent_dim=1), steps=7)]
