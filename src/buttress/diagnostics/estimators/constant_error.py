r"""Whether the decoder is off by the same amount in all examples, as on data unlike those it was trained on.

At an optimum no output bias of the decoder gains anything, whatever q and the weight of the rate are:
$E_x E_{q(z|x)} \, \partial \log p(x|\eta(z)) / \partial \eta_i = 0$ for each site i. So the standardised residuals r
have mean 0 on data such as the decoder was trained on. The estimate is

$$ \frac{E\, r^\top u}{\sqrt{E |r|^2}}, \qquad u = \frac{E r}{|E r|}, $$

the root of the share of the squared error that is one constant. u is found on one half of the examples and the mean
taken over the other, in turn, so that it is 0 on average where r has no mean. Both turns rest on the product of the
same two means, so the error is that of one half of the examples. Images in another scale, inverted or not
normalised as in training, and tables in other units, give values near 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.residuals import residuals

__all__ = ["constant_error"]

MOST = 256
"""Examples that are looked at."""


def constant_error(r: Float[Tensor, "N sites"], seed: int = 0) -> Estimate:
    """The root of the share of the squared error that is the same in all examples, between 0 and 1 but for its error.

    Args:
        r: Standardised residuals.
        seed: Of the halves.

    Example:
        >>> noise = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
        >>> print(constant_error(noise), "|", constant_error(noise + 3.0))  # 3 / sqrt(9 + 1) = 0.95
        -0.02 ± 0.03 | 0.9... ± 0.0...
    """
    order = torch.randperm(len(r), generator=torch.Generator().manual_seed(seed))
    along = []
    for own, other in permutations(order.chunk(2)):
        u = r[own].mean(0)
        along.append(r[other] @ (u / u.norm().clamp(min=1e-300)))
    size = r.square().sum(1).mean().sqrt().clamp(min=1e-300)
    note = "no unit: the root of the share of the decoder's squared error that is the same in all examples"
    found = mean(torch.cat(along) / size, "halves in turn", note=note)
    return replace(found, error=None if found.error is None else math.sqrt(2) * found.error)


@estimator("use of z by the decoder")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """Whether the decoder is off by a constant."""
    r = residuals(subject, MOST)
    return {} if isinstance(r, str) else {"constant_error": constant_error(r.double(), subject.seed)}
