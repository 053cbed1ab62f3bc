"""The trial of the delta-VAE with tiny settings: it runs, is taken up where it stopped, and draws its figure."""

from __future__ import annotations

import json
from types import SimpleNamespace

import torch
from torch.distributions import Independent, Normal

from buttress.core import Batch, Space
from buttress.data.lstm_text import LstmText
from buttress.experiments.papers._auxiliary_prior import auxiliary_rate
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
    plain, delta, causal = (DeltaVAE().recipe(arm, seed=1) for arm in ARMS)
    assert plain.decoder == delta.decoder == causal.decoder and plain.training == delta.training == causal.training
    assert delta.prior == causal.prior and delta.encoder == causal.encoder.replace(backward=True)
    assert DeltaVAE.full().hidden > DeltaVAE().hidden


def test_the_auxiliary_rate_is_a_kl():
    """z that is N(0.5, 0.2^2) for every x costs its KL to N(0, I) before the fit, and all but nothing after it."""
    q = Independent(Normal(torch.full((30, 4, 2), 0.5), 0.2), 2)
    model = SimpleNamespace(posterior=lambda x, given: q, observe=lambda x: x, space=Space((4, 2)))
    run = SimpleNamespace(
        model=model, splits=lambda: SimpleNamespace(train=_Thirty()), held_out=lambda: [Batch(torch.zeros(30))]
    )
    before, after = (auxiliary_rate(run, steps, hidden=4, seed=0) for steps in (0, 400))
    assert before > 1 and abs(after) < 0.3


class _Thirty:
    def read(self, index):
        return Batch(torch.zeros(30))

    def __len__(self):
        return 30
