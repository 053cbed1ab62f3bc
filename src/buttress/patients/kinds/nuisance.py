"""A z that tells one simple number of an example and nothing else."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from buttress.diagnostics.causes.nuisance import NUISANCE
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import CodedData
from buttress.patients.worlds.linear import weak
from buttress.patients.worlds.loudness import loudness
from buttress.patients.worlds.seen import as_conditional, as_image
from buttress.patients.worlds.stories import Stories


@patient(NUISANCE, over="sentences")
def the_length_alone() -> Case:
    """z tells how long a sentence is; its words are noise."""
    made = Stories(length=4.0)
    return Case(made.model, [made.sample(1000)])


@patient(NUISANCE, over="images")
def the_brightness_alone() -> Case:
    """z tells how bright an image of 6 x 6 pixels is."""
    model = weak(36, 0.5, 1.0)
    return as_image(model.vae(), model.sample(1000)[0], height=6)


@patient(NUISANCE, over="images")
def the_contrast_alone() -> Case:
    """z tells how far the pixels of an image are spread."""
    model, x = loudness(1000, 64)
    return Case(model, [x.reshape(-1, 1, 8, 8)])


@patient(NUISANCE, over="sound")
def the_loudness_alone() -> Case:
    """z tells how loud a sound of 100 samples is."""
    model, x = loudness(1000, 100, seed=1)
    return Case(model, [x], {"kind": "wave"})


@patient(NUISANCE, over="codes")
def length_in_codes() -> Case:
    """A code of four for how long a sentence is: 3 to 6 words, 7 to 10, 11 to 14, 15 to 18."""
    own = torch.Generator().manual_seed(0)
    long = torch.randint(3, 19, (1000, 1), generator=own)
    words = torch.randint(1, 41, (1000, 18), generator=own)

    def score(x: Tensor) -> Tensor:
        long = (x > 0).sum(1)[:, None]
        fits = (long - 3) // 4 == torch.arange(4)
        return (torch.where(fits, math.log(0.25 - 1e-6), math.log(1e-6)) - long * math.log(40))[:, None]

    made = CodedData(words * (torch.arange(18) < long), score, 1, 4)
    return Case(made.model(), [made.x])


@patient(NUISANCE, over="conditional")
def the_brightness_beside_a_label() -> Case:
    """z tells how bright an image is beside what its label explains."""
    model = weak(25, 0.6, 1.0)
    flat = as_conditional(model.vae(), model.sample(1600)[0])
    return _as_images(flat, 5)


def _as_images(case: Case, height: int) -> Case:
    """Rows as images, for a conditional model."""
    from buttress.core.batch import Batch
    from buttress.diagnostics.protocol import Adapter

    own = case.model
    seen = Adapter(
        lambda x, given: own.posterior(x.flatten(1), given),
        own.prior,
        lambda x, z, given: own.log_likelihood(x.flatten(1), z, given),
    )
    batches = [
        Batch(batch.x.reshape(len(batch.x), 1, height, -1), batch.given)
        for batch in case.batches
        if isinstance(batch, Batch)
    ]
    return Case(seen, batches)
