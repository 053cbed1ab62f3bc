"""Log-likelihoods that are no densities: averaged, without constants, counting padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.causes.log_likelihood import AVERAGED, PADDED
from buttress.diagnostics.protocol import Adapter
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import topics
from buttress.patients.worlds.linear import factors
from buttress.patients.worlds.pixels import logistic
from buttress.patients.worlds.seen import as_conditional, as_image, as_table
from buttress.patients.worlds.stories import Stories


def divided(model: Any, by: float) -> Adapter:
    """The model with a log-likelihood that is divided, as an average over sites is."""
    return Adapter(model.posterior, model.prior, lambda x, z: model.log_likelihood(x, z) / by)


def errors(model: Any, x: Tensor, z: Tensor) -> Tensor:
    """Squared errors of every column."""
    return (x - model.mean - z.double() @ model.weight.T).square()


@patient(AVERAGED, over="tables")
def mean_over_columns() -> Case:
    """A squared error averaged over 20 columns, taken for a log-likelihood."""
    model = factors(20, [2.0, 1.7, 1.3], 0.5)
    vae = model.vae()
    mean = Adapter(vae.posterior, vae.prior, lambda x, z: -errors(model, x, z).mean(-1))
    return as_table(mean, model.sample(600)[0])


@patient(AVERAGED, over="images")
def mean_over_pixels() -> Case:
    """A squared error averaged over 49 pixels, taken for a log-likelihood."""
    model = factors(49, [3.0, 2.0, 1.5], 0.5, seed=1)
    vae = model.vae()
    mean = Adapter(vae.posterior, vae.prior, lambda x, z: -errors(model, x, z).mean(-1))
    return as_image(mean, model.sample(600)[0], height=7)


@patient(AVERAGED, over="tables")
def no_constants() -> Case:
    """A squared error over a variance of 25, without log sigma."""
    model = factors(16, [20.0, 15.0], 5.0, seed=2)
    vae = model.vae()
    bare = Adapter(vae.posterior, vae.prior, lambda x, z: -errors(model, x, z).sum(-1) / 50)
    return as_table(bare, model.sample(600)[0])


@patient(AVERAGED, over="conditional")
def mean_beside_a_label() -> Case:
    """A squared error averaged over 16 columns beside a label."""
    model = factors(16, [2.0, 1.5], 0.5, seed=3)
    vae = model.vae()
    mean = Adapter(vae.posterior, vae.prior, lambda x, z: -errors(model, x, z).mean(-1))
    return as_conditional(mean, model.sample(600)[0])


@patient(AVERAGED, over="images")
def mean_over_bits() -> Case:
    """A cross-entropy averaged over 64 black and white pixels."""
    model, x = logistic(600, 8, 3, 1.5, seed=1)
    return Case(divided(model, 64), [x])


@patient(AVERAGED, over="sentences")
def mean_over_words() -> Case:
    """A cross-entropy averaged over the 12 words of a sentence."""
    made = topics(seed=5)
    return Case(divided(made.model(made.exact), 12), [made.x])


@patient(PADDED, over="sentences")
def padding_counts() -> Case:
    """Each zero behind a sentence costs half a probability; z tells length and words."""
    made = Stories(length=3.0, words=4.0, factors=2, padding=True)
    return Case(made.model, [made.sample(600, seed=1)])


@patient(PADDED, over="sentences")
def padding_counts_for_words() -> Case:
    """Each zero behind a sentence costs half a probability; z tells the words."""
    made = Stories(words=3.0, factors=3, padding=True)
    return Case(made.model, [made.sample(600, seed=2)])


@patient(PADDED, over="sentences", also=[IGNORED])
def padding_counts_and_z_does_not() -> Case:
    """Each zero behind a sentence costs half a probability, and the decoder does not read z."""
    made = Stories(padding=True)
    return Case(made.model, [made.sample(600, seed=3)])


@patient(PADDED, over="codes")
def padding_counts_beside_codes() -> Case:
    """Sentences of 8 to 12 words on six topics, and zeros that cost half a probability each."""
    made = topics(seed=6)
    long = torch.randint(8, 13, (len(made.x), 1), generator=torch.Generator().manual_seed(0))
    x = made.x * (torch.arange(12) < long)
    own = torch.arange(30) % 6 == torch.arange(6)[:, None]
    chance = (0.8 * own / own.sum(1, keepdim=True) + 0.2 / 30).log()
    table = torch.cat([torch.zeros(6, 1), chance], 1)

    def score(x: Tensor) -> Tensor:
        return table[:, x].sum(-1).T[:, None]

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        told = score(x).expand(*z.shape, 6).gather(-1, z.long()[..., None])[..., 0].sum(-1)
        return told - 0.693 * (x == 0).sum(1)

    best = made.model(lambda x: torch.distributions.Independent(_points(score(x).argmax(-1)), 1))
    return Case(Adapter(best.posterior, best.prior, log_likelihood), [x])


def _points(codes: Tensor) -> Any:
    from buttress.distributions.point import Point

    return Point(codes)
