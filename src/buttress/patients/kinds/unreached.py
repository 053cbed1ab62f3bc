"""Decoders that z never reaches, modules whose encoder hears nothing of the reconstruction, and near misses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.causes.no_gradient import NO_GRADIENT
from buttress.diagnostics.causes.unreached import UNREACHED
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import FAINT, LinearGaussian, LinearVAE
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.codes import pictures
from buttress.patients.worlds.linear import factors, silent
from buttress.patients.worlds.normals import normals, standard
from buttress.patients.worlds.pixels import chained, run_lengths
from buttress.patients.worlds.seen import as_conditional, as_image, as_levels, as_sentences, as_table
from buttress.patients.worlds.wired import Wired, case


def cut(model: LinearGaussian) -> LinearGaussian:
    """The decoder that explains the data without z, with weights for it of exactly 0."""
    found = silent(model)
    return LinearGaussian(0 * found.weight, found.mean, found.variance)


@patient(UNREACHED, over="tables")
def a_weight_of_zero() -> Case:
    """Two factors in the data, a q that tells both, and a decoder that multiplies z by 0."""
    model = factors(20, [2.0, 1.5], 0.5, seed=60)
    return as_table(LinearVAE(cut(model), *model.optimal_encoder()), model.sample(600)[0])


@patient(UNREACHED, over="images")
def a_picture_without_its_z() -> Case:
    """Three factors in the images, q = p(z), and weights for z of 0."""
    model = factors(36, [3.0, 2.0, 1.5], 0.5, seed=61)
    return as_image(cut(model).lagging(), model.sample(600)[0], height=6)


@patient(UNREACHED, over="images")
def pixels_alone() -> Case:
    """A decoder of pixels that gets those before and no z, behind a q that tells the brightness."""
    x = run_lengths(600, 6, seed=62)
    bright = lambda x: normals(4 * (x.flatten(1).mean(1, keepdim=True) - 0.5).double(), 0.5)  # noqa: E731
    return Case(Adapter(bright, lambda: standard(1), lambda x, z: chained(x).expand(z.shape[:2])), [x])


@patient(UNREACHED, over="sentences")
def words_without_their_z() -> Case:
    """Two factors in the words, q = p(z), and weights for z of 0."""
    model = factors(10, [14.0, 10.0], 2.0, seed=63, middle=30.0)
    return as_sentences(cut(model).lagging(), model.sample(600)[0])


@patient(UNREACHED, over="conditional")
def dropped_beside_a_label() -> Case:
    """A label that the decoder reads, and weights for z of 0 beside it."""
    model = factors(12, [1.0, 0.8], 0.5, seed=64)
    return as_conditional(LinearVAE(cut(model), *model.optimal_encoder()), model.sample(600)[0])


@patient(UNREACHED, over="hierarchical")
def levels_that_lead_nowhere() -> Case:
    """Two levels in which q tells three factors, and weights for both of 0."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=65)
    vae = LinearVAE(cut(model), *model.optimal_encoder())
    return as_levels(vae, model.sample(600)[0], {"top": 1, "bottom": 2})


@patient(UNREACHED, over="codes")
def codes_that_lead_nowhere() -> Case:
    """Codes that tell eight kinds of images apart, and a decoder that is not given them."""
    made = pictures(seed=66)
    alone = lambda x, z: made.score(x).logsumexp(-1).sum(-1).expand(z.shape[:2])  # noqa: E731
    return Case(Adapter(made.sure, lambda: made.uniform, alone), [made.x])


@patient(UNREACHED, over="tables")
def an_overwritten_z() -> Case:
    """A module whose forward decodes zeros, though its decode(z) reads z."""
    model = factors(20, [2.0, 1.5], 0.5, seed=67)
    return case(Wired(model.vae(), way=lambda mu, sigma, e: torch.zeros_like(mu)), model)


@patient(UNREACHED, over="tables")
def dead_units() -> Case:
    """A module whose decoder gets z through units that are dead for every x."""
    model = factors(20, [2.0, 1.5], 0.5, seed=68)
    return case(Wired(model.vae(), read=lambda z: (z - 1e3).relu()), model)


@patient(NO_GRADIENT, over="tables")
def a_detached_z() -> Case:
    """A module whose forward detaches z: its encoder is trained by the rate alone, and q = p(z)."""
    model = factors(20, [2.0, 1.5], 0.5, seed=69)
    vae = LinearVAE(model, 1e-3 * model.optimal_encoder()[0], torch.ones(2).double())
    return case(Wired(vae, way=lambda mu, sigma, e: (mu + sigma * e).detach()), model)


@patient(NO_GRADIENT, over="tables")
def a_detached_mean() -> Case:
    """A module whose forward detaches the mean, and samples around it."""
    model = factors(20, [2.0, 1.5], 0.5, seed=70)
    vae = LinearVAE(model, 1e-3 * model.optimal_encoder()[0], model.optimal_encoder()[1])
    return case(Wired(vae, way=lambda mu, sigma, e: mu.detach() + sigma * e), model)


class Frozen(Wired):
    """The encoder runs without gradients."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance."""
        with torch.no_grad():
            mu = self.encoder(x)
        logvar = self.logvar.expand_as(mu)
        return self.decode(mu + (logvar / 2).exp() * torch.randn_like(mu)), mu, logvar


@patient(NO_GRADIENT, over="tables")
def an_encoder_without_gradients() -> Case:
    """A module whose encoder runs under no_grad, so that it stays as it began."""
    model = factors(16, [2.0, 1.5, 1.0], 0.5, seed=71)
    own = torch.Generator().manual_seed(71)
    vae = LinearVAE(model, 0.05 * torch.randn(3, 16, generator=own).double(), model.optimal_encoder()[1])
    return case(Frozen(vae), model)


class Stepped(Wired):
    """The mean is rounded to halves, and nothing carries gradients past that."""

    def __init__(self, vae: LinearVAE) -> None:
        super().__init__(vae, way=lambda mu, sigma, e: (2 * mu).round() / 2 + 0 * sigma * e)


@patient(NO_GRADIENT, over="tables")
def rounded_without_a_way_back() -> Case:
    """A module that rounds z and has no straight-through estimator, behind an encoder as it began."""
    model = factors(16, [2.0, 1.5], 0.5, seed=72)
    own = torch.Generator().manual_seed(72)
    return case(
        Stepped(LinearVAE(model, 0.1 * torch.randn(2, 16, generator=own).double(), torch.ones(2).double())), model
    )


@patient(IGNORED, over="tables", allowed=[UNREACHED])
def a_hair_of_z() -> Case:
    """Two factors in the data, a q that tells both, and weights for z of a hundred-millionth."""
    model = factors(20, [2.0, 1.5], 0.5, seed=73)
    quiet = silent(model)
    faint = LinearGaussian(0.01 * quiet.weight, quiet.mean, quiet.variance)
    return as_table(LinearVAE(faint, *model.optimal_encoder()), model.sample(600)[0])


@patient(IGNORED, over="tables", allowed=[UNREACHED])
def z_through_one_gate() -> Case:
    """A decoder that z reaches in one example of ten, by a millionth."""
    model = factors(20, [2.0, 1.5], 0.5, seed=74)
    vae = LinearVAE(cut(model), *model.optimal_encoder())
    open_gate = lambda x, z: vae.log_likelihood(x, z) + FAINT * z.sum(-1) * (x[:, 0] > 0.5)  # noqa: E731
    return Case(Adapter(vae.posterior, vae.prior, open_gate), [model.sample(600)[0]])


class Reused(nn.Module):
    """Two calls of one encoder, of which one is detached for a look and the other is decoded."""

    def __init__(self, vae: LinearVAE) -> None:
        super().__init__()
        self.inner = Wired(vae)
        self.seen = torch.zeros(())

    def decode(self, z: Tensor) -> Tensor:
        """The reconstruction."""
        return self.inner.decode(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance."""
        self.seen = self.inner.encoder(x).detach().mean()
        found: tuple[Tensor, Tensor, Tensor] = self.inner(x)
        return found


@patient(HEALTHY, over="tables")
def detached_for_a_look() -> Case:
    """A module that detaches a copy of its means to look at it, and decodes a sample of q."""
    model = factors(20, [2.0, 1.5], 0.5, seed=75)
    return case(Reused(model.vae()), model)
