"""Encoders whose features hardly depend on x, and what comes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from buttress.diagnostics.causes.alike_features import ALIKE
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.causes.lagging import LAGS
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.linear import factors, silent
from buttress.patients.worlds.seen import as_conditional, as_image, as_sentences, as_table


def alike(x: Tensor) -> Tensor:
    """Features of a mean cosine of 0.9999: a large constant and a hundredth of x."""
    return 10.0 + 0.01 * torch.tanh(x.float().flatten(1))


@patient(LAGS, over="tables", also=[ALIKE])
def alike_rows() -> Case:
    """A decoder that made the rows, features that are all alike, and so q = p(z)."""
    model = factors(16, [2.0, 1.5], 0.5)
    return as_table(model.lagging(), model.sample(600)[0], encode=alike)


@patient(LAGS, over="images", also=[ALIKE])
def alike_images() -> Case:
    """A decoder that made the images, features that are all alike, and a q a twentieth of the way."""
    model = factors(36, [3.0, 2.0], 0.5, seed=1)
    return as_image(model.lagging(0.05), model.sample(600)[0], height=6, encode=alike)


@patient(IGNORED, over="sentences", also=[ALIKE])
def alike_sentences_unheard() -> Case:
    """Features that are all alike, q = p(z), and a decoder that has unlearned z."""
    model = factors(10, [14.0, 10.0], 2.0, seed=2, middle=30.0)
    return as_sentences(silent(model).lagging(), model.sample(600)[0], encode=alike)


@patient(IGNORED, over="conditional", also=[ALIKE])
def alike_beside_a_label_unheard() -> Case:
    """Features that are all alike beside a label, q = p(z), and a decoder that has unlearned z."""
    model = factors(12, [2.0, 1.5], 0.5, seed=3)
    return as_conditional(silent(model).lagging(), model.sample(600)[0], encode=alike)
