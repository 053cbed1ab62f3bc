"""Acoustic units from training to judgement, on made-up speech: contrastive codes, and what ABX finds at each stage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.core import Alignment, remedy
from buttress.data.made_speech import MadeSpeech
from buttress.data.opened import opened
from buttress.experiments.abx import judge, speaker_column, stages, tokens
from buttress.quality.abx import abx
from buttress.training.run import train

DATA = MadeSpeech(train=24, held_out=12, phones=5, speakers=2, bands=6, spoken=6)
CODES = "contrastive_codes:codes=6:dim=4:width=6:deeper=1:speaker=speaker:steps=2:negatives=3:hidden=5:first=0.5"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = remedy.apply(CODES, baseline(DATA, opened(DATA).spec))
    recipe = replace(recipe, training=replace(recipe.training, steps=8, batch_size=8, validate_every=4))
    return train(recipe, tmp_path_factory.mktemp("units") / "run", progress=False)


def test_made_speech_is_what_its_alignment_says():
    """Frames of a phone by one speaker are alike within the noise, in the middle of the phone."""
    data = replace(DATA, train=60)
    splits = data.open()
    again = data.open()
    assert torch.equal(splits.train.frames, again.train.frames)
    said = splits.train.alignment.at(torch.arange(60), torch.arange(200).double() * splits.spec.seconds)
    assert (said >= 0).sum(1).tolist() == splits.train.lengths.tolist()
    mine = splits.train.conditions["speaker"] == 0
    middle = (said[:, :-2] == said[:, 2:]) & (said[:, 1:-1] == 2)
    found = torch.cat(
        [splits.train.rows[i][1:-1][middle[i, : len(splits.train.rows[i]) - 2]] for i in mine.nonzero().flatten()]
    )
    assert len(found) > 50 and found.std(0).max() < 0.4 < splits.spec.std.min()  # the noise is 0.3


def test_every_stage_is_judged_by_the_segments_of_the_alignment(run):
    found = {one.name: one for one in judge(run, most=4)}
    assert list(found) == ["input", "before quantisation", "after quantisation", "codes", "context of the critic"]
    for one in found.values():
        assert 0 <= one.across.error <= 1 and 0 <= one.within.error <= 1 and one.within.triples > 0
    assert found["input"].within.error < 0.2
    sounds = tokens(run, stages(run)["input"])
    held_out = run.splits().held_out
    assert len(sounds) == len(held_out.alignment.label) and int(sounds.lengths.sum()) == int(held_out.lengths.sum())
    codes = tokens(run, stages(run)["codes"])
    assert int(codes.lengths.sum()) == int((-(-held_out.lengths // 2)).sum())
    around = tokens(run, stages(run)["codes"], context=True)
    assert len(around) < len(codes) and len(around.context.unique()) > 5
    whole = {one.name: one.within.error for one in judge(run, most=99, context=False)}
    assert whole["codes"] == abx(codes, False, "same").error


def test_segments_that_an_end_cuts_off_are_left_out(run):
    held_out, stage = run.splits().held_out, stages(run)["input"]
    before, kept, n = len(tokens(run, stage)), held_out.alignment, len(held_out)
    try:
        for late in (0.02, -0.02):  # the first of each begins before its recording, the last ends behind it
            held_out.alignment = kept.pieces(np.arange(n), np.full(n, late))
            assert len(tokens(run, stage)) == before - n
    finally:
        held_out.alignment = kept


def test_an_alignment_that_does_not_fit_is_told(run, capsys):
    held_out, abx_of_run = run.splits().held_out, ["abx", str(run.folder)]
    kept, n = held_out.alignment, len(held_out)
    one = replace(kept, label=np.zeros_like(kept.label))
    none = Alignment.of([[]] * n, kept.names)
    late = replace(kept, start=kept.start + 90, end=kept.end + 90)
    try:
        for other, why in (
            (one, "wanted two labels or more of each speaker"),
            (none, f"no segment of the {n} held-out recordings"),
            (late, "whether their times are seconds within the recordings"),
        ):
            held_out.alignment = other
            with pytest.raises(ValueError, match=why):
                judge(run)
    finally:
        held_out.alignment = kept
    assert cli.main([*abx_of_run, "--seed", "9" * 30]) == 2
    assert "below 2**62" in capsys.readouterr().err


def test_the_command_prints_the_errors_and_says_what_is_missing(run, capsys):
    assert cli.main(["abx", str(run.folder), "--most", "3"]) == 0
    said = capsys.readouterr().out
    assert "across speakers" in said and "after quantisation" in said
    for words, why in (
        (["--speaker", "age"], "no column age; the data have speaker"),
        (["--most", "1"], "wanted 2 or more"),
    ):
        assert cli.main(["abx", str(run.folder), *words]) == 2
        assert why in " ".join(capsys.readouterr().err.split())
    assert speaker_column(run) == "speaker"


def test_contrastive_codes_are_trained_in_two_stages_and_diagnosed(run):
    evidence = run.diagnose(nll_samples=0, gap_steps=0)
    found = evidence.estimates
    assert found["elbo"].value is None and found["contrastive_information/1"].value <= math.log(4)
    assert found["place_accuracy"].value > 0 and found["code_bits_per_second"].value <= 50 * math.log2(6) * 1.05


def test_negatives_of_another_pool_need_no_speaker():
    recipe = baseline(DATA, opened(DATA).spec)
    pools = [
        (
            remedy.apply(f"contrastive_codes{words}", recipe).critic.pool,
            remedy.apply(f"contrastive_codes{words}", recipe).critic.within,
        )
        for words in ("", ":speaker=speaker", ":speaker=speaker:across=true")
    ]
    assert pools == [("sequence", ""), ("batch", "speaker"), ("batch", "")]
    assert remedy.apply("contrastive_codes:commitment=0.02", recipe).posterior.commitment == 0.02
    with pytest.raises(ValueError, match="stride is 3, wanted 2, 4, 8"):
        remedy.apply("contrastive_codes:stride=3", recipe)
