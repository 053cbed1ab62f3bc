r"""Of which family a log p(x|z) is that is a product over the sites of x, found from its slope in x alone.

Let $g(x, z) = \partial \log p(x|z) / \partial x$, taken at examples x and x' of the data with the same z.

- Gaussian of constant variances: $g_i = a_i (m_i(z) - x_i)$, so $g_i(x') - g_i(x) = -a_i (x'_i - x_i)$ for all
  pairs and every z, with $a_i = 1 / \sigma_i^2$. What x varies by about the decoder's means is then
  $(x_i - m_i)^2 = \sigma_i^4 g_i^2$.
- Bernoulli: $g$ is the logit, the same for x and x', and $\log p = c \sum_i [x_i l_i - \log(1 + e^{l_i})]$ with
  $l = g / c$, where c is 1, or 1/D for a mean over the sites in place of their sum.
- Where some sites of x change and g changes at others, sites depend on each other given z: the decoder is
  autoregressive, or shares a variance or a component of a mixture among sites.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from buttress.diagnostics.passes import Block
from buttress.diagnostics.protocol import Conditional
from buttress.runtime.one_line import one_line

__all__ = ["ENTANGLED", "UNKNOWN", "SiteFamily", "recognise", "slope"]

ENTANGLED = "the sites of x depend on each other given z (an autoregressive decoder, or a mixture)"
UNKNOWN = (
    "log_likelihood is neither a Gaussian whose variance is the same for all z nor a Bernoulli, as far as its slope in "
    "x shows"
)
SAME = 1e-4
"""Relative difference of slopes that is rounding in float32."""
RARE = 1e-3
"""A probability below it counts as this: a few hundred examples do not tell smaller ones apart."""
CLOSE = 3e-3
"""Relative difference from a straight line that is: differences of slopes have fewer digits."""


@dataclass(frozen=True)
class SiteFamily:
    """A family of p(x|z) that is a product over sites.

    Args:
        name: "Gaussian", "Bernoulli" or "categorical".
        whiten: x (N, ...) -> F^(-1/2) s (N, M), the whitened scores at the best constant parameters.
        precision: a of a Gaussian, shape of one x; 0 for sites that never vary. None for other families.
        shared: Whether all of ``precision`` is one number.
        normalised: Whether the constants of the density are there.
        weight: c of a Bernoulli.
    """

    name: str
    whiten: Callable[[Tensor], Tensor]
    precision: Float[Tensor, "*event"] | None = None
    shared: bool = False
    normalised: bool = True
    weight: float = 1.0

    def standardised(self, x: Float[Tensor, "B *event"], g: Float[Tensor, "B *event"]) -> Float[Tensor, "B sites"]:
        """What x differs from the decoder's mean by, in the decoder's own standard deviations; 0 where x never varies.

        Args:
            x: Examples.
            g: The slope of log p(x|z) there.

        Example:
            >>> one = SiteFamily("Gaussian", lambda x: x, torch.full((2,), 4.0))
            >>> one.standardised(torch.zeros(1, 2), torch.tensor([[8.0, 0.0]])).abs().tolist()  # 2 off, sigma = 1/2
            [[4.0, 0.0]]
        """
        if self.precision is not None:
            a = self.precision.to(g)
            return torch.where(a > 0, -g / a.sqrt().clamp(min=1e-300), 0.0).reshape(len(g), -1)
        p = (g / self.weight).sigmoid().clamp(RARE, 1 - RARE)
        return ((x.to(p) - p) / (p * (1 - p)).sqrt()).reshape(len(x), -1)


def slope(
    model: Conditional, block: Block, x: Tensor, z: Tensor
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B *rest"]]:
    """log p(x|z) and its derivative with respect to x, for z of shape (1, B, ...).

    Errors:
        RuntimeError: It has none.

    Example:
        >>> from buttress.diagnostics.passes import passes
        >>> from buttress.diagnostics.protocol import conditional
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 4.0)
        >>> block = next(passes(model, [torch.ones(3, 2)]))
        >>> slope(conditional(model), block, block.x, torch.zeros(1, 3, 1))[1][0].tolist()
        [-0.25, -0.25]
    """
    with torch.enable_grad():
        moved = x.detach().clone().requires_grad_()
        value = model.log_likelihood(moved, z, block.given)[0]
        (found,) = torch.autograd.grad(value.sum(), [moved])
    return value.detach().double(), found.detach().double()


def recognise(model: Conditional, block: Block, *latents: Tensor) -> SiteFamily | str:
    """The family, or in a sentence why it is none of those known.

    Args:
        model: Every callable takes ``given``.
        block: Some examples, x of real numbers.
        latents: Values of z, (1, B, ...) each; what is found must hold for all of them.

    Example:
        >>> from buttress.diagnostics.passes import passes
        >>> from buttress.diagnostics.protocol import conditional
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1, variance=0.25)
        >>> block = next(passes(model, [model.sample(20)[0]]))
        >>> found = recognise(conditional(model), block, torch.zeros(1, 20, 1).double())
        >>> found.name, found.shared, [round(a, 4) for a in found.precision.tolist()]
        ('Gaussian', True, [4.0, 4.0, 4.0])
    """
    x = block.x
    other, alternate = x.roll(1, 0), (torch.arange(x[0].numel(), device=x.device) % 2 == 0).view(x.shape[1:])
    moves, slopes, values = [], [], []
    for z in latents:
        try:
            value, here = slope(model, block, x, z)
            there, half = (slope(model, block, to, z)[1] for to in (other, torch.where(alternate, other, x)))
        except Exception as error:  # whatever a user's model raises: no derivative, no family
            return f"log_likelihood has no slope in x ({_first_line(error)})"
        if not _all_small((half - here)[:, ~alternate], SAME * here.abs().max()):
            return ENTANGLED
        moves.append(there - here)
        slopes.append(here)
        values.append(value)
    change, g, value = torch.stack(moves), torch.stack(slopes), torch.stack(values)
    if _all_small(change, SAME * g.abs().max()):
        return _bernoulli(x, g, value)
    return _gaussian((other - x).double(), change, g, value)


def _first_line(error: Exception) -> str:
    return one_line(str(error).partition("\n")[0][:200] or type(error).__name__)


def _all_small(values: Tensor, bound: Tensor | float) -> bool:
    """Whether no value exceeds the bound, or is NaN."""
    return bool((values.abs() <= bound).all())


def _bernoulli(x: Tensor, g: Float[Tensor, "Z B *event"], value: Float[Tensor, "Z B"]) -> SiteFamily | str:
    if not g.abs().max() > 0 or bool(((x < 0) | (x > 1)).any()):
        return UNKNOWN
    for c in (1.0, 1 / x[0].numel()):
        expected = (g * x.double() - c * softplus(g / c, threshold=700)).reshape(*value.shape, -1).sum(-1)
        if _all_small(expected - value, CLOSE * value.abs().max()):
            return SiteFamily("Bernoulli", partial(_correlated, weight=c), normalised=c == 1, weight=c)
    return UNKNOWN


def _correlated(x: Tensor, weight: float) -> Float[Tensor, "N D"]:
    """sqrt(c) (x - p) / sqrt(p (1 - p)), c the weight of the log-likelihood; 0 where x never changes."""
    flat = x.reshape(len(x), -1)
    p = flat.mean(0)
    return torch.where(p * (1 - p) > 0, (weight / (p * (1 - p))).sqrt(), 0) * (flat - p)


def _gaussian(
    d: Float[Tensor, "B *event"],
    change: Float[Tensor, "Z B *event"],
    g: Float[Tensor, "Z B *event"],
    value: Float[Tensor, "Z B"],
) -> SiteFamily | str:
    rounding = SAME * g.abs().amax((0, 1))
    one = -(change * d).sum() / (len(change) * d.square().sum())
    shared = one > 0 and _straight(change, d, one.expand_as(d[0]), rounding)
    moving = d.square().sum(0)
    each = torch.where(moving > 0, -(change.mean(0) * d).sum(0) / moving, 0)
    if not shared and not (bool((each >= 0).all()) and _straight(change, d, each, rounding)):
        return UNKNOWN
    a = one.expand_as(each).clone() if shared else each
    expected = 0.5 * torch.where(a > 0, (a / (2 * math.pi)).log() - g.square() / a, 0).reshape(*value.shape, -1).sum(-1)
    normalised = _all_small(expected - value, CLOSE * value.abs().max() + CLOSE)
    return SiteFamily("Gaussian", lambda x: _scaled(x, a), a, bool(shared), normalised)


def _straight(change: Tensor, d: Tensor, a: Tensor, rounding: Tensor) -> bool:
    bound = CLOSE * (a * d).abs().amax(0) + rounding
    return _all_small((change + a * d).abs().amax((0, 1)) / bound.clamp(min=1e-300), 1.0)


def _scaled(x: Tensor, a: Float[Tensor, "*event"]) -> Float[Tensor, "N D"]:
    """sqrt(a) (x - mean)."""
    flat = x.reshape(len(x), -1)
    return a.sqrt().flatten().to(flat) * (flat - flat.mean(0))
