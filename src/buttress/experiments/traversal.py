"""Each dimension of z moved by itself, or each code replaced by others: what the decoder makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from buttress.core import EMPTY, Given, Space
from buttress.diagnostics.evidence import Evidence, Groups
from buttress.distributions.inspect import normal
from buttress.experiments.examples import decoded, seeded
from buttress.training.folder import EVIDENCE
from buttress.training.run import Run

__all__ = ["Traversal", "by_rate", "title", "titles", "traversal"]

DRAWS = 4096
"""Of a prior that does not say its mean and standard deviation."""


@dataclass(frozen=True)
class Traversal:
    """Examples (rows, steps, *x) and what each row and column is.

    Args:
        x: The examples.
        rows: The dimension, or the place of the code, that a row moves.
        titles: The same with what a diagnosis measured of it: its rate, and the known factor that it tells most of.
        columns: Where it is moved to: prior standard deviations from the prior mean, or the code; the part of the way
            through each codebook where they differ in size.
    """

    x: Tensor
    rows: list[str]
    titles: list[str]
    columns: list[str]


def traversal(
    run: Run,
    dims: Sequence[int] = (),
    steps: int = 9,
    width: float = 2.0,
    start: Tensor | None = None,
    seed: int = 0,
    mean: bool = True,
    temperature: float = 1.0,
    given: Given = EMPTY,
) -> Traversal:
    """Move one dimension of z at a time, from -width to width standard deviations of the prior around its mean.

    Where z is made of codes, a row takes one place through ``steps`` codes spread over the codebook.

    Args:
        run: The run.
        dims: Which dimensions, of z as one flat row of numbers.
        steps: Points of each.
        width: In standard deviations of the prior.
        start: The z (*event) that is moved; None for the mean of the prior, or for a draw from it where z is codes.
        seed: Of all draws; all x of a traversal are drawn with the same random numbers.
        mean: Take the mean of p(x|z) where the decoder has one.
        temperature: Of p(x|z).
        given: What is known beside the one example, one row each.

    Errors:
        ValueError: Less than two steps, a dimension that there is not, or a width that is not above 0.
    """
    space = run.model.space
    size = torch.Size(space.shape).numel()
    if steps < 2 or not 0 < width < float("inf"):
        raise ValueError(
            f"traverse: steps is {steps} and width is {width}, wanted at least 2 steps and a width above 0"
        )
    if wrong := [dim for dim in dims if not 0 <= dim < size]:
        raise ValueError(f"traverse: dims has {wrong[0]}, but z has dimensions 0 to {size - 1}")
    run.check_room(steps * len(dims))
    with seeded(seed):
        middle, spread = _prior(run, given)
        base = (middle if start is None else start.to(middle)).reshape(-1)
        moves, columns = _moves(_classes(space), middle.reshape(-1), spread.reshape(-1), steps, width)
        z = base.repeat(steps, len(dims), 1)
        for row, dim in enumerate(dims):
            z[:, row, dim] = moves[:, dim]
        rows = {name: value.expand(len(dims), *value.shape[1:]) for name, value in given.items()}
        x = decoded(run, z.unflatten(-1, space.shape), rows, mean, temperature, along=True)
    return Traversal(x.transpose(0, 1), [f"z{dim}" for dim in dims], titles(run, dims), columns)


def by_rate(run: Run) -> list[int]:
    """The dimensions of z, those of the largest rate first where a diagnosis has measured that, else in order."""
    groups, dims = _measured(run), list(range(torch.Size(run.model.space.shape).numel()))
    if groups is None:
        return dims
    return sorted(dims, key=lambda dim: -(groups.rate[dim] or 0.0))


def titles(run: Run, dims: Sequence[int]) -> list[str]:
    """What to call dimensions of z: with rate and known factor where a diagnosis has measured these.

    Args:
        run: The run.
        dims: Which, of z as one flat row of numbers.
    """
    groups = _measured(run)
    return [f"z{dim}" if groups is None else title(groups, dim) for dim in dims]


def title(groups: Groups, dim: int) -> str:
    """The same of one dimension, whose rate and factor are known.

    Example:
        >>> groups = Groups(("z0", "z1"), (2.04, 0.0), (0.1, 0.0), (0.9, 0.0), followed=("x 0.92", ""))
        >>> title(groups, 0), title(groups, 1)
        ('z0, KL 2.0, x 0.92', 'z1, KL 0.0')
    """
    rate = groups.rate[dim]
    factor = groups.followed[dim] if groups.followed else ""
    return ", ".join(filter(None, [f"z{dim}", "" if rate is None else f"KL {rate:.1f}", factor]))


def _measured(run: Run) -> Groups | None:
    """What a diagnosis measured of each dimension; None where there is none, or its groups are no dimensions."""
    path, size = run.folder / EVIDENCE, torch.Size(run.model.space.shape).numel()
    groups = Evidence.load(path).groups if path.is_file() else None
    return groups if groups is not None and len(groups.rate) == size else None


def _prior(run: Run, given: Given) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each coordinate of z under p(z); of codes a draw, and nothing."""
    if run.model.space.classes is not None:
        drawn = run.model.sample_z(1, given=given)[0]
        return drawn, torch.zeros_like(drawn)
    p = run.model.prior(given)
    if (found := normal(p)) is not None:
        loc, scale = found.loc, found.scale
        return (loc[0], scale[0]) if p.batch_shape else (loc, scale)
    draws = p.sample((DRAWS,))
    draws = draws.flatten(0, 1) if p.batch_shape else draws
    return draws.mean(0), draws.std(0)


def _classes(space: Space) -> Tensor | None:
    """How many codes each coordinate of z, as one flat row, is one of; None where z is real numbers."""
    if space.classes is None:
        return None
    levels = [(level.shape, level.classes or space.classes) for level in space.levels]
    return torch.cat([
        torch.full((torch.Size(shape).numel(),), classes) for shape, classes in levels or [(space.shape, space.classes)]
    ])  # fmt: skip


def _moves(
    classes: Tensor | None, middle: Tensor, spread: Tensor, steps: int, width: float
) -> tuple[Tensor, list[str]]:
    """The values (steps, D) that each coordinate takes, and how they are called.

    Levels with codebooks of several sizes share columns: a column is then called by its part of the way, in percent.
    """
    if classes is not None:
        most = int(classes.max())
        way = torch.arange(steps).clamp(max=most - 1) / max(1, min(steps, most) - 1)
        codes = (way[:, None] * (classes - 1)).round().long()
        if bool((classes == most).all()):
            return codes, [str(code) for code in codes[:, 0].tolist()]
        return codes, [f"{part:.0%}" for part in way.tolist()]
    by = torch.linspace(-width, width, steps)
    return middle + by[:, None] * spread, [f"{value:+.2g}" if value else "0" for value in by.tolist()]
