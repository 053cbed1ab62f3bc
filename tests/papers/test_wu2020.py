"""The trial of Wu, Chen and Lee 2020: a tiny one runs from end to end, is taken up again, and draws its figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.made_speech import MadeSpeech
from buttress.experiments.papers import wu2020
from buttress.experiments.papers._wu2020_judge import Spoken, VoiceJudges
from buttress.experiments.papers.wu2020 import ARMS, Wu2020

SPEECH = MadeSpeech(train=24, held_out=8, phones=5, speakers=2, bands=6, spoken=4)
TINY = Wu2020(
    data=SPEECH,
    others=replace(SPEECH, voices=1),
    codes=8,
    dim=4,
    width=6,
    steps=4,
    batch_size=4,
    conversions=6,
    judge_steps=5,
    probed=8,
    seeds=1,
)


@pytest.mark.slow
def test_a_tiny_trial_runs_is_taken_up_and_draws(tmp_path, monkeypatch):
    found = TINY.run(tmp_path)
    assert len(found) == 11 and all(math.isfinite(claim.median) for claim in found)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [run["arm"] for run in result["runs"]] == list(ARMS)
    for run in result["runs"]:
        assert all(0 <= run[name] <= 1 for name in ("target", "source_unseen", "content", "speaker_kept", "used/top"))
        assert run["l1"] > 0 and ("used/middle" in run) == (run["arm"] != "no_skips")
        assert ("rate/speaker" in run) == (run["arm"] == "vqvc")
    monkeypatch.setattr(wu2020, "judge", None)  # nothing is judged twice
    assert TINY.run(tmp_path) == found
    arms, picture = TINY.figures(tmp_path)  # made-up speech cannot be heard
    assert min(arms.stat().st_size, picture.stat().st_size) > 5000


def test_frames_of_a_run_vote_on_what_is_said_and_those_of_a_recording_on_who_speaks():
    x = torch.tensor([[[0.0, 1.0], [9.0, 0.0], [0.0, 3.0], [0.0, 3.0]]])
    side = Spoken(x, torch.tensor([3]), torch.tensor([0]), torch.tensor([[0, 0, 1, -1]]))
    judges = VoiceJudges(torch.nn.Identity(), torch.nn.Identity())  # the larger number of a frame is its class
    assert judges.content_kept(x, side) == 1.0
    assert judges.content_kept(x.flip(-1), side) == 0.0
    assert judges.speakers(x, side.inside).tolist() == [0]
    assert judges.speakers(x[:, 2:], side.inside[:, 2:]).tolist() == [1]


def test_data_that_do_not_say_what_is_said_are_refused():
    with pytest.raises(ValueError, match="got table data and no column of content, wanted frames of speech"):
        replace(TINY, data=LinearGaussianData(n=50)).recipe()
    with pytest.raises(ValueError, match=r"wu2020: steps is 0, wanted at least 1"):
        replace(TINY, steps=0)
    with pytest.raises(ValueError, match="no condition 'who'"):
        replace(TINY, speaker="who").recipe()
