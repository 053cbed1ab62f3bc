r"""Models near a threshold, on one side of it in closed form: what the confidence of a cause is calibrated on.

The cause is the one that the thresholds of :mod:`buttress.diagnostics.thresholds` give to the exact numbers; the other
side is allowed, since no sample of this size can tell.
"""

from __future__ import annotations

from buttress.diagnostics.causes.collapsed_optimum import OPTIMUM
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.causes.lagging import LAGS
from buttress.diagnostics.causes.no_more import NO_MORE
from buttress.diagnostics.causes.prior_mismatch import FAR
from buttress.diagnostics.causes.rate_weight import WEIGHT
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.linear import at_weight, factors, moved, silent, weak
from buttress.patients.worlds.seen import as_table

TWO_FACTORS = factors(12, [5.0, 4.0], 1.0, seed=20)


def behind(model: LinearGaussian, times: float) -> LinearVAE:
    """An encoder on its way, from which a better q gains some times what z carries by now, in ELBO or distortion."""
    x, best, low, high = model.sample(2000, seed=9)[0], model.vae(), 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        vae = model.lagging(middle)
        gains = vae.amortisation_gap(x).mean(), (vae.distortion(x) - best.distortion(x)).mean()
        carried = min(vae.mutual_information(), float(vae.rate(x).sum(1).mean()), vae.worth_shuffled())
        low, high = (middle, high) if float(min(gains)) > times * carried else (low, middle)
    return model.lagging(low)


@patient(IGNORED, over="tables", allowed=[OPTIMUM])
def just_above_the_variance() -> Case:
    """A largest eigenvalue of 1.05 times the variance, and a decoder that has unlearned z."""
    model = factors(12, [1.7], 0.5, seed=21)
    return as_table(silent(model, (1.7**2 + 0.25) / 1.05).lagging(), model.sample(800)[0])


@patient(OPTIMUM, over="tables", allowed=[IGNORED])
def below_the_variance() -> Case:
    """A largest eigenvalue of 0.93 times the variance."""
    model = factors(12, [1.7], 0.5, seed=22)
    return as_table(silent(model, (1.7**2 + 0.25) / 0.93).lagging(), model.sample(800)[0])


@patient(WEIGHT, over="tables", allowed=[HEALTHY])
def a_weight_of_just_over_two() -> Case:
    """Two factors at a weight of 2.1, above the 2 from which on a weight is news."""
    return as_table(at_weight(TWO_FACTORS, 2.1), TWO_FACTORS.sample(800)[0])


@patient(HEALTHY, over="tables", allowed=[WEIGHT])
def a_weight_of_nearly_two() -> Case:
    """Two factors at a weight of 1.9."""
    return as_table(at_weight(TWO_FACTORS, 1.9), TWO_FACTORS.sample(800, seed=1)[0])


@patient(WEIGHT, over="tables", allowed=[HEALTHY])
def a_weight_of_just_under_a_half() -> Case:
    """Two factors at a weight of 0.46, below the half from which on a weight is news."""
    return as_table(at_weight(TWO_FACTORS, 0.46), TWO_FACTORS.sample(800, seed=2)[0])


@patient(HEALTHY, over="tables", allowed=[WEIGHT])
def a_weight_of_over_a_half() -> Case:
    """Two factors at a weight of 0.55."""
    return as_table(at_weight(TWO_FACTORS, 0.55), TWO_FACTORS.sample(800, seed=3)[0])


@patient(FAR, over="tables", allowed=[HEALTHY])
def just_over_a_third_too_far() -> Case:
    """All q moved so that 0.36 of the rate is distance from the prior."""
    model = factors(16, [5.0, 4.0], 0.4, seed=23)
    return as_table(moved(model, _away(model, 0.36)), model.sample(1000)[0])


@patient(HEALTHY, over="tables", allowed=[FAR])
def nearly_a_third_too_far() -> Case:
    """All q moved so that 0.31 of the rate is distance from the prior."""
    model = factors(16, [5.0, 4.0], 0.4, seed=24)
    return as_table(moved(model, _away(model, 0.31)), model.sample(1000)[0])


def _away(model: LinearGaussian, part: float) -> float:
    """How far two coordinates must be moved for this part of the rate: KL(q(z) || p(z)) is then its square."""
    return (model.mutual_information() * part / (1 - part)) ** 0.5


@patient(LAGS, over="tables", allowed=[HEALTHY, NO_MORE])
def lagging_by_a_little_more() -> Case:
    """An encoder from which a better q gains 1.2 times what z carries."""
    return as_table(behind(TWO_FACTORS, 1.2), TWO_FACTORS.sample(800, seed=4)[0])


@patient(HEALTHY, over="tables", allowed=[LAGS, NO_MORE])
def lagging_by_a_little_less() -> Case:
    """An encoder from which a better q gains 0.85 of what z carries."""
    return as_table(behind(TWO_FACTORS, 0.85), TWO_FACTORS.sample(800, seed=5)[0])


@patient(NO_MORE, over="tables", allowed=[HEALTHY])
def nearly_enough() -> Case:
    """One factor of 0.46 nats, just below what it takes to be called used."""
    model = weak(4, 0.614)
    return as_table(model.vae(), model.sample(1500, seed=6)[0])
