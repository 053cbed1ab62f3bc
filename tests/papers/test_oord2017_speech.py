"""The trial of van den Oord et al. 2017 on speech: a tiny one runs, is taken up again, and draws."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from queue import Queue

import pytest
import torch

from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.made_speech import MadeSpeech
from buttress.experiments import compare
from buttress.experiments.papers import oord2017_speech
from buttress.experiments.papers._oord2017_speech_judge import told
from buttress.experiments.papers.oord2017_speech import ARMS, Oord2017Speech
from buttress.quality.frame_classifier import fit_frame_classifier

TINY = Oord2017Speech(
    data=MadeSpeech(train=24, held_out=12, phones=5, speakers=2, bands=6, spoken=6),
    stride=2, codes=6, dim=4, width=4, layers=2, steps=10, batch_size=8, probed=20, judged=6, taught=3, seeds=1,
)  # fmt: skip


def one_after_the_other(run, tasks, jobs, watch, ended):
    """In this process, which is faster than starting others."""
    return {name: run(*task, Queue()) for name, task in tasks.items()}, {}


@pytest.mark.slow
def test_a_tiny_trial_runs_is_taken_up_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    found = TINY.run(tmp_path)
    assert len(found) == 9 and all(math.isfinite(claim.median) for claim in found)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [run["arm"] for run in result["runs"]] == list(ARMS)
    assert "other_voice" in result["runs"][0] and "other_voice" not in result["runs"][1]
    monkeypatch.setattr(oord2017_speech, "measure", None)  # nothing is measured twice
    assert TINY.run(tmp_path) == found
    assert [path.name for path in TINY.figures(tmp_path)] == ["arms.png", "codes.csv", "codes.png", "conversions.png"]
    assert all(path.stat().st_size > 3000 for path in tmp_path.glob("*.png"))


def test_a_crop_is_told_by_all_its_frames():
    """Half of the frames of each speaker are the other's."""
    torch.manual_seed(0)
    who = torch.arange(40) % 2
    frames = who[:, None, None] + 2.0 * torch.randn(40, 60, 1)
    judge = fit_frame_classifier(frames, who[:, None].expand(40, 60), 2, steps=80, width=8)
    assert (told(judge, frames) == who).double().mean() > 0.9


def test_data_that_can_not_be_judged_are_refused():
    with pytest.raises(ValueError, match="got table data without alignment, wanted speech and what is said when"):
        replace(TINY, data=LinearGaussianData(n=50)).recipe()
    with pytest.raises(ValueError, match="one speaker in the data, wanted two or more"):
        replace(TINY, data=MadeSpeech(train=8, held_out=4, phones=5, speakers=1, bands=6, spoken=3)).recipe()
    with pytest.raises(ValueError, match=r"oord2017_speech: layers is 0, wanted at least 1"):
        replace(TINY, layers=0)
