"""Good models measured in a way that tells nothing: too few examples, numbers too coarse, other data, other answers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import batch_norm, dropout

from buttress.diagnostics.causes.untrusted import UNTRUSTED
from buttress.diagnostics.protocol import Adapter
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.linear import factors, moved, weak
from buttress.patients.worlds.normals import normals
from buttress.patients.worlds.seen import as_conditional, as_image, as_sentences, as_table


@patient(UNTRUSTED, over="tables")
def twelve_rows() -> Case:
    """One factor of 0.3 nats, and twelve rows to see it in."""
    model = weak(4, 0.45)
    return as_table(model.vae(), model.sample(12, seed=40)[0])


@patient(UNTRUSTED, over="conditional")
def sixteen_labelled_rows() -> Case:
    """One factor of 0.3 nats beside a label, and sixteen rows to see it in."""
    model = weak(4, 0.45)
    return as_conditional(model.vae(), model.sample(16, seed=41)[0])


@patient(UNTRUSTED, over="sentences")
def ten_sentences() -> Case:
    """One factor of 0.3 nats behind the words, and ten sentences to see it in."""
    model = weak(6, 0.75, 2.0, middle=30.0)
    return as_sentences(model.vae(), model.sample(10, seed=42)[0])


@patient(UNTRUSTED, over="tables")
def means_too_large_for_their_type() -> Case:
    """Means of q of a million in float32, whose steps there are wider than q."""
    model = factors(16, [2.0, 1.5], 0.5, seed=43)
    far = moved(model, 1e6)

    def posterior(x: Tensor) -> Distribution:
        q = far.posterior(x)
        return normals(q.mean.float(), 0.01)

    return as_table(Adapter(posterior, far.prior, far.log_likelihood), model.sample(600)[0].float())


@patient(UNTRUSTED, over="images")
def q_in_sixteen_bits() -> Case:
    """A q of a thousandth around means of some units, from an encoder of bfloat16, whose steps there are wider."""
    model = factors(36, [3.0, 2.0], 0.003, seed=44)
    case, vae = as_image(model.vae(), model.sample(600, seed=44)[0], height=6), model.vae()
    coarse = nn.Linear(1, 1).bfloat16()
    seen = Adapter(
        lambda x: normals(vae.posterior(x.flatten(1)).mean.bfloat16().float(), 0.0015),
        case.model.prior,
        case.model.log_likelihood,
        module=coarse,
    )
    return Case(seen, case.batches)


@patient(UNTRUSTED, over="tables")
def raw_rows() -> Case:
    """A model of rows with a mean of 0, given rows as they came, with a mean of 20."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=45)
    return as_table(model.vae(), model.sample(600, seed=45)[0] + 20.0)


@patient(UNTRUSTED, over="images")
def pixels_up_to_255() -> Case:
    """A model of pixels around 0.5, given the same pixels times 255."""
    model = factors(64, [0.6, 0.5], 0.1, seed=46, middle=0.5)
    return as_image(model.vae(), 255 * model.sample(600, seed=46)[0], height=8)


@patient(UNTRUSTED, over="images")
def inverted_pixels() -> Case:
    """A model of mostly dark images, given the same with black and white exchanged."""
    model = factors(64, [0.6, 0.5], 0.1, seed=47, middle=0.2)
    return as_image(model.vae(), 1.0 - model.sample(600, seed=47)[0], height=8)


@patient(UNTRUSTED, over="tables")
def dropout_that_stays_on() -> Case:
    """A decoder that drops a fifth of its numbers at every call, whatever mode it is in."""
    model = factors(16, [2.0, 1.5], 0.5, seed=48)
    vae = model.vae()
    noisy = Adapter(vae.posterior, vae.prior, lambda x, z: vae.log_likelihood(x, dropout(z, 0.2, training=True)))
    return as_table(noisy, model.sample(600, seed=48)[0])


@patient(UNTRUSTED, over="images")
def statistics_of_the_batch() -> Case:
    """An encoder that normalises by the batch at hand, as batch normalisation in training mode does."""
    model = factors(36, [3.0, 2.0], 0.5, seed=49)
    vae = model.vae()
    by_batch = Adapter(
        lambda x: vae.posterior(batch_norm(x.flatten(1).double(), None, None, training=True)),
        vae.prior,
        lambda x, z: vae.log_likelihood(x.flatten(1), z),
    )
    return Case(by_batch, as_image(vae, model.sample(600, seed=49)[0], height=6).batches)


@patient(HEALTHY, over="tables")
def thirty_rows_are_enough() -> Case:
    """Three factors that are worth tens of nats, and thirty rows to see them in."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=50)
    return as_table(model.vae(), model.sample(30, seed=50)[0])


@patient(HEALTHY, over="images")
def pixels_up_to_255_as_trained() -> Case:
    """A model of pixels from 0 to 255, and such pixels."""
    model = factors(64, [150.0, 125.0], 25.0, seed=51, middle=127.0)
    return as_image(model.vae(), model.sample(600, seed=51)[0], height=8)


@patient(HEALTHY, over="tables")
def dropout_that_is_off_in_use() -> Case:
    """A module with dropout that came in training mode, and is measured without."""
    model = factors(16, [2.0, 1.5], 0.5, seed=52)
    vae, drop = model.vae(), nn.Dropout(0.5)
    seen = Adapter(vae.posterior, vae.prior, lambda x, z: vae.log_likelihood(x, drop(z)), module=drop)
    return as_table(seen, model.sample(600, seed=52)[0])
