"""A level, slot or stage that adds nothing while others are in use."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from buttress.diagnostics.causes.idle_level import IDLE
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.distributions.point import Point
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import CodedData, colours, pictures, topics
from buttress.patients.worlds.linear import factors
from buttress.patients.worlds.seen import as_levels


def frozen(made: CodedData, slot: int) -> object:
    """The best codes, but one slot always takes the first."""

    def posterior(x: Tensor) -> Distribution:
        return Independent(Point(made.best(x) * (torch.arange(made.slots) != slot)), 1)

    return posterior


@patient(IDLE, over="hierarchical")
def an_idle_top() -> Case:
    """A top level of two coordinates that equal the prior and are not read; the bottom tells two factors."""
    model = factors(16, [0.0, 0.0, 2.0, 1.5], 0.5)
    return as_levels(model.vae(), model.sample(600)[0], {"top": 2, "bottom": 2})


@patient(IDLE, over="hierarchical")
def an_unread_bottom() -> Case:
    """A bottom level in which q tells a factor that the decoder takes from nowhere."""
    model = factors(16, [3.0, 2.0, 0.8], 0.5, seed=1)
    encoder, spread = model.optimal_encoder()
    weight = model.weight * torch.tensor([1.0, 1.0, 0.0]).double()
    return as_levels(
        LinearVAE(LinearGaussian(weight, model.mean, model.variance), encoder, spread),
        model.sample(600)[0],
        {"top": 2, "bottom": 1},
    )


@patient(IDLE, over="codes")
def a_constant_slot() -> Case:
    """Two slots of four colours, of which the second always takes the first code."""
    made = colours(seed=2)
    return Case(made.model(frozen(made, 1), read=[True, False]), [made.x])  # type: ignore[arg-type]


@patient(IDLE, over="codes")
def an_unread_slot() -> Case:
    """Three slots of four colours, of which the decoder does not read the second."""
    made = colours(slots=3, seed=3)
    return Case(made.model(read=[True, False, True]), [made.x])


@patient(IDLE, over="images")
def an_idle_level_of_codes() -> Case:
    """A top code that is not read and a bottom code that is, each for a band of the image."""
    made = pictures(slots=2, height=4, seed=6)
    return Case(made.model(read=[False, True], levels=["top", "bottom"]), [made.x])


@patient(IDLE, over="sentences")
def an_idle_stretch() -> Case:
    """Three stretches of a sentence with a topic each, of which the last always takes the same code."""
    made = topics(slots=3, length=6, seed=4)
    return Case(made.model(frozen(made, 2), read=[True, True, False]), [made.x])  # type: ignore[arg-type]
