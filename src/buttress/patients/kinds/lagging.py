"""Decoders that would use z, behind encoders that fall short."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from buttress.diagnostics.causes.idle_level import IDLE
from buttress.diagnostics.causes.lagging import LAGS
from buttress.diagnostics.reference import LinearVAE
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import topics
from buttress.patients.worlds.linear import factors
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table


@patient(LAGS, over="tables")
def half_a_signal() -> Case:
    """The means of q are half of what they should be."""
    model = factors(20, [2.0, 1.7, 1.3, 1.0], 0.5)
    encoder, spread = model.optimal_encoder()
    return as_table(LinearVAE(model, 0.5 * encoder, spread + 0.3), model.sample(600)[0])


@patient(LAGS, over="tables")
def untrained_encoder() -> Case:
    """A decoder that made the data, and q = p(z)."""
    model = factors(12, [2.0, 1.5], 0.5, seed=1)
    return as_table(model.lagging(), model.sample(600)[0])


@patient(LAGS, over="images")
def untrained_eye() -> Case:
    """A decoder that made the images, and an encoder a tenth of the way."""
    model = factors(49, [3.0, 2.0, 1.5], 0.5, seed=2)
    return as_image(model.lagging(0.1), model.sample(600)[0], height=7)


@patient(LAGS, over="sentences")
def untrained_reader() -> Case:
    """A decoder that made the sentences, and q = p(z)."""
    model = factors(10, [14.0, 10.0], 2.0, seed=3, middle=30.0)
    return as_sentences(model.lagging(), model.sample(600)[0])


@patient(LAGS, over="conditional")
def untrained_beside_a_label() -> Case:
    """A decoder that made the rows from label and z, and q = p(z)."""
    model = factors(12, [2.0, 1.5], 0.5, seed=4)
    return as_conditional(model.lagging(), model.sample(600)[0])


@patient(LAGS, over="codes")
def guessed_topics() -> Case:
    """A decoder that reads codes, and a q that gives each the same chance."""
    made = topics(seed=3)

    def posterior(x: Tensor) -> Distribution:
        return Independent(Categorical(logits=torch.zeros(len(x), 1, 6)), 1)

    return Case(made.model(posterior), [made.x])


@patient(LAGS, over="hierarchical", also=[IDLE])
def a_level_left_behind() -> Case:
    """Two levels that the decoder reads; of the bottom, which says most, q tells nothing."""
    model = factors(16, [0.8, 3.0, 2.5], 0.5, seed=5)
    encoder, spread = model.optimal_encoder()
    told = torch.tensor([1.0, 0.0, 0.0]).double()
    return as_levels(
        LinearVAE(model, told[:, None] * encoder, torch.where(told > 0, spread, 1.0)),
        model.sample(600)[0],
        {"top": 1, "bottom": 2},
    )
