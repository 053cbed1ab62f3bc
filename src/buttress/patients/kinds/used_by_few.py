"""A z that a hundredth of the examples needs, and the others do not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from buttress.core.batch import Batch, Given
from buttress.diagnostics.causes.used_by_few import BY_FEW
from buttress.diagnostics.protocol import Adapter
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.seen import as_image, as_sentences, as_table
from buttress.patients.worlds.subgroup import subgroup


@patient(BY_FEW, over="tables")
def a_hundredth_of_rows() -> Case:
    """Twenty rows of 2,000, whose twenty columns share a factor."""
    return as_table(*subgroup(0.01))


@patient(BY_FEW, over="images")
def a_fiftieth_of_images() -> Case:
    """Forty images of 2,000, whose pixels share a factor; the first pixel tells which."""
    model, x = subgroup(0.02, dims=24, seed=1)
    return as_image(model, x, height=5)


@patient(BY_FEW, over="sentences")
def a_hundredth_of_sentences() -> Case:
    """Twenty sentences of 2,000, whose twelve words share a factor; the first word tells which."""
    model, x = subgroup(0.01, dims=12, strength=5.0, noise=2.0, seed=2)
    shifted = Adapter(
        lambda x: model.posterior(torch.cat([x[:, :1] - 1, x[:, 1:] - 30], 1)),
        model.prior,
        lambda x, z: model.log_likelihood(torch.cat([x[:, :1] - 1, x[:, 1:] - 30], 1), z),
    )
    return as_sentences(shifted, torch.cat([x[:, :1] + 1, x[:, 1:] + 30], 1))


@patient(BY_FEW, over="conditional")
def a_rare_label() -> Case:
    """A label that thirty rows of 2,000 have; the columns of those share a factor."""
    model, x = subgroup(0.015, seed=3)

    def whole(x: Tensor, given: Given) -> Tensor:
        return torch.cat([given["label"][:, None].double(), x], 1)

    def posterior(x: Tensor, given: Given) -> Distribution:
        return model.posterior(whole(x, given))

    def log_likelihood(x: Tensor, z: Tensor, given: Given) -> Tensor:
        return model.log_likelihood(whole(x, given), z)

    return Case(Adapter(posterior, model.prior, log_likelihood), [Batch(x[:, 1:], {"label": x[:, 0].long()})])


@patient(BY_FEW, over="tables")
def few_of_the_rows() -> Case:
    """Fifty rows of 2,500, whose thirty columns share a factor."""
    return as_table(*subgroup(0.02, n=2500, dims=30, strength=0.7, seed=4))
