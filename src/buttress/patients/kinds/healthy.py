"""Models in good order, and near misses: what looks like a trouble and is none."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from buttress.core.batch import Given
from buttress.diagnostics.causes.no_more import NO_MORE
from buttress.diagnostics.causes.untrusted import UNTRUSTED
from buttress.diagnostics.protocol import Adapter
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.codes import CodedData, colours, pictures, topics
from buttress.patients.worlds.linear import factors, shared, weak
from buttress.patients.worlds.normals import normals, standard
from buttress.patients.worlds.pixels import logistic
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table
from buttress.patients.worlds.stories import Stories


@patient(HEALTHY, over="tables")
def four_factors() -> Case:
    """Four factors behind 20 columns, and the best q."""
    model = factors(20, [2.0, 1.7, 1.3, 1.0], 0.5)
    return as_table(model.vae(), model.sample(600)[0])


@patient(HEALTHY, over="tables")
def full_covariance() -> Case:
    """Six factors of which the data show the sum, and the exact posterior with its correlations."""
    model = shared(3, 6, 1.0, 0.2)
    return as_table(model, model.sample(600)[0])


@patient(HEALTHY, over="tables")
def wide_table() -> Case:
    """Eight factors behind 60 columns."""
    model = factors(60, [2.5, 2.2, 2.0, 1.8, 1.6, 1.4, 1.2, 1.0], 0.7, seed=1)
    return as_table(model.vae(), model.sample(600)[0])


@patient(HEALTHY, over="tables")
def idle_dimensions() -> Case:
    """Three factors and a z of 16 dimensions, of which 13 are not needed and equal the prior."""
    model = factors(20, [2.0, 1.5, 1.0] + [0.0] * 13, 0.5, seed=2)
    return as_table(model.vae(), model.sample(600)[0])


@patient(HEALTHY, over="tables", also=[UNTRUSTED], allowed=[UNTRUSTED])
def one_row_far_off() -> Case:
    """Three factors, and one row that is forty times as large as it should be."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=3)
    x = model.sample(600)[0]
    x[17] *= 40
    return as_table(model.vae(), x)


@patient(HEALTHY, over="tables")
def large_units() -> Case:
    """Three factors, all columns in units a thousand times as small."""
    model = factors(16, [2000.0, 1500.0, 1000.0], 500.0, seed=4)
    return as_table(model.vae(), model.sample(600)[0])


@patient(HEALTHY, over="tables")
def alike_but_used() -> Case:
    """Features with a mean cosine of 0.99, since all are positive, and a z that tells three factors from them."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=5)
    return as_table(model.vae(), model.sample(600)[0], encode=lambda x: 10.0 + x)


@patient(HEALTHY, over="tables", allowed=[NO_MORE])
def just_enough() -> Case:
    """One factor of 0.7 nats, just above what it takes to be called used."""
    model = weak(4, 0.87)
    return as_table(model.vae(), model.sample(1500)[0])


@patient(HEALTHY, over="tables")
def steps() -> Case:
    """Sixteen signs, and a decoder that reads the sign of z: the exact optimum of q for a step."""
    m, s, sigma = 0.97, 0.239, 0.03
    x = torch.randint(0, 2, (400, 16), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    return Case(
        Adapter(
            lambda x: normals(m * x.sign(), s),
            lambda: standard(16),
            lambda x, z: Normal(z.sign(), sigma).log_prob(x).sum(-1),
        ),
        [x],
    )


@patient(HEALTHY, over="images")
def picture_factors() -> Case:
    """Five factors behind images of 8 x 8 pixels."""
    model = factors(64, [3.0, 2.5, 2.0, 1.7, 1.4], 0.5, seed=6)
    return as_image(model.vae(), model.sample(600)[0], height=8)


@patient(HEALTHY, over="images")
def logistic_pixels() -> Case:
    """Black and white images whose logits are linear in three factors, and the best normal q."""
    model, x = logistic(600, 8, 3, 1.5)
    return Case(model, [x])


@patient(HEALTHY, over="images")
def picture_kinds() -> Case:
    """Images of eight kinds, codes of eight, and the exact posterior, which is not always sure."""
    made = pictures(sharp=0.75)
    return Case(made.model(made.exact), [made.x])


@patient(HEALTHY, over="sentences")
def sentence_factors() -> Case:
    """Two factors behind sentences of ten words."""
    model = factors(10, [14.0, 10.0], 2.0, seed=7, middle=30.0)
    return as_sentences(model.vae(), model.sample(600)[0])


@patient(HEALTHY, over="sentences")
def length_and_words() -> Case:
    """Sentences of different lengths; z tells the length and what the words are about."""
    made = Stories(length=3.0, words=4.0, factors=2)
    return Case(made.model, [made.sample(600)])


@patient(HEALTHY, over="sentences")
def grammar_and_topic() -> Case:
    """Each word follows from the one before, in a way of four that z tells."""
    own = torch.Generator().manual_seed(0)
    chance = 0.7 * torch.eye(4).repeat_interleave(2, 1) / 2 + 0.3 / 8  # of the step to the next word, for each way
    way = torch.randint(4, (600,), generator=own)
    step = torch.multinomial(chance[way], 12, replacement=True, generator=own)
    x = step.cumsum(1) % 8 + 1

    def score(x: Tensor) -> Tensor:
        before = torch.cat([torch.ones_like(x[:, :1]), x[:, :-1]], 1)
        return chance.log()[:, (x - before) % 8].sum(-1).T[:, None]

    made = CodedData(x, score, 1, 4)
    return Case(made.model(made.exact), [x])


@patient(HEALTHY, over="codes")
def sentence_topics() -> Case:
    """Sentences on one of six topics, a code for each."""
    made = topics()
    return Case(made.model(), [made.x])


@patient(HEALTHY, over="codes")
def two_slots() -> Case:
    """Two codes, each of which tells the colour of its own columns."""
    made = colours(seed=1)
    return Case(made.model(), [made.x])


@patient(HEALTHY, over="conditional")
def labelled() -> Case:
    """Three factors beside what a label explains."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=8)
    return as_conditional(model.vae(), model.sample(800)[0])


@patient(HEALTHY, over="conditional")
def labelled_prior() -> Case:
    """A prior with a mean for each label, and a q that knows it."""
    model = factors(12, [2.0, 1.5], 0.5, seed=9)
    vae, means = model.vae(), torch.tensor([[0.0, 3.0], [3.0, 0.0], [-3.0, 0.0], [0.0, -3.0]]).double()
    case = as_conditional(vae, model.sample(800)[0])

    def posterior(x: Tensor, given: Given) -> Distribution:
        q = case.model.posterior(x, given)
        return normals(q.mean + means[given["label"]], q.stddev)

    def log_likelihood(x: Tensor, z: Tensor, given: Given) -> Tensor:
        found: Tensor = case.model.log_likelihood(x, z - means[given["label"]], given)
        return found

    prior = lambda given: normals(means[given["label"]])  # noqa: E731
    return Case(Adapter(posterior, prior, log_likelihood), case.batches)


@patient(HEALTHY, over="hierarchical")
def two_levels() -> Case:
    """A top of one coordinate and a bottom of two, all of which are read."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=10)
    return as_levels(model.vae(), model.sample(600)[0], {"top": 1, "bottom": 2})


@patient(HEALTHY, over="hierarchical")
def two_code_levels() -> Case:
    """A top code and a bottom code, each with a band of the image to itself."""
    made = pictures(slots=2, height=4, seed=2)
    return Case(made.model(levels=["top", "bottom"]), [made.x])
