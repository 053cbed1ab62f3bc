"""Autoencoders for a second model to learn, which want a q that is a point, and what is wrong with some."""

from __future__ import annotations

import torch

from buttress.diagnostics.causes.codebook import DEAD
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.causes.rate_weight import WEIGHT
from buttress.diagnostics.causes.under_used import UNDER_USED
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.patients.kinds.codebook import constant
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.codes import colours, pictures
from buttress.patients.worlds.linear import factors, loud, silent
from buttress.patients.worlds.seen import as_image, as_table

PURPOSE = {"purpose": "compression"}


def point(model: LinearGaussian, times: float, width: float = 1e-3) -> LinearVAE:
    """A q of hardly any width, some times as far out as the prior."""
    far = loud(model, times)
    return LinearVAE(far.model, far.encoder, torch.full_like(far.spread, width**2))


@patient(HEALTHY, over="images")
def latents_for_diffusion() -> Case:
    """Four factors behind 8 x 8 pixels, a q that is a point and five times as far out as the prior."""
    model = factors(64, [5.0, 4.0, 3.0, 3.0], 0.3, seed=100)
    return as_image(point(model, 5.0), model.sample(600)[0], height=8, **PURPOSE)


@patient(HEALTHY, over="tables")
def latents_of_unit_size() -> Case:
    """Three factors behind 20 columns, and a q that is a point where the prior is."""
    model = factors(20, [4.0, 3.0, 3.0], 0.3, seed=101)
    return as_table(point(model, 1.0), model.sample(600)[0], **PURPOSE)


@patient(HEALTHY, over="images")
def codes_for_a_second_model() -> Case:
    """Images of eight kinds, and a codebook of eight codes for a second model to learn."""
    made = pictures(seed=102)
    return Case(made.model(), [made.x], PURPOSE)


@patient(WEIGHT, over="tables")
def too_noisy_to_compress() -> Case:
    """A q in balance with a weight of 1, right for a density and too wide for compression."""
    model = factors(20, [4.0, 3.0, 3.0], 0.5, seed=103)
    return as_table(model.vae(), model.sample(600)[0], **PURPOSE)


@patient(WEIGHT, over="images")
def pixels_too_noisy_to_compress() -> Case:
    """The same for images of 6 x 6 pixels, at a weight of about a third."""
    model = factors(36, [4.0, 3.0, 3.0], 0.5, seed=104)
    vae = model.vae()
    return as_image(LinearVAE(model, vae.encoder, 0.35 * vae.spread), model.sample(600)[0], height=6, **PURPOSE)


@patient(WEIGHT, over="tables", allowed=[HEALTHY])
def nearly_a_point() -> Case:
    """A q whose noise costs an eighth of what a q in balance would pay, for compression."""
    model = factors(20, [4.0, 3.0, 3.0], 0.5, seed=105)
    vae = model.vae()
    return as_table(LinearVAE(model, vae.encoder, 0.125 * vae.spread), model.sample(600)[0], **PURPOSE)


@patient(IGNORED, over="tables")
def compressed_and_not_read() -> Case:
    """A q that is a point, for compression, and a decoder that has unlearned z."""
    model = factors(20, [2.0, 1.5], 0.5, seed=106)
    vae = point(model, 3.0)
    return as_table(LinearVAE(silent(model), vae.encoder, vae.spread), model.sample(600)[0], **PURPOSE)


@patient(DEAD, over="images")
def one_code_for_a_second_model() -> Case:
    """One code of eight for every image, for a second model to learn."""
    made = pictures(seed=107)
    return Case(made.model(constant(4)), [made.x], PURPOSE)  # type: ignore[arg-type]


@patient(UNDER_USED, over="codes")
def few_codes_for_a_second_model() -> Case:
    """Rows of six colours, and a codebook of 64 for a second model to learn."""
    made = colours(slots=1, classes=64, width=6, seed=108, shares=[1.0] * 6)
    return Case(made.model(), [made.x], PURPOSE)
