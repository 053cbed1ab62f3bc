r"""What a condition c says of x, and what it leaves for z to say.

What the condition is worth to the decoder is measured as what z is worth, by that of another example:

$$ W_c = E_{x, c} E_{q(z|x, c)} \log p(x|z, c) - E_{x, c} E_{c' \ne c} E_{q(z|x, c)} \log p(x|z, c'). $$

What is left is looked for in $r_i = (x_i - E[x_i|z, c]) / \sqrt{\operatorname{Var}[x_i|z, c]}$ with z of the prior. A
decoder that needs no z leaves white noise, $\operatorname{Cov} r = I$. The best linear z beside a decoder of fixed
variance models r as $N(m, I + U (L - I) U^\top)$, U the eigenvectors of Cov r whose eigenvalues $l_i$ exceed 1 (Tipping
and Bishop 1999), and so gains, in log p(x|c),

$$ G = E_r \sum_i \tfrac12 \Bigl[ \bigl(1 - \tfrac1{l_i}\bigr) (u_i^\top (r - m))^2 - \ln l_i \Bigr]. $$

m, U and L are found on one half of the examples and G is measured on the other, in turn. Of n examples of M numbers
white noise has eigenvalues up to $(1 + \sqrt{M / n})^2$ and a little more, of which the 99th percentile is known
(Johnstone 2001). Those below it are left out, and those above it are put where they are from,
$\hat l = l \, (1 + \gamma / (l - 1))$ with $\gamma = M / n$ (Baik and Silverstein 2006). A weight $\beta$ of the rate
makes r smaller by $\sqrt\beta$ and G larger by $\beta$. To second order this holds for Bernoulli sites too. A z that is
not linear may gain where a linear one does not.
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
from buttress.diagnostics.estimators.worth import derangement, paired_error
from buttress.diagnostics.evaluation import decode, draw, evaluating
from buttress.diagnostics.residuals import residuals, some_at_once

__all__ = ["gain_of_linear_z", "worth_of_condition"]

MOST = 1000
"""Examples that are looked at."""
TRACY_WIDOM = 2.02
"""The 99th percentile of its distribution for real numbers."""


def worth_of_condition(subject: Subject, most: int = MOST) -> Estimate:
    """W_c, in nats, with z as it was.

    Args:
        subject: A conditional model and its data.
        most: Examples.

    Example:
        >>> from buttress.diagnostics.passes import Encoded
        >>> from buttress.diagnostics.protocol import conditional
        >>> from torch.distributions import Independent, Normal
        >>> from buttress.core.batch import Batch
        >>> from buttress.diagnostics.protocol import Adapter
        >>> normal = lambda loc: Independent(Normal(loc, 1.0), 1)
        >>> reads = lambda x, z, given: normal(given["c"] + 0 * z).log_prob(x)  # x is c and noise, and z nothing
        >>> asked = conditional(Adapter(lambda x: normal(0 * x), lambda: normal(torch.zeros(1)), reads))
        >>> c = 3.0 * (torch.arange(500) % 2)[:, None]
        >>> data = Encoded(asked, [Batch(c, {"c": c})])
        >>> print(worth_of_condition(Subject(asked, data, {"seed": 0}, conditions=("c",))))  # half the time 9 / 2
        2.25 ± 0.09
    """
    names = ", ".join(subject.conditions)
    with evaluating(subject.model, subject.seed) as asked:
        block = some_at_once(subject, most)
        n = len(block)
        if n < 2:
            return Estimate(None, None, n, "Monte Carlo", note="there is no other example of its shape")
        other = derangement(n, subject.seed)
        z = draw(block.q, block.index, 1, subject.seed, "worth of the condition")
        elsewhere = {**block.given, **{name: block.given[name][other] for name in subject.conditions}}
        own, foreign = (decode(asked, block.x, z, given, block.index) for given in (block.given, elsewhere))
    loss = (own - foreign).cpu()
    note = f"nats lost when each example reads the {names} of another"
    return Estimate(loss.mean().item(), paired_error(loss, other[None]), n, "Monte Carlo", note=note)


def gain_of_linear_z(r: Float[Tensor, "N sites"], beta: float = 1.0, seed: int = 0) -> Estimate:
    """G, in nats per example, on examples that it was not fitted to.

    Args:
        r: Standardised residuals of x about the decoder's means, in which z plays no part.
        beta: Weight of the rate.
        seed: Of the halves.

    Example:
        >>> noise = torch.randn(2000, 9, generator=torch.Generator().manual_seed(0))
        >>> more = noise + 2 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(1)) / 3
        >>> print(gain_of_linear_z(noise), "|", gain_of_linear_z(more))  # 0 and (5 - 1 - ln 5) / 2 = 1.2
        0 | 1.3... ± 0.0...
    """
    r = r.double() / math.sqrt(beta or 1.0)
    if not torch.isfinite(r.square().sum()):
        note = "the residuals are not finite: a variance of the decoder is 0, or its numbers overflow"
        return Estimate(None, None, len(r), "not measured", note=note)
    order = torch.randperm(len(r), generator=torch.Generator().manual_seed(seed))
    gains = [_gain(r[own], r[other]) for own, other in permutations(order.chunk(2))]
    note = "what the best linear z would gain in log p(x|given), on examples that it was not fitted to"
    return replace(mean((beta or 1.0) * torch.cat(gains), "eigenvalues of the residuals, halves in turn"), note=note)


def _gain(own: Float[Tensor, "A sites"], other: Float[Tensor, "B sites"]) -> Float[Tensor, " B"]:
    """What each of ``other`` gains by the directions of ``own``."""
    (n, m), middle = own.shape, own.mean(0)
    gamma = m / n
    small = own - middle
    values, vectors = torch.linalg.eigh((small.T @ small if m <= n else small @ small.T) / (n - 1))
    seen = values > _largest_of_noise(n, m)
    values, vectors = values[seen], vectors[:, seen]
    if m > n:
        vectors = small.T @ vectors / ((n - 1) * values).sqrt()
    half = (values + 1 - gamma) / 2
    true = half + (half.square() - values).clamp(min=0).sqrt()
    along = (other - middle) @ vectors
    return 0.5 * (along.square() * (1 - 1 / true) - true.log()).sum(1)


def _largest_of_noise(n: int, m: int) -> float:
    """The 99th percentile of the largest eigenvalue of n examples of m numbers that are white noise."""
    both, spread = math.sqrt(n) + math.sqrt(m), (1 / math.sqrt(n) + 1 / math.sqrt(m)) ** (1 / 3)
    return (both**2 + TRACY_WIDOM * both * spread) / n


@estimator("use of z by the decoder")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """What the conditions of a conditional model are worth, and what they leave to z."""
    if not subject.conditions or not subject.model.density:
        return {}
    left = residuals(subject, MOST, of_prior=True)
    gain = (
        Estimate(None, None, 0, "not measured", note=left)
        if isinstance(left, str)
        else gain_of_linear_z(left, 1.0 if subject.beta is None else subject.beta, subject.seed)
    )
    return {"worth_condition": worth_of_condition(subject), "gain_beyond_condition": gain}
