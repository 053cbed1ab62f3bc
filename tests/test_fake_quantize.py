"""Fake quantisation against integers, and layers of rounded numbers against the layers they were."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from buttress.nn.attention import Attend
from buttress.nn.fake_quantize import fake_quantize, fake_quantize_rows, levels_of
from buttress.nn.layers import Product
from buttress.nn.quantized.apply import left_whole, quantize
from buttress.nn.quantized.ranges import MOMENTUM


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("low", "high"), [(-1.3, 2.9), (0.0, 4.0), (-3.0, 0.0), (0.7, 2.0), (-2.0, -0.1)])
def test_the_error_is_at_most_half_a_step_and_zero_is_kept(bits, low, high):
    levels = levels_of(torch.tensor(low).double(), torch.tensor(high).double(), bits)
    x = torch.linspace(min(low, 0), max(high, 0), 1001, dtype=torch.float64)
    y = fake_quantize(x, levels)
    assert (y - x).abs().max() <= levels.step / 2 + 1e-12
    assert len(y.unique()) <= 2**bits
    assert fake_quantize(torch.zeros(1).double(), levels) == 0


def test_the_gradient_is_one_inside_and_zero_outside_also_when_it_is_differentiated_again():
    x = torch.tensor([-5.0, -0.9, 0.1, 1.9, 5.0], requires_grad=True)
    y = fake_quantize(x, levels_of(torch.tensor(-1.0), torch.tensor(2.0), 8))
    (first,) = torch.autograd.grad((y * x).sum(), x, create_graph=True)  # y + x at most
    torch.testing.assert_close(first, y + x * torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]))
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [0.0, 2.0, 2.0, 2.0, 0.0]


def test_rows_of_their_own_range_err_less_than_all_together():
    w = torch.randn(6, 50) * torch.logspace(-2, 1, 6)[:, None]
    together = fake_quantize(w, levels_of(w.min(), w.max(), 8))
    by_row = fake_quantize_rows(w, 8)
    assert ((by_row - w).square().mean(1) < (together - w).square().mean(1))[:-1].all()
    along = fake_quantize_rows(w.T.contiguous(), 8, dim=1)
    torch.testing.assert_close(along, by_row.T)
    assert torch.equal(fake_quantize_rows(torch.zeros(2, 3), 8), torch.zeros(2, 3))


def whole_numbers(x, levels):
    """What a processor of integers would hold: uint8, and the number that stands for zero."""
    q = torch.clamp((x / levels.step).round(), levels.first, levels.last) - levels.first
    assert q.min() >= 0 and q.max() <= 255
    return q.to(torch.int64), (-levels.first).to(torch.int64)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_linear_layer_equals_one_of_integers(bits):
    net = nn.Sequential(nn.Linear(40, 12))
    x, w, b = 3 * torch.randn(64, 40) + 1, net[0].weight.detach().clone(), net[0].bias.detach()
    ranges = quantize(net, bits)
    net(x)
    ranges.after_step()
    y = net.eval()(x)
    of_x = levels_of(x.min(), x.max(), bits)
    of_w = levels_of(w.amin(1, keepdim=True), w.amax(1, keepdim=True), bits)
    (qx, zx), (qw, zw) = whole_numbers(x, of_x), whole_numbers(w, of_w)
    sums = (qx @ qw.T) - zx * qw.sum(1) - qx.sum(1, keepdim=True) * zw.T + 40 * zx * zw.T  # all in integers
    integer = of_x.step * of_w.step.T * sums + b
    torch.testing.assert_close(y, integer, rtol=1e-5, atol=1e-5)
    assert (y - F.linear(x, w, b)).abs().max() > 1e-4


class Lstm(nn.Module):
    def __init__(self, **how):
        super().__init__()
        self.lstm = nn.LSTM(5, 4, batch_first=True, **how)

    def forward(self, x):
        lengths = torch.tensor([7, 2, 5])
        packed = self.lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        whole, (h, c) = self.lstm(x)
        return pad_packed_sequence(packed[0], batch_first=True)[0], *packed[1], whole, h, c


LAYERS = {
    "linear": (nn.Linear(6, 4), torch.randn(8, 6)),
    "conv": (nn.Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 5, 5)),
    "transposed": (nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), torch.randn(2, 3, 5, 5)),
    "embedding": (nn.Embedding(9, 4), torch.arange(6).view(2, 3)),
    "norm": (nn.LayerNorm(6), 3 * torch.randn(8, 6) + 2),
    "lstm": (Lstm(), torch.randn(3, 7, 5)),
    "lstm both ways": (Lstm(bidirectional=True, num_layers=2), torch.randn(3, 7, 5)),
}


def flat(outputs):
    return torch.cat([t.flatten() for t in (outputs if isinstance(outputs, tuple) else (outputs,))])


@pytest.mark.parametrize("name", LAYERS)
def test_a_quantised_layer_nears_the_plain_one_with_more_bits_and_is_it_before(name):
    plain, x = LAYERS[name]
    errors, whole = {}, flat(plain(x))
    for bits in (2, 4, 8):
        net = nn.Sequential(copy.deepcopy(plain))
        ranges = quantize(net, bits, after=2)
        torch.testing.assert_close(flat(net(x)), whole, rtol=1e-5, atol=1e-5)  # in full precision
        ranges.after_step()
        torch.testing.assert_close(flat(net(x)), whole, rtol=1e-5, atol=1e-5)
        ranges.after_step()
        rounded = flat(net(x))
        errors[bits] = (rounded - whole).square().mean().sqrt().item()
        rounded.sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        assert [n for n, _ in net.named_parameters()] == [f"0.{n}" for n, _ in plain.named_parameters()]
    assert errors[2] > errors[4] > errors[8] > 0
    assert errors[8] < 0.05 * whole.std()


def test_products_and_attention_round_what_they_multiply_and_keep_the_mask():
    q, k, v = torch.randn(3, 2, 2, 9, 4)
    for module, inputs in ((Product(), (q, k.mT)), (Attend(), (q, k, v))):
        plain, errors = module(*inputs), []
        for bits in (3, 8):
            net = nn.ModuleDict({"it": copy.deepcopy(module)})
            ranges = quantize(net, bits)
            net["it"](*inputs)
            ranges.after_step()
            errors.append((net["it"](*inputs) - plain).abs().max().item())
        assert errors[0] > errors[1] > 0 and errors[1] < 0.1
    later = [t.clone() for t in (q, k, v)]
    for t in later:
        t[..., 5:, :] += 0.3
    assert torch.equal(net["it"](*later)[..., :5, :], net["it"](q, k, v)[..., :5, :])


def test_ranges_follow_in_training_alone_and_begin_with_what_they_see_first():
    net = nn.Sequential(nn.Linear(2, 2))
    ranges = quantize(net, 8)
    net(torch.tensor([[-2.0, 4.0]]))
    ranges.after_step()
    assert (ranges.low.item(), ranges.high.item()) == (-2, 4)
    net(torch.tensor([[-3.0, 14.0]])), net(torch.tensor([[-5.0, 1.0]]))
    ranges.after_step()
    assert ranges.low.item() == pytest.approx(-2 * MOMENTUM - 5 * (1 - MOMENTUM))
    assert ranges.high.item() == pytest.approx(4 * MOMENTUM + 14 * (1 - MOMENTUM))
    before = ranges.high.clone()
    ranges.after_step()  # nothing passed through
    net.eval()(torch.full((1, 2), 99.0))
    ranges.after_step()
    assert torch.equal(ranges.high, before)


def test_weights_are_rounded_for_whoever_reads_them_and_anew_once_they_move():
    net = nn.Sequential(nn.Linear(8, 3))
    raw = net[0].weight.detach().clone()
    quantize(net, 4)
    net.eval()
    assert torch.equal(net[0].weight, fake_quantize_rows(raw, 4))
    with torch.no_grad():
        kept = net[0].weight
        assert net[0].weight is kept
        net[0]._parameters["weight"].mul_(2)
        torch.testing.assert_close(net[0].weight, 2 * kept)
        raw = net[0]._parameters["weight"]
        raw.grad = raw.sign()
    torch.optim.Adam([raw], lr=0.5, fused=True).step()  # which leaves the version as it is
    with torch.no_grad():
        torch.testing.assert_close(net.train().eval()[0].weight, fake_quantize_rows(raw, 4))


def test_what_cannot_be_quantised_is_named():
    net = nn.ModuleDict({"a": nn.GRU(2, 2), "b": nn.Linear(2, 2), "c": nn.LSTM(2, 2, proj_size=1)})
    quantize(net, 8)
    assert left_whole(net) == ["a", "c"]
    with pytest.raises(ValueError, match="no part 'decodr'"):
        quantize(net, 8, parts=["decodr"])
    with pytest.raises(ValueError, match="nothing in this model"):
        quantize(nn.ModuleDict({"a": nn.GRU(2, 2)}), 8)
