"""Bits for each second of sound, against a count by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Categorical, Independent

from buttress.core import Batch
from buttress.diagnostics.diagnose import diagnose
from buttress.distributions.point import Point

CODES = torch.tensor([[0, 1, 0, 3], [2, 0, 3, 3]])
"""Two examples of 8 and 3 places of x, a code for every two: of the second one two codes count."""
P = torch.tensor([0.5, 0.25, 0.125, 0.125])


def model(**more):
    return SimpleNamespace(
        prior=lambda: Independent(Categorical(P.expand(4, 1, 4)), 2),
        posterior=lambda x: Independent(Point(CODES[x[:, 0].long()][..., None]), 2),
        log_likelihood=lambda x, z: torch.zeros(z.shape[:2]).double(),
        space=SimpleNamespace(shape=(4, 1), classes=4),
        **more,
    )


def measured(asked):
    x = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 8, 1).contiguous()
    x[1, 3:] = 0
    batch = Batch(x[..., 0], {"lengths": torch.tensor([8, 3])})
    settings = {"nll_samples": 0, "gap_steps": 0, "kind": "table", "dims": 0}
    return diagnose(asked, [batch], seconds=0.5, **settings).estimates


def test_codes_within_the_true_length_are_counted_by_hand():
    found = measured(model(encoder=SimpleNamespace(places=(4,), stride=2)))
    share = [3 / 6, 1 / 6, 1 / 6, 1 / 6]  # of 0 1 0 3 | 2 0
    entropy = -sum(p * math.log2(p) for p in share)
    seconds = (8 + 3) * 0.5
    assert found["code_bits_per_second"].value == pytest.approx(6 / seconds * entropy)
    assert found["bits_per_second"].value == pytest.approx((1 + 2 + 1 + 3 + 3 + 1) / seconds)
    each = [(2 * -math.log2(share[0]) + 2 * math.log2(6)) / 4.0, (math.log2(6) + 1) / 1.5]
    mean, d = 6 / seconds * entropy, (4.0, 1.5)
    error = math.sqrt(sum((t * (e - mean)) ** 2 for t, e in zip(d, each, strict=True))) / seconds
    assert found["code_bits_per_second"].error == pytest.approx(error)
    assert found["code_bits_per_second"].note == "1.091 codes a second"


def test_all_codes_are_counted_where_the_model_does_not_say_what_they_stand_for():
    found = measured(model())
    share = [3 / 8, 1 / 8, 1 / 8, 3 / 8]
    entropy = -sum(p * math.log2(p) for p in share)
    assert found["code_bits_per_second"].value == pytest.approx(8 / 5.5 * entropy)
    assert found["bits_per_second"].value == pytest.approx(found["rate"].value * 2 / math.log(2) / 5.5)
