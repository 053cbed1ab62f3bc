"""Losses that are there to be looked at and are no ELBO, modules that decode no sample, and near misses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from buttress.diagnostics.causes.collapsed_optimum import OPTIMUM
from buttress.diagnostics.causes.loss_not_elbo import NOT_ELBO
from buttress.diagnostics.causes.no_more import NO_MORE
from buttress.diagnostics.causes.rate_weight import WEIGHT
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.linear import at_rest, at_weight, factors, silent
from buttress.patients.worlds.seen import as_image, as_table
from buttress.patients.worlds.wired import Wired, case, kl, squared

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def averaged(recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Half a squared error, averaged over columns too."""
    return 0.5 * (recon - x).square().mean() + kl(mu, logvar).mean()


def summed(variance: float, weight: float = 1.0) -> Loss:
    """An ELBO of that variance, whose rate has a weight."""

    def loss(recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return squared(recon, x, variance).mean() + weight * kl(mu, logvar).mean()

    return loss


def over_the_batch(recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """A KL that is summed over the batch beside a reconstruction that is averaged over it."""
    return squared(recon, x, 1.0).mean() + kl(mu, logvar).sum()


def without_its_variance(recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """A KL that lacks exp(logvar)."""
    return squared(recon, x, 1.0).mean() + 0.5 * (mu**2 - 1 - logvar).sum(1).mean()


def own_way(model: LinearGaussian) -> LinearVAE:
    """Means of the best q, and the widths of the prior: what is left of it where the decoder gets the means."""
    return LinearVAE(model, model.optimal_encoder()[0], torch.ones(model.weight.shape[1]).double())


def wide(model: LinearGaussian, times: float = 3.0) -> LinearVAE:
    """The best q, some times wider than the prior."""
    return LinearVAE(model, model.optimal_encoder()[0], torch.full((model.weight.shape[1],), times**2).double())


@patient(NOT_ELBO, over="tables", also=[WEIGHT, OPTIMUM])
def a_mean_in_the_loss() -> Case:
    """A loss that averages over 30 columns, as it is handed over, and the best q for it."""
    model = factors(30, [9.0, 8.0], 1.0, seed=80)
    return case(Wired(at_weight(model, 30.0)), model, loss_fn=averaged)


@patient(NOT_ELBO, over="tables", also=[WEIGHT, OPTIMUM])
def a_mean_in_the_loss_and_nothing_left() -> Case:
    """A loss that averages over 40 columns, as it is handed over, and a model that has collapsed under it."""
    model = factors(40, [3.0, 2.5], 1.0, seed=81)
    vae = LinearVAE(silent(model, 1.0), 1e-3 * model.optimal_encoder()[0], torch.full((2,), 0.999).double())
    return case(Wired(vae), model, loss_fn=averaged)


@patient(NOT_ELBO, over="tables")
def a_kl_over_the_batch() -> Case:
    """A KL that is summed over the batch, as the loss is handed over, and a q near the prior."""
    model = factors(20, [3.0, 2.5], 1.0, seed=82)
    return case(Wired(at_rest(model, 0.5, 128.0)), model, loss_fn=over_the_batch)


@patient(NOT_ELBO, over="tables")
def a_kl_that_is_subtracted() -> Case:
    """A loss that falls with the KL, as it is handed over, after a few steps of it."""
    model = factors(20, [3.0, 2.5], 1.0, seed=83)
    return case(Wired(model.lagging(0.9)), model, loss_fn=summed(1.0, -1.0))


@patient(NOT_ELBO, over="tables")
def a_kl_without_its_variance() -> Case:
    """A KL that lacks exp(logvar), as the loss is handed over, and the q that is best for it."""
    model = factors(20, [3.0, 2.5], 1.0, seed=84)
    return case(Wired(model.vae()), model, loss_fn=without_its_variance)


class OwnLoss(Wired):
    """Its forward returns a dict with the loss that it is trained with."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Reconstruction, mean, log-variance and loss."""
        recon, mu, logvar = super().forward(x)
        return {"recon": recon, "mu": mu, "logvar": logvar, "loss": averaged(recon, x, mu, logvar)}


@patient(NOT_ELBO, over="tables", also=[WEIGHT, OPTIMUM])
def a_loss_that_forward_returns() -> Case:
    """A module that returns its loss, which averages over 30 columns, and the best q for it."""
    model = factors(30, [8.0, 7.0], 1.0, seed=85)
    return case(OwnLoss(at_weight(model, 30.0)), model)


@patient(NOT_ELBO, over="tables")
def the_mean_is_decoded() -> Case:
    """A module whose forward decodes the mean of q, and whose q is as wide as the prior."""
    model = factors(20, [3.0, 2.0], 1.0, seed=86)
    return case(Wired(own_way(model), way=lambda mu, sigma, e: mu), model)


@patient(NOT_ELBO, over="tables")
def the_mean_is_decoded_unseen() -> Case:
    """A q that was trained behind a decoder of its means: these are right, and its widths are those of the prior."""
    model = factors(20, [3.0, 2.0], 1.0, seed=87)
    return as_table(own_way(model), model.sample(600)[0])


@patient(NOT_ELBO, over="images")
def the_mean_of_pixels_is_decoded() -> Case:
    """The same for images of 8 x 8 pixels."""
    model = factors(64, [4.0, 3.0, 3.0], 1.0, seed=88)
    return as_image(own_way(model), model.sample(600)[0], height=8)


@patient(NOT_ELBO, over="tables")
def wider_than_the_prior() -> Case:
    """A q three times as wide as the prior, as a KL without exp(logvar) makes it behind a faint decoder."""
    model = factors(20, [1.0, 0.8], 1.0, seed=89)
    return as_table(wide(model), model.sample(600)[0])


@patient(NOT_ELBO, over="images")
def pixels_wider_than_the_prior() -> Case:
    """The same for images of 6 x 6 pixels."""
    model = factors(36, [1.2, 1.0], 1.0, seed=90)
    return as_image(wide(model, 2.5), model.sample(600)[0], height=6)


@patient(HEALTHY, over="tables", allowed=[NOT_ELBO, NO_MORE])
def barely_told_by_its_means() -> Case:
    """A right q of 0.52 nats, whose width is 0.6 of that of the prior."""
    model = factors(12, [1.35], 1.0, seed=91)
    return as_table(model.vae(), model.sample(1500)[0])


@patient(HEALTHY, over="tables")
def a_right_loss_handed_over() -> Case:
    """The right loss, as it is handed over, and the best q for it."""
    model = factors(20, [3.0, 2.5], 0.7, seed=92)
    return case(Wired(model.vae()), model, loss_fn=summed(0.49))


@patient(HEALTHY, over="tables", allowed=[WEIGHT])
def a_weight_of_nearly_two_in_the_loss() -> Case:
    """A weight of 1.9 in the loss that is handed over, and the best q for it."""
    model = factors(20, [5.0, 4.0], 1.0, seed=93)
    return case(Wired(at_weight(model, 1.9)), model, loss_fn=summed(1.0, 1.9))


@patient(WEIGHT, over="tables")
def a_weight_of_six_in_the_loss() -> Case:
    """A weight of 6 in the loss that is handed over, and the best q for it."""
    model = factors(20, [5.0, 4.0], 1.0, seed=94)
    return case(Wired(at_weight(model, 6.0)), model, loss_fn=summed(1.0, 6.0))
