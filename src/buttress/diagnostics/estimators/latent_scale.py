r"""The standard deviation of the numbers of z over data and noise, where a second model will learn them.

$$ s = \sqrt{\frac1J \sum_j \operatorname{Var}_x(\mu_j) + E_x \sigma_j^2} $$

over all coordinates of z. Latent diffusion multiplies z by 1 / s (the ``scaling_factor`` of its autoencoders, Rombach
et al. 2022), so that its noise schedule fits. Its error is a jackknife over tenths of the examples.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from buttress.diagnostics.estimate import Estimate, jackknife
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, draw, evaluating
from buttress.diagnostics.passes import count, passes

__all__: list[str] = []

EXAMPLES = 2000


@estimator("active units")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """The standard deviation, where z is real and for compression."""
    if subject.purpose != "compression":
        return {}
    with evaluating(subject.model, subject.seed) as asked:
        keep = choose(count(subject.data), EXAMPLES, subject.seed)
        blocks = passes(asked, subject.data, keep=keep)
        rows = [draw(b.q, b.index, 1, subject.seed, "latent scale")[0].flatten(1).cpu() for b in blocks]
    if any(not row.is_floating_point() for row in rows):
        return {}
    z = torch.cat(rows).double()

    def spread(keep: torch.Tensor) -> torch.Tensor:
        return z[keep].var(0).mean().sqrt()

    error = jackknife(spread, len(z))
    value = spread(torch.arange(len(z))).item()
    note = "no unit: of all numbers of z, over data and noise"
    return {"latent_scale": Estimate(value, None if error is None else error.item(), len(z), "Monte Carlo", note=note)}
