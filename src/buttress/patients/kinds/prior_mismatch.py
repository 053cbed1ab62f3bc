"""All q together are far from the prior, though z is read."""

from __future__ import annotations

import torch
from torch.distributions import Categorical, Independent

from buttress.diagnostics.causes.prior_mismatch import FAR
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import colours
from buttress.patients.worlds.linear import factors, loud, moved
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table


@patient(FAR, over="tables")
def six_times_too_far() -> Case:
    """Means of q six times as far out as the prior."""
    model = factors(16, [2.0, 1.5], 0.1)
    return as_table(loud(model, 6.0), model.sample(1000)[0])


@patient(FAR, over="tables")
def moved_by_four() -> Case:
    """All q are 4 away from where the prior is."""
    model = factors(16, [4.0, 3.0], 0.5, seed=1)
    return as_table(moved(model, 4.0), model.sample(800)[0])


@patient(FAR, over="images")
def moved_pictures() -> Case:
    """All q of the images are 5 away from where the prior is."""
    model = factors(25, [4.0, 3.0], 0.5, seed=2)
    return as_image(moved(model, 5.0), model.sample(800)[0], height=5)


@patient(FAR, over="sentences")
def moved_words() -> Case:
    """All q of the sentences are 4 away from where the prior is."""
    model = factors(10, [15.0, 12.0], 2.0, seed=3, middle=30.0)
    return as_sentences(moved(model, 4.0), model.sample(800)[0])


@patient(FAR, over="conditional")
def moved_beside_a_label() -> Case:
    """All q are 4 away from where the prior is, beside a label."""
    model = factors(16, [4.0, 3.0], 0.5, seed=4)
    return as_conditional(moved(model, 4.0), model.sample(1600)[0])


@patient(FAR, over="codes")
def a_prior_of_other_codes() -> Case:
    """Codes of eight that are all taken equally often, and a prior that expects one of them."""
    made = colours(slots=2, classes=8, width=6, seed=5)
    chance = torch.full((2, 8), 0.03 / 7)
    chance[:, 0] = 0.97
    return Case(made.model(prior=Independent(Categorical(chance), 1)), [made.x])


@patient(FAR, over="hierarchical")
def moved_levels() -> Case:
    """Two levels, both 4 away from where the prior is."""
    model = factors(16, [4.0, 3.0], 0.5, seed=6)
    return as_levels(moved(model, 4.0), model.sample(800)[0], {"top": 1, "bottom": 1})
