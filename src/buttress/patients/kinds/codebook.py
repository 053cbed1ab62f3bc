"""Codebooks of which one code takes everything, and codes that are the same for every x."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from buttress.diagnostics.causes.codebook import DEAD, SAME
from buttress.distributions.point import Point
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import colours, pictures, topics


def constant(*codes: int) -> object:
    """A q that always takes these codes."""

    def posterior(x: Tensor) -> Distribution:
        return Independent(Point(torch.tensor(codes).expand(len(x), len(codes))), 1)

    return posterior


@patient(DEAD, over="codes")
def one_colour() -> Case:
    """One code of eight for every row of a table."""
    made = colours(slots=1, classes=8, width=6)
    return Case(made.model(constant(3)), [made.x])  # type: ignore[arg-type]


@patient(DEAD, over="images")
def one_picture() -> Case:
    """One code of eight for every image."""
    made = pictures(seed=1)
    return Case(made.model(constant(0)), [made.x])  # type: ignore[arg-type]


@patient(DEAD, over="sentences")
def one_topic() -> Case:
    """One code of six for every sentence, which the decoder does not read either."""
    made = topics(seed=1)
    return Case(made.model(constant(5), read=[False]), [made.x])  # type: ignore[arg-type]


@patient(DEAD, over="codes")
def nearly_one_colour() -> Case:
    """One code of eight takes 995 rows of a thousand, and another the rest."""
    made = colours(n=1000, slots=1, classes=8, width=6, seed=2)
    rare = made.x[:, 0] > made.x[:, 0].sort().values[-6]

    def posterior(x: Tensor) -> Distribution:
        return Independent(Point((x[:, :1] > made.x[rare][:, 0].min() - 1e-6).long()), 1)

    return Case(made.model(posterior), [made.x])


@patient(DEAD, over="hierarchical")
def two_dead_levels() -> Case:
    """Two levels, and the same code of each for every image."""
    made = pictures(slots=2, height=4, seed=3)
    return Case(made.model(constant(2, 2), levels=["top", "bottom"]), [made.x])  # type: ignore[arg-type]


@patient(SAME, over="codes")
def a_colour_for_each_place() -> Case:
    """Four places, each with a code of its own that never changes."""
    made = colours(slots=4, seed=3)
    return Case(made.model(constant(0, 1, 2, 3)), [made.x])  # type: ignore[arg-type]


@patient(SAME, over="images")
def a_picture_for_each_band() -> Case:
    """Three bands of an image, each with a code of its own that never changes."""
    made = pictures(slots=3, height=3, seed=4)
    return Case(made.model(constant(1, 5, 2)), [made.x])  # type: ignore[arg-type]


@patient(SAME, over="sentences")
def a_topic_for_each_stretch() -> Case:
    """Two stretches of a sentence, each with a code of its own that never changes and that is not read."""
    made = topics(slots=2, length=8, seed=2)
    return Case(made.model(constant(0, 4), read=[False, False]), [made.x])  # type: ignore[arg-type]


@patient(SAME, over="codes")
def two_alternating_codes() -> Case:
    """Eight places that take two codes in turn, the same for every x."""
    made = colours(slots=8, width=2, seed=5)
    return Case(made.model(constant(0, 1, 0, 1, 0, 1, 0, 1)), [made.x])  # type: ignore[arg-type]


@patient(SAME, over="sentences")
def the_same_two_codes() -> Case:
    """Two stretches of a sentence and two of its codes, which the decoder reads and which never change."""
    made = topics(slots=2, length=8, seed=6)
    return Case(made.model(constant(3, 1)), [made.x])  # type: ignore[arg-type]


@patient(SAME, over="codes")
def codes_by_place() -> Case:
    """Six places with three codes in turn, the same for every row of a table."""
    made = colours(slots=6, width=2, seed=7)
    return Case(made.model(constant(2, 0, 1, 2, 0, 1), read=[False] * 6), [made.x])  # type: ignore[arg-type]
