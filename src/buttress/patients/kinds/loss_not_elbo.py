r"""Losses that average over x beside a summed KL, and encoders that lag behind a right loss with a q as near the prior.

All decoders read z more faintly than the data offer it, as in training; q is the best one for the decoder at the weight
that the loss gives the rate, so nothing lags. At a weight of 1 a better q would gain.
"""

from __future__ import annotations

from buttress.diagnostics.causes.lagging import LAGS
from buttress.diagnostics.causes.loss_not_elbo import NOT_ELBO
from buttress.diagnostics.causes.rate_weight import WEIGHT
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.linear import at_rest, factors
from buttress.patients.worlds.pixels import logistic
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table


@patient(NOT_ELBO, over="tables")
def averaged_columns() -> Case:
    """A squared error averaged over 40 columns."""
    model = factors(40, [3.0, 2.5], 1.0, seed=40)
    return as_table(at_rest(model, 0.4, 40.0), model.sample(600)[0])


@patient(NOT_ELBO, over="images")
def averaged_pixels() -> Case:
    """A squared error averaged over 8 x 8 pixels."""
    model = factors(64, [3.0, 2.5, 2.0], 1.0, seed=41)
    return as_image(at_rest(model, 0.5, 64.0), model.sample(600)[0], height=8)


@patient(NOT_ELBO, over="images")
def averaged_bits() -> Case:
    """A cross-entropy averaged over 12 x 12 black and white pixels."""
    model, x = logistic(600, 12, 3, 0.8, seed=42, read=0.5, beta=144.0)
    return Case(model, [x])


@patient(NOT_ELBO, over="images")
def a_large_average() -> Case:
    """A squared error averaged over 16 x 16 pixels."""
    model = factors(256, [5.0, 4.0, 4.0, 3.0], 1.0, seed=43)
    return as_image(at_rest(model, 0.5, 256.0), model.sample(600)[0], height=16)


@patient(NOT_ELBO, over="sentences", also=[WEIGHT])
def averaged_tokens() -> Case:
    """A loss averaged over the 12 tokens of a sentence."""
    model = factors(12, [4.5, 3.5], 2.0, seed=44, middle=30.0)
    return as_sentences(at_rest(model, 0.5, 12.0), model.sample(600)[0])


@patient(NOT_ELBO, over="conditional")
def averaged_beside_a_label() -> Case:
    """A squared error averaged over 30 columns beside a label."""
    model = factors(30, [3.0, 2.5], 1.0, seed=45)
    return as_conditional(at_rest(model, 0.4, 30.0), model.sample(600)[0])


@patient(NOT_ELBO, over="hierarchical")
def averaged_behind_levels() -> Case:
    """A squared error averaged over 36 columns behind two levels."""
    model = factors(36, [3.0, 2.5], 1.0, seed=46)
    return as_levels(at_rest(model, 0.4, 36.0), model.sample(600)[0], {"top": 1, "bottom": 1})


@patient(NOT_ELBO, over="tables")
def averaged_and_weighted() -> Case:
    """A squared error averaged over 25 columns and a beta of 4 beside it: a weight of 100."""
    model = factors(25, [2.5, 2.0], 1.0, seed=47)
    return as_table(at_rest(model, 0.35, 100.0), model.sample(600)[0])


@patient(LAGS, over="images")
def an_eye_that_is_shut() -> Case:
    """A decoder that made images of 8 x 8 pixels, and q = p(z): an average over pixels would not keep q there."""
    model = factors(64, [5.0, 4.0, 3.0], 0.5, seed=48)
    return as_image(model.lagging(), model.sample(600)[0], height=8)


@patient(LAGS, over="tables")
def a_wide_table_not_looked_at() -> Case:
    """A decoder that made rows of 60 columns, and q = p(z)."""
    model = factors(60, [4.0, 3.5, 3.0], 0.5, seed=49)
    return as_table(model.lagging(), model.sample(600)[0])


@patient(LAGS, over="tables")
def faint_at_a_stated_weight() -> Case:
    """The faint decoder of averaged columns and q = p(z), of a loss that is stated to be an ELBO."""
    model = factors(40, [3.0, 2.5], 1.0, seed=50)
    return as_table(at_rest(model, 0.4, 1e9), model.sample(600)[0], beta=1.0)


@patient(LAGS, over="images")
def faint_pixels_at_a_stated_weight() -> Case:
    """The faint decoder of averaged pixels and q = p(z), of a loss that is stated to be an ELBO."""
    model = factors(64, [3.0, 2.5, 2.0], 1.0, seed=51)
    return as_image(at_rest(model, 0.5, 1e9), model.sample(600)[0], height=8, beta=1.0)


@patient(LAGS, over="tables", allowed=[NOT_ELBO])
def faint_and_nothing_stated() -> Case:
    """A faint decoder and q = p(z), of an ELBO whose encoder was not trained: an average gives the same numbers."""
    model = factors(40, [3.0, 2.5], 1.0, seed=52)
    return as_table(at_rest(model, 0.4, 1e9), model.sample(600)[0])


@patient(LAGS, over="images", allowed=[NOT_ELBO])
def faint_pixels_and_nothing_stated() -> Case:
    """A faint decoder of pixels and q = p(z), of an ELBO whose encoder was not trained."""
    model = factors(64, [3.0, 2.5, 2.0], 1.0, seed=53)
    return as_image(at_rest(model, 0.5, 1e9), model.sample(600)[0], height=8)
