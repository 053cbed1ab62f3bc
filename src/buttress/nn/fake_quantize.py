r"""Uniform fake quantisation: numbers rounded to one of 2^b levels of a range that holds zero, and kept as floats.

$$ s = \frac{h - l}{2^b - 1}, \qquad a = -\mathrm{round}(-l / s), \qquad
   Q(x) = s \, \mathrm{clamp}(\mathrm{round}(x / s);\, a,\, a + 2^b - 1), \qquad l \le 0 \le h $$

Zero is a level, so that what is exactly zero (padding, a ReLU's output, a softmax behind a mask) stays so. The error is
at most s / 2 inside [l, h]. The gradient is that of the identity where nothing is clamped and zero where something is;
none goes to l and h.

With whole numbers q = round(x / s) - a in 0 ... 2^b - 1 and the zero point -a, a product of two quantised tensors is
s_1 s_2 times a product of whole numbers: what fake quantisation computes is what a processor of integers would.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
2018; Bengio, Leonard and Courville, Estimating or Propagating Gradients Through Stochastic Neurons, 2013 (gradient).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Levels", "fake_quantize", "fake_quantize_rows", "levels_of"]


class Levels(NamedTuple):
    """The numbers that are kept: s a, s (a + 1), ..., s (a + 2^b - 1).

    Args:
        step: s, broadcast against what is quantised; or one number, which is faster than a tensor of it.
        first: a, a whole number of at most 0.
        last: a + 2^b - 1, at least 0.
    """

    step: Tensor | float
    first: Tensor | float
    last: Tensor | float


def levels_of(low: Float[Tensor, "*rest"], high: Float[Tensor, "*rest"], bits: int) -> Levels:
    """The 2^bits levels for numbers between ``low`` and ``high``, a range that is widened to hold zero.

    Example:
        >>> levels_of(torch.tensor(-1.0), torch.tensor(2.0), bits=2)
        Levels(step=tensor(1.), first=tensor(-1.), last=tensor(2.))
    """
    low, high, top = low.clamp(max=0), high.clamp(min=0), 2**bits - 1
    step = ((high - low) / top).clamp(min=torch.finfo(low.dtype).tiny)
    first = (low / step).round()
    return Levels(step, first, first + top)


def fake_quantize(x: Float[Tensor, "*rest"], levels: Levels) -> Float[Tensor, "*rest"]:
    """The nearest level of every number.

    Example:
        >>> x = torch.tensor([-9.0, 0.0, 0.4, 0.6, 9.0], requires_grad=True)
        >>> y = fake_quantize(x, levels_of(torch.tensor(-1.0), torch.tensor(2.0), bits=2))
        >>> y.tolist(), torch.autograd.grad(y.sum(), x)[0].tolist()
        ([-1.0, 0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0])
    """
    return (_Clamped if isinstance(levels.step, Tensor) else _ClampedByNumbers).apply(x, *levels)


def fake_quantize_rows(weight: Float[Tensor, "*rest"], bits: int, dim: int = 0) -> Float[Tensor, "*rest"]:
    """Every slice along ``dim``, such as the weights of one output, rounded to levels of its own smallest to largest.

    Example:
        >>> w = torch.tensor([[0.0, 0.4, 3.0], [0.0, 40.0, 300.0]])
        >>> fake_quantize_rows(w, bits=2)
        tensor([[  0.,   0.,   3.],
                [  0.,   0., 300.]])
    """
    others = [d for d in range(weight.dim()) if d != dim % weight.dim()]
    fixed = weight.detach()
    levels = levels_of(fixed.amin(others, keepdim=True), fixed.amax(others, keepdim=True), bits)
    return _Straight.apply(weight, levels.step, levels.last)


class _Clamped(torch.autograd.Function):
    """No gradient where x was clamped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, first: Tensor, last: Tensor) -> Tensor:
        nearest = (x / step).round_()
        ctx.save_for_backward((nearest >= first) & (nearest <= last))
        return torch.clamp(nearest, first, last, out=nearest).mul_(step).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


class _ClampedByNumbers(torch.autograd.Function):
    """The same in five passes in place of nine: what lies inside is found in one pass with the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, first: float, last: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ends = (first - 0.5) * step, (last + 0.5) * step
        return (x / step).round_().clamp_(first, last).mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradients[0], x, *ctx.ends), None, None, None


class _Straight(torch.autograd.Function):
    """The gradient of the identity: nothing lies outside of its own range, but by half a level at one end."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, last: Tensor) -> Tensor:
        nearest = (x / step).round_()
        return torch.minimum(nearest, last, out=nearest).mul_(step).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None, None
