"""What the page of a run shows of z: traversals, means, a map of z, and how often each code is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Batch, Given
from buttress.diagnostics.passes import as_batch
from buttress.distributions.code_counts import UNCOUNTED, CodeCounts
from buttress.experiments.examples import (
    center,
    evaluation_model,
    latent_of,
    posterior_of,
    reconstructed,
    sampled,
    seeded,
)
from buttress.experiments.present import shown
from buttress.experiments.traversal import by_rate, traversal
from buttress.report.latent import LatentView, save_latent
from buttress.training.run import Run

__all__ = ["latent_view", "page_parts", "plane_of", "save_latent_view"]

DIMENSIONS, STEPS, WIDTH = 8, 8, 2.5
"""Dimensions of z that are moved, points of each, and how far, in standard deviations of the prior."""
FEW = 4
"""Of sound: so many dimensions and points, which are drawn one place after the other."""
MAPPED = 1000
"""Held-out examples on the map of z."""


def page_parts(run: Run, raw: Batch, given: Given, count: int, seed: int = 0) -> dict[str, Any]:
    """Parts for :func:`buttress.report.examples.save_examples`: means beside draws, and traversals.

    Args:
        run: The run.
        raw: Stored held-out examples, those whose reconstructions are saved; the z of the first one is moved.
        given: The conditions of each sample.
        count: How many samples.
        seed: Of all draws; samples of the same seed have the same z.
    """
    first = raw.take(slice(1))
    with seeded(seed):
        z = latent_of(posterior_of(run, first, seed), mean=True)
        has_means = center(run.model.decode(z, first.given)) is not None
    dims, steps = (FEW, FEW) if run.spec.kind in ("wave", "frames") else (DIMENSIONS, STEPS)
    moved = traversal(run, by_rate(run)[:dims], steps, WIDTH, z[0], seed, given=first.given)
    parts = {"traversals": shown(run.spec, moved.x), "traversed": moved.titles}
    if not has_means:
        return parts
    means = {
        "mean_samples": sampled(run, count, seed, mean=True, given=given),
        "mean_reconstructions": reconstructed(run, raw, seed, mean=True),
    }
    return parts | {name: shown(run.spec, x) for name, x in means.items()}


def save_latent_view(run: Run, seed: int = 0) -> Path:
    """Write ``latent.json`` of a run, for its page."""
    return save_latent(run.folder, latent_view(run, seed))


def latent_view(run: Run, seed: int = 0) -> LatentView:
    """A map of z over held-out examples where z is real; how often each code is taken where z is made of codes."""
    held_out, model, space = run.held_out(seed, MAPPED), evaluation_model(run, seed), run.model.space
    with seeded(seed):
        batches = [as_batch(held_out[i]) for i in range(len(held_out))]
        z = [latent_of(model.posterior(batch.x, batch.given), mean=True).flatten(1) for batch in batches]
    if space.classes is not None:  # drawn from q(z|x), which need not be sure of one code
        inside = [run.model.codes_inside(batch.given) for batch in batches]
        pairs = zip(z, inside, strict=True)
        counted = [c if there is None else torch.where(there.flatten(1), c, UNCOUNTED) for c, there in pairs]
        table = CodeCounts(space.classes).add(torch.cat(counted)).table
        return LatentView(codes=table.unflatten(0, (-1, space.shape[-1] if space.shape else 1)).sum(0).tolist())
    if len({part.shape[1] for part in z}) > 1:  # of sentences with a z for each place
        return LatentView()
    points, axes = plane_of(torch.cat(z).double(), run.model.groups)
    labels = run.splits().labels
    found = [] if labels is None or not len(points) else labels[torch.cat(held_out.index)].tolist()
    return LatentView([[round(v, 4) for v in row] for row in points.tolist()], axes, [str(label) for label in found])


def plane_of(z: Float[Tensor, "N D"], groups: tuple[str, ...]) -> tuple[Float[Tensor, "M 2"], list[str]]:
    """Two coordinates of z: its dimensions where there are two, else its first two principal components.

    None where there is nothing to draw: fewer than two dimensions or than three examples.

    Example:
        >>> z = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 0.5, 0], [0, -0.5, 0]])
        >>> points, axes = plane_of(z, ())
        >>> points.abs().max(0).values.tolist(), axes
        ([1.0, 0.5], ['PC 1 (80% of variance)', 'PC 2 (20%)'])
    """
    if z.shape[1] < 2 or len(z) < 3:
        return z.new_zeros(0, 2), []
    if z.shape[1] == 2:
        return z, list(groups) if len(groups) == 2 else ["z0", "z1"]
    centred = z - z.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    share = [f"{v:.0%}" for v in (sizes.square() / sizes.square().sum().clamp(min=1e-30))[:2]]
    return centred @ directions[:2].T, [f"PC 1 ({share[0]} of variance)", f"PC 2 ({share[1]})"]
