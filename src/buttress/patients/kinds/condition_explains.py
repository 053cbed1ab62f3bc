"""Conditional models whose condition says all there is to say, and z nothing, and near misses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from buttress.core.batch import Batch, Given
from buttress.diagnostics.causes.condition_explains import EXPLAINED
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import FAINT
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.linear import factors, silent
from buttress.patients.worlds.normals import normals, standard
from buttress.patients.worlds.seen import as_conditional


def noise(dims: int, sigma: float, seed: int) -> Tensor:
    """Rows in which nothing depends on anything."""
    return sigma * torch.randn(800, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn_pictures(seed: int, side: int = 6, classes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Black and white images, each a noisy copy of the picture of its label; labels; chances of each label's pixels."""
    own = torch.Generator().manual_seed(seed)
    chance = torch.rand(classes, 1, side, side, generator=own).round() * 0.8 + 0.1
    label = torch.randint(classes, (800,), generator=own)
    return torch.bernoulli(chance[label], generator=own), label, chance


def of_labels(x: Tensor, label: Tensor, posterior: object, chance: Tensor) -> Case:
    """Images behind a decoder that reads the label and nothing else."""

    def log_likelihood(x: Tensor, z: Tensor, given: Given) -> Tensor:
        each = Bernoulli(chance[given["label"]]).log_prob(x).flatten(1).sum(1)
        return each + FAINT * z.sum(-1)

    batches = [Batch(x[i : i + 400], {"label": label[i : i + 400]}) for i in (0, 400)]
    return Case(Adapter(posterior, lambda: standard(2), log_likelihood), batches)  # type: ignore[arg-type]


def regressed(seed: int, left: float = 0.0) -> Case:
    """Rows that are linear in four numbers given beside them, and in one factor of length ``left`` that is not."""
    own = torch.Generator().manual_seed(seed)
    c = torch.randn(800, 4, generator=own, dtype=torch.float64)
    way = 2 * torch.randn(4, 10, generator=own, dtype=torch.float64)
    model = factors(10, [left or FAINT], 0.5, seed=seed)
    vae = model.vae() if left else model.lagging()

    def posterior(x: Tensor, given: Given) -> Distribution:
        found: Distribution = vae.posterior(x - given["numbers"] @ way)
        return found

    def log_likelihood(x: Tensor, z: Tensor, given: Given) -> Tensor:
        found: Tensor = vae.log_likelihood(x - given["numbers"] @ way, z)
        return found

    x = model.sample(800, seed=seed)[0] + c @ way
    batches = [Batch(x[i : i + 400], {"numbers": c[i : i + 400]}) for i in (0, 400)]
    return Case(Adapter(posterior, vae.prior, log_likelihood), batches)


@patient(EXPLAINED, over="conditional")
def the_label_leaves_noise() -> Case:
    """Rows that are their label's and noise, a decoder that knows both, and q = p(z)."""
    model = silent(factors(12, [1.0, 0.8], 0.5, seed=30), 0.25)
    return as_conditional(model.lagging(), noise(12, 0.5, seed=30))


@patient(EXPLAINED, over="conditional")
def the_label_again_in_z() -> Case:
    """The same, and a q that tells the label once more, which the decoder need not read."""
    model = silent(factors(12, [1.0, 0.8], 0.5, seed=31), 0.25)
    case, means = as_conditional(model.lagging(), noise(12, 0.5, seed=31)), 3 * torch.eye(4, 2).double()
    told = lambda x, given: normals(means[given["label"]], 0.3)  # noqa: E731
    return Case(Adapter(told, case.model.prior, case.model.log_likelihood), case.batches)


@patient(EXPLAINED, over="images")
def pictures_of_their_label() -> Case:
    """Images that are noisy copies of the picture of their label, which the decoder is given; q = p(z)."""
    x, label, chance = drawn_pictures(seed=32)
    return of_labels(x, label, lambda x: normals(torch.zeros(len(x), 2).double()), chance)


@patient(EXPLAINED, over="images")
def pictures_of_their_label_seen_twice() -> Case:
    """The same images, and a q that tells how bright they are, which the label says already but for noise."""
    x, label, chance = drawn_pictures(seed=33)

    def posterior(x: Tensor) -> Distribution:
        bright = x.flatten(1).mean(1, keepdim=True).double() - 0.5
        return normals(torch.cat([6 * bright, 0 * bright], 1), 0.9)

    return of_labels(x, label, posterior, chance)


@patient(EXPLAINED, over="tables")
def four_numbers_say_it() -> Case:
    """Rows that are linear in four numbers given beside them, noise, and q = p(z)."""
    return regressed(seed=34)


@patient(EXPLAINED, over="tables")
def four_other_numbers_say_it() -> Case:
    """The same with other numbers."""
    return regressed(seed=35)


@patient(IGNORED, over="conditional", allowed=[EXPLAINED])
def a_little_is_left() -> Case:
    """A label, a decoder that ignores z, and one factor left of which a linear z would gain 0.15 nats."""
    model = factors(12, [0.5], 0.5, seed=36)
    return as_conditional(silent(model, 0.25).lagging(), model.sample(800, seed=36)[0])


@patient(HEALTHY, over="conditional")
def the_label_says_most() -> Case:
    """A label that is worth some hundred nats, and one factor of 0.9 nats beside it, which z tells."""
    model = factors(12, [1.2], 0.5, seed=37)
    return as_conditional(model.vae(), model.sample(800, seed=37)[0])


@patient(HEALTHY, over="conditional")
def numbers_beside_a_factor() -> Case:
    """Rows that are linear in four numbers given beside them and in one factor, which z tells."""
    return regressed(seed=38, left=2.0)
