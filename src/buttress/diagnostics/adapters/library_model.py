"""The two forms that models of libraries take: a normal q behind an encoder, and codes behind a codebook."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from buttress.core import Space
from buttress.diagnostics.adapters.likelihoods import NAMES, scored
from buttress.diagnostics.adapters.outputs import at_least_single, in_precision_of
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import Adapter, Batches
from buttress.distributions.point import Point

__all__ = ["LibraryModel", "coded", "first", "found_in", "named", "real"]

ROWS = 16
"""Examples that a model is tried with."""


@dataclass(frozen=True)
class LibraryModel:
    """A model of a library by the protocol of the diagnostics.

    Args:
        adapter: The three callables.
        beta: Weight of the rate in the loss of the library; None where it has none of its own.
        batches: The data as the adapter reads them; None for x as they came.
    """

    adapter: Adapter
    beta: float | None = None
    batches: Batches | None = None


def first(model: nn.Module, batches: Batches) -> Tensor:
    """Some examples, in the precision of the model.

    Example:
        >>> first(nn.Linear(2, 2), [torch.zeros(50, 2)]).shape
        torch.Size([16, 2])
    """
    return in_precision_of(model, as_batch(batches[0]).x[:ROWS])


def named(model: nn.Module, likelihood: str | None) -> str:
    """The likelihood, where the library has none of its own.

    Errors:
        ValueError: None is named.

    Example:
        >>> named(nn.Linear(2, 2), "mse")
        'mse'
    """
    if likelihood is None:
        raise ValueError(
            f"the model ({type(model).__name__}) gives reconstructions and no likelihood; wanted the name of one: "
            f'{", ".join(map(repr, NAMES))}; try likelihood="gaussian", variance=..., the variance of its errors'
        )
    return likelihood


def real(
    model: nn.Module,
    batches: Batches,
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: Callable[[Tensor], Tensor],
    likelihood: str,
    variance: float | None,
    note: str,
) -> Adapter:
    """A model with a normal q and the prior N(0, I).

    Args:
        model: The module behind it.
        batches: Held-out data, of which some are tried.
        encode: x -> mean and standard deviation of q, (B, *event) each.
        decode: z (N, *event) -> reconstruction.
        likelihood: Of the reconstruction.
        variance: Of "gaussian".
        note: What it was taken for.
    """
    x = first(model, batches)
    with evaluating(model):
        mean = encode(x)[0]
        score = scored(likelihood, variance, x, at_least_single(decode(mean)).reshape(x.shape))

    def posterior(x: Tensor) -> Distribution:
        loc, scale = map(at_least_single, encode(in_precision_of(model, x)))
        return Independent(Normal(loc, scale), loc.dim() - 1)

    def prior() -> Distribution:
        zero = at_least_single(torch.zeros_like(mean[0]))
        return Independent(Normal(zero, torch.ones_like(zero)), zero.dim())

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        recon = at_least_single(decode(in_precision_of(model, z.flatten(0, 1)))).reshape(len(z), *x.shape)
        return score.log_prob(recon, x).flatten(2).sum(-1)

    return Adapter(posterior, prior, log_likelihood, model, notes=(note, *score.notes))


def coded(
    model: nn.Module,
    batches: Batches,
    encode: Callable[[Tensor], Int[Tensor, "B *places"]],
    decode: Callable[[Tensor, Int[Tensor, "N *places"]], Tensor],
    classes: int,
    likelihood: str,
    variance: float | None,
    note: str,
) -> Adapter:
    """A model whose q is a point on codes, under the uniform prior.

    Args:
        model: The module behind it.
        batches: Held-out data, of which some are tried.
        encode: x -> codes (B, *places), the last dimension of which runs over codebooks.
        decode: x and codes of as many rows -> reconstruction.
        classes: K.
        likelihood: Of the reconstruction.
        variance: Of "gaussian".
        note: What it was taken for.
    """
    x = first(model, batches)
    with evaluating(model):
        codes = encode(x)
        score = scored(likelihood, variance, x, at_least_single(decode(x, codes)).reshape(x.shape))
    places = tuple(codes.shape[1:])
    uniform = Independent(Categorical(logits=torch.zeros(*places, classes, device=codes.device)), len(places))

    def posterior(x: Tensor) -> Distribution:
        return Independent(Point(encode(in_precision_of(model, x)).long()), len(places))

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        rows = in_precision_of(model, x).repeat(len(z), *[1] * (x.dim() - 1))
        recon = at_least_single(decode(rows, z.flatten(0, 1).long())).reshape(len(z), *x.shape)
        return score.log_prob(recon, x).flatten(2).sum(-1)

    told = f"{note}; its codes were measured under the uniform prior, {math.prod(places)} x log {classes}"
    space = Space(places, classes=classes)
    return Adapter(posterior, lambda: uniform, log_likelihood, model, space, (told, *score.notes))


def found_in(output: Any, names: tuple[str, ...], x: Tensor) -> Tensor | None:
    """The reconstruction in what ``forward`` returned: a tensor, the first of a tuple that fits, or one by its name.

    Example:
        >>> x = torch.zeros(2, 3)
        >>> found_in((torch.zeros(()), torch.ones(2, 3)), ("recon",), x).shape
        torch.Size([2, 3])
    """
    if isinstance(output, Tensor):
        return output if output.numel() == x.numel() else None
    entries = output if isinstance(output, tuple | list) else None
    if entries is not None:
        return next((v for v in entries if isinstance(v, Tensor) and v.numel() == x.numel()), None)
    fields = output if isinstance(output, dict) else vars(output)
    return next((fields[name] for name in names if isinstance(fields.get(name), Tensor)), None)
