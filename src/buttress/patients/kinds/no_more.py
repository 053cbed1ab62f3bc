"""Data with little to say, and models that say all of it."""

from __future__ import annotations

from buttress.diagnostics.causes.no_more import NO_MORE
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.linear import factors, weak
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table


@patient(NO_MORE, over="tables")
def a_weak_factor() -> Case:
    """Four columns that share a factor of 0.16 nats."""
    model = weak(4, 0.3)
    return as_table(model.vae(), model.sample(3000)[0])


@patient(NO_MORE, over="images")
def a_weak_factor_in_pixels() -> Case:
    """Sixteen pixels that share a factor of 0.22 nats."""
    model = weak(16, 0.09, 0.5)
    return as_image(model.vae(), model.sample(3000, seed=1)[0], height=4)


@patient(NO_MORE, over="sentences")
def a_weak_factor_in_words() -> Case:
    """Six words that share a factor of 0.2 nats."""
    model = weak(6, 0.6, 2.0, middle=30.0)
    return as_sentences(model.vae(), model.sample(3000, seed=2)[0])


@patient(NO_MORE, over="conditional")
def a_weak_factor_beside_a_label() -> Case:
    """Five columns that share a factor of 0.2 nats beside a label."""
    model = weak(5, 0.3)
    return as_conditional(model.vae(), model.sample(3000, seed=3)[0])


@patient(NO_MORE, over="hierarchical")
def weak_levels() -> Case:
    """Two levels with a factor of 0.1 nats each behind ten columns."""
    model = factors(10, [0.5, 0.5], 1.0, seed=4)
    return as_levels(model.vae(), model.sample(3000, seed=4)[0], {"top": 1, "bottom": 1})
