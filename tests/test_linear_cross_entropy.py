"""The cross-entropy of many outputs in pieces equals that of the whole table, and so do its derivatives."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from buttress.core import PAD
from buttress.likelihoods import categorical
from buttress.nn import linear_cross_entropy as module
from buttress.nn.linear_cross_entropy import linear_cross_entropy


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    """Two rows at a time, and a last piece that is shorter."""
    monkeypatch.setattr(module, "CHUNK", 2 * 7)


def numbers(dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    hidden, weight = torch.randn(5, 3, dtype=dtype), torch.randn(7, 3, dtype=dtype)
    shift = torch.randn(7, dtype=dtype) if bias else None
    made = [t if t is None else t.requires_grad_() for t in (hidden, weight, shift)]
    return *made, torch.tensor([0, 6, 3, 3, 1])


def plain(hidden, weight, bias, target, smoothing):
    return F.cross_entropy(F.linear(hidden, weight, bias), target, reduction="none", label_smoothing=smoothing)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_the_cross_entropy_of_the_whole_table(bias, smoothing):
    *inputs, target = numbers(bias=bias)
    wanted = [t for t in inputs if t is not None]
    ours, theirs = (f(*inputs, target, smoothing) for f in (linear_cross_entropy, plain))
    torch.testing.assert_close(ours, theirs)
    weights = torch.rand(5, dtype=torch.float64)
    grads = [torch.autograd.grad((loss * weights).sum(), wanted) for loss in (ours, theirs)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_second_derivatives_are_right(smoothing):
    *inputs, target = numbers()
    assert torch.autograd.gradgradcheck(lambda *t: linear_cross_entropy(*t, target, smoothing), inputs)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_needs_no_gradient_gets_none(frozen):
    *inputs, target = numbers()
    inputs[frozen].requires_grad_(False)
    others = [t for i, t in enumerate(inputs) if i != frozen]
    for twice in (False, True):
        found = torch.autograd.grad(linear_cross_entropy(*inputs, target).sum(), others, create_graph=twice)
        assert all(grad.requires_grad == twice for grad in found)


def test_under_autocast_products_are_rounded_and_sums_are_not():
    *inputs, target = numbers(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear_cross_entropy(*inputs, target)
        theirs = F.cross_entropy(F.linear(*inputs).float(), target, reduction="none")
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs)
    grads = [torch.autograd.grad(loss.sum(), inputs) for loss in (ours, theirs)]
    torch.testing.assert_close(*grads, rtol=0.02, atol=0.02)  # three digits of bfloat16
    assert all(grad.dtype == torch.float32 for grad in grads[0])


def test_sentences_are_scored_alike_either_way(monkeypatch):
    torch.manual_seed(0)
    project, hidden = nn.Linear(3, 7), torch.randn(2, 4, 3)
    tokens = torch.tensor([[4, 3, 2, PAD], [5, 8, 6, 2]])
    in_pieces = categorical.score_tokens(hidden, tokens, project)
    monkeypatch.setattr(categorical, "worth_it", lambda rows, outputs: False)
    torch.testing.assert_close(in_pieces, categorical.score_tokens(hidden, tokens, project))


def test_a_layer_that_is_more_than_linear_is_called_itself(monkeypatch):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    torch.manual_seed(0)
    project, hidden, tokens = Doubled(3, 7), torch.randn(1, 4, 3), torch.tensor([[4, 3, 2, 5]])
    found = categorical.score_tokens(hidden, tokens, project)
    torch.testing.assert_close(found, categorical.score_tokens(project(hidden), tokens))
