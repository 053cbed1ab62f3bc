r"""What a reconstruction means: log p(x|z) for each likelihood that can be named, and what is noted of it.

$$ \text{bernoulli} \; \sum_d x_d \log r_d + (1 - x_d) \log (1 - r_d), \qquad
   \text{gaussian} \; -\frac{\lVert x - r \rVert^2}{2 \sigma^2} - \frac D2 \log 2 \pi \sigma^2, \qquad
   \text{poisson} \; \sum_d x_d r_d - e^{r_d} - \log x_d! $$

A Poisson reconstruction r is the log of the mean, as in ``torch.nn.PoissonNLLLoss(log_input=True)``, whose loss leaves
out log x! unless ``full=True``, and then approximates it.

A squared error summed over the D elements of x beside a summed KL is the Gaussian of $\sigma^2 = 1/2$; one averaged
over them is that of $\sigma^2 = D/2$, as if the KL had D times its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, lgamma
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

__all__ = ["NAMES", "Scored", "scored"]

NAMES = ("bernoulli", "gaussian", "mse", "poisson")


@dataclass(frozen=True)
class Scored:
    """log p(x|z) of a reconstruction.

    Args:
        log_prob: (recon (..., *x), x (B, *x)) -> nats of every element, (..., *x).
        notes: What a reader must know.
    """

    log_prob: Callable[[Tensor, Tensor], Tensor]
    notes: tuple[str, ...]


def scored(name: str, variance: float | None, x: Tensor, recon: Tensor) -> Scored:
    """The likelihood of that name, for examples and reconstructions such as these.

    Args:
        name: One of :data:`NAMES`.
        variance: sigma^2, for "gaussian".
        x: Some examples, (B, ...).
        recon: Their reconstructions, of the same shape.

    Errors:
        ValueError: There is no such likelihood, it lacks its variance, or x is outside its support.

    Example:
        >>> import torch
        >>> found = scored("mse", None, torch.zeros(2, 3), torch.ones(2, 3))
        >>> found.log_prob(torch.ones(1, 2, 3), torch.zeros(2, 3)).sum(-1)  # 3 (-1 - log(pi) / 2)
        tensor([[-4.7171, -4.7171]])
    """
    if name not in NAMES:
        raise ValueError(f"likelihood is {name!r}, wanted one of {', '.join(NAMES)}")
    if (variance is not None) != (name == "gaussian"):
        raise ValueError(
            f"likelihood {name!r} came {'with' if variance is not None else 'without'} a variance; wanted "
            'likelihood="gaussian" with variance=..., the sigma^2 of the decoder, or another without'
        )
    if variance is not None and not (math.isfinite(variance) and variance > 0):
        raise ValueError(f"variance is {variance}, wanted a finite number above 0")
    if name == "bernoulli":
        return _bernoulli(x, recon)
    if name == "poisson":
        return _poisson(x, recon)
    return _gaussian(0.5 if variance is None else variance, _squared_error(x, recon) if name == "mse" else ())


def _bernoulli(x: Tensor, recon: Tensor) -> Scored:
    if bool(((x < 0) | (x > 1)).any()):
        raise ValueError(
            f"likelihood 'bernoulli': x runs from {x.min().item():.4g} to {x.max().item():.4g}, wanted 0 to 1; try "
            '"gaussian" or "mse", or scale x'
        )
    logits = bool(((recon < 0) | (recon > 1)).any())
    notes = [
        f"bernoulli: the reconstruction was taken as {'logits' if logits else 'probabilities'} (it runs from "
        f"{recon.min().item():.3g} to {recon.max().item():.3g})"
    ]
    if bool(((x != 0) & (x != 1)).any()):
        notes.append(
            "bernoulli: x has values between 0 and 1, so the cross-entropy is a loss and no log-probability of x"
        )
    score = binary_cross_entropy_with_logits if logits else binary_cross_entropy
    return Scored(
        lambda recon, x: -score(recon, x.to(recon).expand_as(recon), reduction="none"),
        tuple(notes),
    )


def _poisson(x: Tensor, recon: Tensor) -> Scored:
    if (bad := ~((x >= 0) & (x == x.round()))).any():
        raise ValueError(
            f"likelihood 'poisson': x holds {x[bad][0].item():.4g}, wanted whole numbers from 0; try \"gaussian\""
        )
    note = (
        "poisson: the reconstruction was taken as the log of the mean (it runs from "
        f"{recon.min().item():.3g} to {recon.max().item():.3g}); a decoder that gives means must return their logs"
    )
    return Scored(lambda recon, x: _log_poisson(recon.double(), x.double()).to(recon.dtype), (note,))


def _log_poisson(log_mean: Tensor, x: Tensor) -> Tensor:
    return x * log_mean - log_mean.exp() - lgamma(x + 1)


def _gaussian(variance: float, notes: tuple[str, ...]) -> Scored:
    constant = 0.5 * math.log(2 * math.pi * variance)
    return Scored(lambda recon, x: -(x - recon).square() / (2 * variance) - constant, notes)


def _squared_error(x: Float[Tensor, "B *rest"], recon: Float[Tensor, "B *rest"]) -> tuple[str, ...]:
    """What a squared error amounts to."""
    d, best = x[0].numel(), (x - recon).double().square().mean().item()
    weight = f", so its sum gives the rate a weight (beta) of {0.5 / best:.3g} beside them" if best > 0 else ""
    return (
        "mse: a squared error summed over the elements of x beside a summed KL is a Gaussian of sigma^2 = 1/2, which "
        f"was measured; averaged over the {d} elements it is one of sigma^2 = {d / 2:g}, as if the KL had {d} times "
        f'its weight: then hand over likelihood="gaussian", variance={d / 2:g}',
        f"mse: at the first examples the squared error is {best:.3g} for each element, the sigma^2 that fits them"
        f"{weight}",
    )
