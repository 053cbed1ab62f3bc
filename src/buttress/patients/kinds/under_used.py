"""Codebooks of which most codes are never taken, and near misses: codes that are taken rarely, and all of them."""

from __future__ import annotations

import torch
from torch.distributions import Categorical, Distribution, Independent

from buttress.diagnostics.causes.under_used import UNDER_USED
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.codes import CodedData, colours, pictures, topics


def expecting(made: CodedData, shares: list[float]) -> Distribution:
    """A prior that expects the codes as often as they come, and the others once in a thousand."""
    of = torch.tensor([*shares, *[0.0] * (made.classes - len(shares))])
    return Independent(Categorical(probs=(of / of.sum() + 1e-3).expand(made.slots, made.classes)), 1)


@patient(UNDER_USED, over="codes")
def six_colours_of_64() -> Case:
    """Rows of six colours, and a codebook of 64."""
    made = colours(slots=1, classes=64, width=6, seed=10, shares=[1.0] * 6)
    return Case(made.model(), [made.x])


@patient(UNDER_USED, over="images")
def five_pictures_of_32() -> Case:
    """Images of five kinds, and a codebook of 32."""
    made = pictures(classes=32, seed=11, shares=[1.0] * 5)
    return Case(made.model(), [made.x])


@patient(UNDER_USED, over="sentences")
def four_topics_of_30() -> Case:
    """Sentences on four topics, and a codebook of 30."""
    made = topics(classes=30, length=16, seed=12, shares=[1.0] * 4)
    return Case(made.model(), [made.x])


@patient(UNDER_USED, over="codes")
def two_slots_of_a_few_codes() -> Case:
    """Two codes of 48, of which eight and eight are ever taken."""
    made = colours(slots=2, classes=48, width=6, seed=13, shares=[1.0] * 8)
    return Case(made.model(), [made.x])


@patient(UNDER_USED, over="codes")
def a_prior_that_knows_of_it() -> Case:
    """Rows of eight colours, some more frequent than others, a codebook of 64 and a prior that expects those eight."""
    shares = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    made = colours(slots=1, classes=64, width=6, seed=14, shares=shares)
    return Case(made.model(prior=expecting(made, shares)), [made.x])


@patient(UNDER_USED, over="hierarchical")
def levels_of_a_few_codes() -> Case:
    """A top and a bottom code of 24, of which four and four are ever taken."""
    made = pictures(slots=2, classes=24, height=6, seed=15, shares=[1.0] * 4)
    return Case(made.model(levels=["top", "bottom"]), [made.x])


@patient(UNDER_USED, over="codes", allowed=[HEALTHY])
def nearly_half_of_the_codes() -> Case:
    """Rows of fourteen colours, and a codebook of 32."""
    made = colours(slots=1, classes=32, width=6, seed=16, shares=[1.0] * 14)
    return Case(made.model(), [made.x])


@patient(HEALTHY, over="codes")
def four_to_one() -> Case:
    """Two codes, taken in 80 and 20 of a hundred examples."""
    made = colours(n=1000, slots=1, classes=2, width=6, seed=17, shares=[4.0, 1.0])
    return Case(made.model(prior=expecting(made, [4.0, 1.0])), [made.x])


@patient(HEALTHY, over="codes")
def frequent_and_rare_colours() -> Case:
    """Sixteen codes that are taken as often as 1, 1/2, 1/3 and so on."""
    shares = [1 / (1 + k) for k in range(16)]
    made = colours(n=1000, slots=1, classes=16, width=6, seed=18, shares=shares)
    return Case(made.model(prior=expecting(made, shares)), [made.x])


@patient(HEALTHY, over="images")
def two_thirds_of_the_pictures() -> Case:
    """Images of eight kinds, and a codebook of twelve."""
    made = pictures(classes=12, seed=19, shares=[1.0] * 8)
    return Case(made.model(), [made.x])


@patient(HEALTHY, over="sentences")
def a_topic_in_five() -> Case:
    """Sentences on two topics, one of which is that of every fifth."""
    made = topics(n=1000, classes=2, seed=20, shares=[4.0, 1.0])
    return Case(made.model(), [made.x])


@patient(HEALTHY, over="codes")
def more_codes_than_rows() -> Case:
    """A hundred rows and a codebook of 256, all of which the data take: so few rows can't tell that they do not."""
    made = colours(n=100, slots=1, classes=256, width=12, seed=21)
    return Case(made.model(), [made.x])
