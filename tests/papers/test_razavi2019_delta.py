"""The trial of the delta-VAE with tiny settings: it runs, is taken up where it stopped, and draws its figure."""

from __future__ import annotations

import json

from buttress.data.lstm_text import LstmText
from buttress.experiments.papers.razavi2019_delta import ARMS, RESULT, DeltaVAE


def test_it_runs_resumes_and_draws(tmp_path):
    data = LstmText(words=20, hidden=8, train=100, held_out=40, test=1, length=4)
    tiny = DeltaVAE(data=data, hidden=6, steps=4, batch_size=10, auxiliary_steps=3, seeds=1)
    found = tiny.run(tmp_path)
    result = json.loads((tmp_path / RESULT).read_text())
    assert [run["arm"] for run in result["runs"]] == list(ARMS)
    assert found[1].held  # no example costs less than delta, however little was learned
    seen = (tmp_path / "none" / "seed-0" / "seen.json").stat().st_mtime_ns
    assert tiny.run(tmp_path) == found
    assert (tmp_path / "none" / "seed-0" / "seen.json").stat().st_mtime_ns == seen
    assert all(path.stat().st_size > 0 for path in tiny.figures(tmp_path))


def test_the_arms_differ_in_encoder_and_prior_alone():
    plain, *others = (DeltaVAE().recipe(arm, seed=1) for arm in ARMS)
    delta, causal, independent = others
    for one in others:
        assert one.decoder == plain.decoder and one.prior == delta.prior
        assert (
            one.training == delta.training and round(one.algorithm.first * one.training.steps) == plain.training.steps
        )
    assert delta.algorithm == causal.algorithm and delta.encoder == causal.encoder.replace(backward=True)
    assert independent.encoder == plain.encoder and independent.posterior.delta == DeltaVAE().delta
    assert DeltaVAE.full().hidden > DeltaVAE().hidden
