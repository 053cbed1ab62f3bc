"""No z pays for itself: the variance of the likelihood, or the weight of the rate, is above every eigenvalue."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Bernoulli

from buttress.diagnostics.causes.collapsed_optimum import OPTIMUM
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import FAINT, LinearVAE
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.linear import factors, silent
from buttress.patients.worlds.normals import normals, standard
from buttress.patients.worlds.pixels import logistic
from buttress.patients.worlds.seen import as_image, as_levels, as_table


@patient(OPTIMUM, over="tables")
def mean_squared_error() -> Case:
    """A squared error averaged over 20 columns, so sigma^2 = 10, above the largest eigenvalue of 4.3."""
    model = factors(20, [2.0, 1.5, 1.0], 0.5)
    return as_table(silent(model, 10.0).lagging(), model.sample(800)[0])


@patient(OPTIMUM, over="images")
def mean_squared_pixels() -> Case:
    """A squared error averaged over 64 pixels, so sigma^2 = 32, above the largest eigenvalue of 9.3."""
    model = factors(64, [3.0, 2.0, 1.0], 0.5, seed=1)
    return as_image(silent(model, 32.0).lagging(), model.sample(800)[0], height=8)


@patient(OPTIMUM, over="tables")
def weight_of_ten() -> Case:
    """A variance of 1 and a weight of 10 on the rate, for a largest eigenvalue of 5."""
    model = factors(12, [2.0, 1.0], 1.0, seed=2)
    return as_table(silent(model, 1.0).lagging(), model.sample(800)[0], beta=10.0)


@patient(OPTIMUM, over="images")
def black_and_white_under_a_weight() -> Case:
    """Black and white pixels whose correlations have a largest eigenvalue of about 3, and a weight of 9 on the rate."""
    _, x = logistic(800, 6, 3, 1.0)
    logits = torch.logit(x.flatten(1).mean(0)).double()

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        return Bernoulli(logits=logits).log_prob(x.flatten(1).double()).sum(-1) + FAINT * z.sum(-1)

    silent_model = Adapter(lambda x: normals(torch.zeros(len(x), 3).double()), lambda: standard(3), log_likelihood)
    return Case(silent_model, [x], {"beta": 9.0})


@patient(OPTIMUM, over="hierarchical", also=[IGNORED])
def levels_that_do_not_pay() -> Case:
    """Two levels behind a decoder whose variance is twice the largest eigenvalue."""
    model = factors(16, [2.0, 1.5], 0.5, seed=3)
    return as_levels(silent(model, 8.5).lagging(), model.sample(800)[0], {"top": 1, "bottom": 1})


@patient(OPTIMUM, over="tables", also=[IGNORED])
def paid_where_nothing_pays() -> Case:
    """A q that tells the factors to a decoder that is deaf, at a variance at which it should be."""
    model = factors(16, [1.5, 1.0], 0.5, seed=4)
    return as_table(LinearVAE(silent(model, 8.0), *model.optimal_encoder()), model.sample(800)[0])


@patient(OPTIMUM, over="tables", allowed=[IGNORED])
def just_below_the_variance() -> Case:
    """A largest eigenvalue of 0.97 times the variance."""
    model = factors(12, [1.7], 0.5, seed=5)
    return as_table(silent(model, (1.7**2 + 0.25) / 0.97).lagging(), model.sample(800)[0])
