r"""How strongly -log p(x, z) is curved about a q, in expectation over noise as wide as q.

$$ H = E\bigl[ \tfrac12 (\nabla U(\mu + w \epsilon) - \nabla U(\mu - w \epsilon)) \, \epsilon^\top \bigr]
   \, \mathrm{diag}(w)^{-1}, \qquad U = -\log p(x, z) $$

Stein's identity. The noise of an example is a random set of orthogonal directions: where there are as many as z has
coordinates, H is exact for a quadratic U; where there are fewer, its diagonal is right on average (Bekas et al. 2007).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.search.family import Family
from buttress.diagnostics.search.task import Task
from buttress.distributions.inspect import normal
from buttress.runtime.randomness import noise

__all__ = ["curvature", "unit_of"]

SMALLEST_UNIT = 0.1
"""In prior standard deviations: the mean of a very narrow q must be able to move too."""
WIDEST = 4.0
"""Times the wider of q and prior: where nothing is curved, q grows no further at once."""


def unit_of(task: Task, place: Family) -> Float[Tensor, "B *event"]:
    """How far one unit of shift moves the mean: a standard deviation of q, if that is not tiny beside the prior's."""
    prior = normal(task.block.prior)
    wide = place.std if prior is None else prior.scale
    return torch.maximum(place.std, SMALLEST_UNIT * wide).detach()


def curvature(task: Task, place: Family, stream: str) -> tuple[Float[Tensor, "B *D"], int]:
    """H of each example, (B, D, D) where every direction was tried, else its diagonal (B, D); and how many were tried.

    Args:
        task: The examples.
        place: Where to look, and how widely.
        stream: Of the noise.
    """
    width, b = unit_of(task, place).expand_as(place.loc) * _narrow(task, place), len(place.loc)
    d = width[0].numel()
    probes = min(d, place.probes)
    raw = noise(task.block.index, d, (probes,), task.seed, stream).movedim(1, 0).double().to(width.device)
    e = torch.linalg.qr(raw)[0].movedim(-1, 0) * d**0.5  # (probes, B, D)
    step = e.reshape(probes, *width.shape).to(width) * width
    slopes = []
    for some in step.split(4):
        task.tell("fitting the scales")
        with torch.enable_grad():
            z = torch.cat([place.loc + some, place.loc - some]).detach().requires_grad_()
            (g,) = torch.autograd.grad(task.energy(z).clamp(max=1e300).sum(), z)
        slopes.append((g[: len(some)] - g[len(some) :]).double().nan_to_num(0, 0, 0).flatten(2) / 2)
    y, w = torch.cat(slopes), width.double().reshape(b, d)
    roof = WIDEST * torch.maximum(place.std, width).double().reshape(b, d)
    if probes < d:
        diagonal = (y * e).sum(0) / (e.square().sum(0) * w)
        return torch.maximum(diagonal, roof**-2), probes
    whole = torch.einsum("pbi,pbj->bij", y, e) / (probes * w[:, None, :])
    return _positive((whole + whole.mT) / 2, roof), probes


def _narrow(task: Task, place: Family) -> Float[Tensor, "B *event"]:
    """Where q is much narrower than a unit, the noise is too, as far as the digits of z allow."""
    unit = unit_of(task, place)
    digits = 1e3 * torch.finfo(place.loc.dtype).eps * torch.maximum(place.loc.abs(), unit)
    return (torch.maximum(place.std, digits) / unit).clamp(max=1)


def _positive(h: Float[Tensor, "B D D"], roof: Float[Tensor, "B D"]) -> Float[Tensor, "B D D"]:
    """With every direction curved enough for a q below the roof."""
    scaled = h * roof[:, :, None] * roof[:, None, :]
    values, vectors = torch.linalg.eigh(scaled)
    sound = torch.where(
        (values.amin(1) >= 1)[:, None, None], scaled, vectors * values.clamp(min=1)[:, None] @ vectors.mT
    )
    return sound / (roof[:, :, None] * roof[:, None, :])
