"""Of which log-likelihoods a remark is made."""

import math
from types import SimpleNamespace

import torch
from torch.nn import functional as F

from buttress.core.batch import Batch
from buttress.diagnostics.check_remarks import remarks
from buttress.diagnostics.protocol import Conditional

D = 64


def _said(log_likelihood):
    torch.manual_seed(0)
    x = torch.rand(8, D).clamp(0.01, 0.99)
    return remarks(Conditional(SimpleNamespace(log_likelihood=log_likelihood)), Batch(x), torch.zeros(1, 8, 2))


def test_a_cross_entropy_of_grey_values_is_no_averaged_density():
    logits = torch.linspace(-6, 6, D)

    def summed(x, z):
        target = x.expand(*z.shape[:2], D)
        return -F.binary_cross_entropy_with_logits(logits.expand_as(target), target, reduction="none").sum(-1)

    assert _said(summed) == ()


def test_an_averaged_density_of_grey_values_still_is():
    def averaged(x, z):
        return (-0.5 * (x - 0.5).square() / 0.09 - 0.5 * math.log(2 * math.pi * 0.09)).mean(-1).expand(z.shape[:2])

    assert "averaged" in _said(averaged)[0]
