r"""Does a model keep the protocol? Found out on one batch, before anything is measured.

A probability mass gives different examples probabilities that add up to at most one, whatever z:
$\sum_b p(x_b | z) \le 1$. An average over pixels or tokens in place of the sum breaks that.
"""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import factors, within

__all__ = ["check", "check_batches"]

SUMMED = "sum over the places of x (pixels, tokens, columns), and over nothing else"


def check_batches(batches: Batches) -> None:
    """Refuse what is not a list of tensors.

    Errors:
        ValueError: It is one tensor, can't be indexed, is empty, holds pairs instead of tensors or tensors of different
            rank, or differs from one reading to the next.

    Example:
        >>> check_batches(torch.zeros(100, 3))
        Traceback (most recent call last):
        ValueError: got one tensor, wanted a list of batches; try [x], or x.split(100)
    """
    if isinstance(batches, Tensor):
        raise ValueError("got one tensor, wanted a list of batches; try [x], or x.split(100)")
    if not hasattr(batches, "__len__") or not hasattr(batches, "__getitem__"):
        raise ValueError(
            f"batches is a {type(batches).__name__}, wanted a list of tensors, which can be read many times; try "
            "list(batches), or [x for x, _ in loader] where it gives pairs"
        )
    if not len(batches):
        raise ValueError("got no batches; wanted at least one with two or more examples")
    total, first = 0, batches[0]
    for i in range(len(batches)):
        x = batches[i]
        if not isinstance(x, Tensor):
            raise ValueError(f"batch {i} is a {type(x).__name__}, wanted one tensor x; try [x for x, _ in loader]")
        if not x.dim() or not len(x):
            raise ValueError(f"batch {i} has shape {tuple(x.shape)}, wanted (B, ...) with B of 1 or more")
        if x.dim() != first.dim():
            raise ValueError(
                f"batch {i} has shape {tuple(x.shape)} and batch 0 {tuple(first.shape)}, wanted the same number of "
                "dimensions in all; try reshape, squeeze or unsqueeze"
            )
        if i == 0 and not torch.equal(x.nan_to_num(), first.nan_to_num()):
            raise ValueError("batch 0 differs from one reading to the next; observe (binarise, dequantise) data once")
        total += len(x)
    if total < 2:
        raise ValueError(f"got {total} example, wanted at least 2 (some hundreds for usable standard errors)")


def check(model: Model, batches: Batches, seed: int = 0) -> None:
    """Refuse a model that does not keep the protocol, saying what came and what was wanted.

    Errors:
        ValueError: A callable is missing or gives the wrong shape or NaN; q puts z where p has no density; the
            log-likelihood is infinite, is random, is averaged over places, or depends on the other examples of a batch.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from buttress.diagnostics.protocol import Adapter
        >>> model = Adapter(
        ...     lambda x: Independent(Normal(x, 1.0), 1),
        ...     lambda: Independent(Normal(torch.zeros(3), 1.0), 1),
        ...     lambda x, z: Normal(z, 1.0).log_prob(x),
        ... )
        >>> check(model, [torch.zeros(5, 3)])
        Traceback (most recent call last):
        ValueError: log_likelihood(x, z) gave shape (3, 5, 3) ...: it is not summed over the places (3,); ...
    """
    check_batches(batches)
    x = batches[0][:64]
    with evaluating(model, seed):
        for name in ("posterior", "prior", "log_likelihood"):
            if not callable(getattr(model, name, None)):
                raise ValueError(
                    f"the model ({type(model).__name__}) has no {name}(); see diagnostics.protocol.Adapter"
                )
        q, p = model.posterior(x), model.prior()
        _posterior(q, x)
        _prior(p, q)
        z = draw(q, torch.arange(len(x)), 3, seed, "check")
        if z.isnan().any():
            raise ValueError("posterior(x) gives samples that are NaN; look for NaN in x or in the encoder's weights")
        _common_support(q, p, z)
        _log_likelihood(_call(model, x, z), z, len(x))
        _steady(model, x, z)
        _mass(model, x, z)


def _posterior(q: object, x: Tensor) -> None:
    if not isinstance(q, Distribution):
        raise ValueError(f"posterior(x) gave a {type(q).__name__}, wanted a torch.distributions.Distribution")
    if q.batch_shape != (len(x),):
        hint = (
            f"; try torch.distributions.Independent(q, {len(q.batch_shape) - 1})"
            if q.batch_shape[:1] == (len(x),)
            else "; the first dimension of x runs over examples, and so must the batch shape"
        )
        raise ValueError(
            f"posterior(x) has batch shape {tuple(q.batch_shape)} and event shape {tuple(q.event_shape)} for "
            f"{len(x)} examples, wanted batch shape ({len(x)},) and event shape that of one z{hint}"
        )


def _prior(p: object, q: Distribution) -> None:
    if not isinstance(p, Distribution):
        raise ValueError(f"prior() gave a {type(p).__name__}, wanted a torch.distributions.Distribution")
    if p.batch_shape or p.event_shape != q.event_shape:
        hint = f"; try torch.distributions.Independent(p, {len(p.batch_shape)})" if p.batch_shape else ""
        raise ValueError(
            f"prior() has batch shape {tuple(p.batch_shape)} and event shape {tuple(p.event_shape)}, wanted batch "
            f"shape () and the event shape of the posterior, {tuple(q.event_shape)}{hint}"
        )


def _common_support(q: Distribution, p: Distribution, z: Tensor) -> None:
    """Where q puts z outside the support of p, the rate is infinite and nothing can be said."""
    inside = within(p, z)
    if inside is not None and not inside.all():
        raise ValueError(
            f"posterior(x) puts {int((~inside).sum())} of {inside.numel()} z outside the support of prior() "
            f"(q: {type(factors(q)).__name__}, p: {type(factors(p)).__name__}), so the rate KL(q || p) is infinite; "
            "try a prior with a density everywhere (a normal), or a q that keeps within the prior's bounds"
        )


def _call(model: Model, x: Tensor, z: Tensor) -> object:
    try:
        return model.log_likelihood(x, z)
    except Exception as error:
        error.add_note(
            f"log_likelihood(x, z) was called with x {tuple(x.shape)} and z {tuple(z.shape)} = (S, B, *event); it "
            "must take the leading dimension of samples"
        )
        raise


def _log_likelihood(value: object, z: Tensor, b: int) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"log_likelihood gave a {type(value).__name__}, wanted a tensor of shape (S, B)")
    s = z.shape[0]
    if value.shape == (s, b):
        return
    shape = tuple(value.shape)
    if shape in ((), (1,)):
        why = "it sums or averages over the batch"
    elif shape in ((s,), (s, 1)):
        why = "it sums or averages over the examples of the batch"
    elif shape in ((b,), (1, b)):
        why = "it sums or averages over the samples"
    elif shape[:2] == (s, b):
        why = f"it is not summed over the places {shape[2:]}"
    elif shape in ((s * b,), (b, s)):
        why = "the dimensions of samples and examples are flattened or swapped"
    else:
        why = "it mixes dimensions"
    raise ValueError(
        f"log_likelihood(x, z) gave shape {shape} for S = {s} samples of B = {b} examples, wanted (S, B) = ({s}, {b}): "
        f"{why}; {SUMMED}"
    )


def _steady(model: Model, x: Tensor, z: Tensor) -> None:
    """The same question twice, and half the batch alone, must give the same answer."""
    whole, again = model.log_likelihood(x, z), model.log_likelihood(x, z)
    if whole.isnan().any():
        raise ValueError("log_likelihood gave NaN; look for NaN in x or in the weights, log(0), or a scale of 0")
    if (infinite := whole.isinf()).any():
        raise ValueError(
            f"log_likelihood gave {whole[infinite][0].item()} for {int(infinite.sum())} of {whole.numel()} pairs of x "
            f"and its own z, first for example {int(infinite.any(0).nonzero()[0])} of batch 0: no ELBO is finite then; "
            "give every x some probability (clamp probabilities away from 0, or scales)"
        )
    if not _close(whole, again):
        raise ValueError(
            "log_likelihood(x, z) differs from one call to the next: is dropout on? Give Adapter(module=...), or call "
            ".eval() on your model first"
        )
    half = max(1, len(x) // 2)
    if not _close(whole[:, :half], model.log_likelihood(x[:half], z[:, :half])):
        raise ValueError(
            "log_likelihood of an example depends on the other examples of its batch: a mean or sum over the batch, or "
            f"batch normalisation in training mode? {SUMMED[0].upper()}{SUMMED[1:]}"
        )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-2)


def _mass(model: Model, x: Tensor, z: Shaped[Tensor, "S B *event"]) -> None:
    """Different discrete examples must share a probability of one."""
    distinct, real = x.unique(dim=0), x.is_floating_point()
    if len(distinct) < 4 or x[0].numel() < (16 if real else 2) or (real and not ((x == 0) | (x == 1)).all()):
        return
    value = model.log_likelihood(distinct, z[:1, :1].expand(1, len(distinct), *z.shape[2:]))
    total = value.double().exp().sum().item()
    # a density of zeros and ones may add up to more than one, but hardly with all its logarithms in [-2, 0]
    if total > 1.01 and bool((value <= 0).all()) and (not real or bool((value > -2).all())):
        raise ValueError(
            f"under one and the same z, log_likelihood gives {len(distinct)} different examples probabilities that add "
            f"up to {total:.3g}, and a probability mass adds up to at most 1. Is it averaged over pixels or tokens? "
            f"{SUMMED[0].upper()}{SUMMED[1:]}"
        )
