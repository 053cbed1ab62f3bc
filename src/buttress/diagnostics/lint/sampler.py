r"""How a model draws z, from the gradients of its reconstruction.

Where z = mu + s(l) * eps, the reconstruction r has, whatever decoder follows,

$$ \frac{\partial r / \partial l_k}{\partial r / \partial \mu_k} = s'(l_k)\, \epsilon_k $$

so that the noise eps can be read off for each example and dimension, once for each s that it could have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from buttress.diagnostics.lint.quiet import no_dropout, seeded
from buttress.diagnostics.lint.subject import Linted, Silent

__all__ = ["Noise", "noise"]

LEAST = 100
"""Values of eps from which on they are judged."""
ERRORS = 5.0
"""Standard errors within which a moment is that of a standard normal."""


@dataclass(frozen=True)
class Noise:
    """The noise in z.

    Args:
        ratio: s'(l) eps, (B, L); NaN where the reconstruction does not depend on z.
        log_variance: l, of the same shape.
    """

    ratio: Tensor
    log_variance: Tensor

    @property
    def as_variance(self) -> Tensor:
        """eps where s = exp(l / 2), (B, L)."""
        return self.ratio / (0.5 * (self.log_variance / 2).exp())

    @property
    def as_log_deviation(self) -> Tensor:
        """eps where s = exp(l), (B, L)."""
        return self.ratio / self.log_variance.exp()


def noise(subject: Linted) -> Noise:
    """The noise that a model adds to mu.

    Errors:
        Silent: The reconstruction does not depend on mu and logvar, or there are too few values.
    """
    with no_dropout(subject.model), seeded(subject.model):
        out = subject.outputs_of(subject.batch)
        weights = torch.randn(out.recon.shape, generator=torch.Generator().manual_seed(0)).to(out.recon)
        if not (out.recon.requires_grad and out.mean.requires_grad and out.log_variance.requires_grad):
            raise Silent(UNREACHED)
        found = torch.autograd.grad((out.recon * weights).sum(), (out.mean, out.log_variance), allow_unused=True)
    by_mean, by_log_variance = (None if g is None else g.double().flatten(1) for g in found)
    if by_mean is None or by_log_variance is None:
        raise Silent(UNREACHED)
    heard = by_mean.abs() > 1e-4 * by_mean.abs().max()
    if int(heard.sum()) < LEAST:
        raise Silent(f"fewer than {LEAST} values of z are drawn")
    ratio = torch.where(heard, by_log_variance / by_mean, torch.nan)
    return Noise(ratio, out.log_variance.detach().double().flatten(1))


def standard(eps: Tensor) -> bool:
    """Whether numbers can be draws of N(0, 1), by their first, second and fourth moment.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> eps = torch.randn(1000, generator=generator)
        >>> standard(eps), standard(2 * eps), standard(torch.rand(1000, generator=generator))
        (True, False, False)
    """
    e = eps[eps.isfinite()]
    wanted = ((e.mean(), 0.0, 1.0), (e.square().mean(), 1.0, 2.0), (e.pow(4).mean(), 3.0, 96.0))
    return all(abs(float(m) - mean) <= ERRORS * math.sqrt(of / len(e)) + 0.02 for m, mean, of in wanted)


UNREACHED = "no gradient goes from the reconstruction to mu and logvar"
