"""Decoders that do as well without z, though it could pay.

They read a millionth of it, as a trained decoder does: one that z does not reach at all is another trouble
(``kinds/unreached.py``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import FAINT, LinearVAE
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.codes import pictures
from buttress.patients.worlds.linear import factors, silent
from buttress.patients.worlds.normals import normals, standard
from buttress.patients.worlds.pixels import chained, run_lengths
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table


@patient(IGNORED, over="tables")
def deaf_to_factors() -> Case:
    """Two factors in the data, a decoder that has unlearned z, q = p(z)."""
    model = factors(20, [2.0, 1.5], 0.5)
    return as_table(silent(model).lagging(), model.sample(600)[0])


@patient(IGNORED, over="images")
def deaf_to_pictures() -> Case:
    """Three factors in the images, a decoder that has unlearned z, q = p(z)."""
    model = factors(36, [3.0, 2.0, 1.5], 0.5, seed=1)
    return as_image(silent(model).lagging(), model.sample(600)[0], height=6)


@patient(IGNORED, over="sentences")
def deaf_to_words() -> Case:
    """Two factors in the words, a decoder that has unlearned z, q = p(z)."""
    model = factors(10, [14.0, 10.0], 2.0, seed=2, middle=30.0)
    return as_sentences(silent(model).lagging(), model.sample(600)[0])


@patient(IGNORED, over="sentences")
def the_word_before() -> Case:
    """Each word is the one before plus 0 or 1, which the decoder sees; q = p(z)."""
    own = torch.Generator().manual_seed(0)
    start = torch.randint(9, (500, 1), generator=own)
    step = torch.randint(2, (500, 11), generator=own)
    words = torch.cat([start, step], 1).cumsum(1) % 9 + 1

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        step = (x[:, 1:] - x[:, :-1]) % 9
        follows = torch.where(step <= 1, math.log(0.495), math.log(0.01 / 7)).sum(-1)
        return follows - math.log(9) + FAINT * z.sum(-1)

    return Case(Adapter(lambda x: normals(torch.zeros(len(x), 4)), lambda: standard(4), log_likelihood), [words])


@patient(IGNORED, over="images")
def the_pixel_before() -> Case:
    """Each pixel is like the one to its left, which the decoder sees; q tells the brightness and is not read."""
    x = run_lengths(600, 6)

    def posterior(x: Tensor) -> torch.distributions.Distribution:
        bright = x.flatten(1).mean(1, keepdim=True)
        return normals(4 * (bright - 0.5).double(), 0.5)

    return Case(Adapter(posterior, lambda: standard(1), lambda x, z: chained(x) + FAINT * z.sum(-1)), [x])


@patient(IGNORED, over="conditional")
def the_label_says_it() -> Case:
    """What a label does not explain is left to noise by the decoder; q = p(z)."""
    model = factors(12, [1.0, 0.8], 0.5, seed=3)
    return as_conditional(silent(model).lagging(), model.sample(600)[0])


@patient(IGNORED, over="tables")
def paid_and_not_read() -> Case:
    """A q that tells both factors to a decoder that has unlearned z."""
    model = factors(20, [2.0, 1.5], 0.5, seed=4)
    return as_table(LinearVAE(silent(model), *model.optimal_encoder()), model.sample(600)[0])


@patient(IGNORED, over="codes")
def pictures_not_read() -> Case:
    """Codes that tell eight kinds of images apart to a decoder that does not read them."""
    made = pictures(seed=5)
    return Case(made.model(read=[False]), [made.x])


@patient(IGNORED, over="hierarchical")
def deaf_to_levels() -> Case:
    """Two levels in which q tells three factors, and a decoder that has unlearned z."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=6)
    vae = LinearVAE(silent(model), *model.optimal_encoder())
    return as_levels(vae, model.sample(600)[0], {"top": 1, "bottom": 2})
