"""The rate has a weight: exact optima of distortion + beta rate, above 1 and below."""

from __future__ import annotations

from buttress.diagnostics.causes.prior_mismatch import FAR
from buttress.diagnostics.causes.rate_weight import WEIGHT
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.linear import at_weight, factors
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table


@patient(WEIGHT, over="tables")
def weight_of_five() -> Case:
    """Two factors at a weight of 5."""
    model = factors(12, [7.0, 5.0], 1.0)
    return as_table(at_weight(model, 5.0), model.sample(800)[0])


@patient(WEIGHT, over="tables")
def weight_of_twenty() -> Case:
    """One factor at a weight of 20, stated."""
    model = factors(12, [10.0], 1.0, seed=1)
    return as_table(at_weight(model, 20.0), model.sample(800)[0], beta=20.0)


@patient(WEIGHT, over="images")
def averaged_pixels_in_balance() -> Case:
    """Three factors behind 6 x 6 pixels at a weight of 8."""
    model = factors(36, [9.0, 7.0, 6.0], 1.0, seed=2)
    return as_image(at_weight(model, 8.0), model.sample(800)[0], height=6)


@patient(WEIGHT, over="sentences")
def heavy_words() -> Case:
    """Two factors behind sentences of ten words at a weight of 4."""
    model = factors(10, [16.0, 12.0], 2.0, seed=3, middle=30.0)
    return as_sentences(at_weight(model, 4.0), model.sample(800)[0])


@patient(WEIGHT, over="conditional")
def heavy_with_labels() -> Case:
    """Two factors beside a label at a weight of 6."""
    model = factors(12, [8.0, 6.0], 1.0, seed=4)
    return as_conditional(at_weight(model, 6.0), model.sample(800)[0])


@patient(WEIGHT, over="hierarchical")
def heavy_levels() -> Case:
    """Two levels of one coordinate each at a weight of 4."""
    model = factors(12, [7.0, 5.0], 1.0, seed=5)
    return as_levels(at_weight(model, 4.0), model.sample(800)[0], {"top": 1, "bottom": 1})


@patient(WEIGHT, over="tables")
def weight_of_a_twentieth() -> Case:
    """Two factors at a weight of 0.05."""
    model = factors(12, [2.0, 1.5], 1.0, seed=6)
    return as_table(at_weight(model, 0.05), model.sample(800)[0])


@patient(WEIGHT, over="images")
def light_pixels() -> Case:
    """Three factors behind 6 x 6 pixels at a weight of 0.1."""
    model = factors(36, [2.0, 1.5, 1.2], 0.7, seed=7)
    return as_image(at_weight(model, 0.1), model.sample(800)[0], height=6)


@patient(WEIGHT, over="sentences")
def light_words() -> Case:
    """Two factors behind sentences of ten words at a weight of 0.05, stated."""
    model = factors(10, [12.0, 9.0], 2.0, seed=8, middle=30.0)
    return as_sentences(at_weight(model, 0.05), model.sample(800)[0], beta=0.05)


@patient(WEIGHT, over="conditional")
def light_with_labels() -> Case:
    """Two factors beside a label at a weight of 0.05."""
    model = factors(12, [3.0, 2.0], 1.0, seed=9)
    return as_conditional(at_weight(model, 0.05), model.sample(800)[0])


@patient(WEIGHT, over="tables", also=[FAR])
def autoencoder() -> Case:
    """A q of hardly any width, six times as far out as the prior."""
    model = factors(20, [2.0, 1.7, 1.3, 1.0], 0.5, seed=10)
    loud = LinearGaussian(model.weight / 6, model.mean, model.variance)
    encoder, spread = model.optimal_encoder()
    return as_table(LinearVAE(loud, 6 * encoder, 1e-6 * spread), model.sample(800)[0])


@patient(WEIGHT, over="tables")
def weight_of_fifteen() -> Case:
    """Three factors behind 30 columns at a weight of 15, as a mean over half of the columns gives."""
    model = factors(30, [12.0, 10.0, 8.0], 1.0, seed=11)
    return as_table(at_weight(model, 15.0), model.sample(800)[0])


@patient(WEIGHT, over="tables")
def light_columns() -> Case:
    """Four factors behind 24 columns at a weight of 0.2."""
    model = factors(24, [2.0, 1.8, 1.5, 1.2], 0.7, seed=12)
    return as_table(at_weight(model, 0.2), model.sample(800)[0])
