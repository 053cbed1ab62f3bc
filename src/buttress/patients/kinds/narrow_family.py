r"""Correlated posteriors behind the best q with independent coordinates.

Its means lie on one line, so all q together are far from the prior too: with K factors and precision p of each
coordinate, $\mathrm{KL}(q(z) \| p(z))$ is about $\frac12 (K - 1)(\log p - 1 + 1 / p)$.
"""

from __future__ import annotations

from buttress.diagnostics.causes.narrow_family import NARROW
from buttress.diagnostics.causes.nuisance import NUISANCE
from buttress.diagnostics.causes.prior_mismatch import FAR
from buttress.patients.patient import Case, patient
from buttress.patients.worlds.linear import shared
from buttress.patients.worlds.seen import as_conditional, as_image, as_sentences, as_table


@patient(NARROW, over="tables", also=[FAR])
def the_sum_of_six() -> Case:
    """Six factors of which three columns show the sum."""
    model = shared(3, 6, 1.0, 0.2)
    return as_table(model.vae(), model.sample(600)[0])


@patient(NARROW, over="images", also=[FAR, NUISANCE])
def the_sum_of_five_in_pixels() -> Case:
    """Five factors of which nine pixels show the sum, which is their brightness."""
    model = shared(9, 5, 0.8, 0.3)
    return as_image(model.vae(), model.sample(600)[0], height=3)


@patient(NARROW, over="sentences", also=[FAR])
def the_sum_of_six_in_words() -> Case:
    """Six factors of which ten words show the sum."""
    model = shared(10, 6, 2.0, 2.0, middle=30.0)
    return as_sentences(model.vae(), model.sample(600)[0])


@patient(NARROW, over="conditional", also=[FAR])
def the_sum_of_five_beside_a_label() -> Case:
    """Five factors of which four columns show the sum, beside a label."""
    model = shared(4, 5, 1.0, 0.25)
    return as_conditional(model.vae(), model.sample(600)[0])
