"""Does a model keep the protocol? Found out on some examples, before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from buttress.core.batch import Batch, Given, rows_of
from buttress.diagnostics.check_data import check_batches
from buttress.diagnostics.check_density import check_density
from buttress.diagnostics.check_examples import check_every_posterior, check_finite, failing
from buttress.diagnostics.check_posterior import differs, steady_posterior, values_of
from buttress.diagnostics.check_remarks import remarks
from buttress.diagnostics.conditions import RESERVED, with_others
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.failed_call import at_odds, first_line
from buttress.diagnostics.modules import noticing
from buttress.diagnostics.passes import Encoded, as_codes, one_hot
from buttress.diagnostics.protocol import ARGUMENTS, Batches, Conditional, Model
from buttress.distributions.inspect import factors, within
from buttress.distributions.rows import parameters

__all__ = ["Checked", "check"]

SUMMED = "sum over the places of x (pixels, tokens, columns), and over nothing else"
CALLABLES = (
    "wanted posterior, prior and log_likelihood, see diagnostics.protocol.Adapter; or a module whose forward(x) "
    'returns (recon, mu, logvar), with likelihood="bernoulli", "gaussian", "mse" or "poisson"'
)
ROWS = 64
"""Examples that the model is called with."""
CHANGE = 1e-5
"""Mean change beside the mean size of an answer, from which on it depends on a condition and is not only rounded."""


@dataclass(frozen=True)
class Checked:
    """What was found out of a model that keeps the protocol.

    Args:
        conditions: Names in ``given`` that it reads.
        notes: What looks wrong without being certain to be.
    """

    conditions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check(model: Model, batches: Batches, seed: int = 0) -> Checked:
    """Refuse a model that does not keep the protocol, with what came and what was wanted.

    Errors:
        ValueError: A callable is missing or gives the wrong shape or NaN; q puts z where p has no density; what it
            gives for an example is random, or depends on the other examples of a batch; the log-likelihood is
            infinite, is averaged over places, has the wrong sign, or counts padding.

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
    check_batches(batches.batches if isinstance(batches, Encoded) else batches)
    with evaluating(model, seed) as asked:
        for name in ARGUMENTS:
            if not callable(getattr(asked.model, name, None)):
                raise ValueError(f"the model ({type(asked.model).__name__}) has no {name}(); {CALLABLES}")
        data = batches if isinstance(batches, Encoded) else Encoded(asked, batches)
        with noticing(data.asked.called):
            found = _check(data.asked, data, seed)
            check_every_posterior(data)
        return found


def _check(model: Conditional, data: Encoded, seed: int) -> Checked:
    batch = data[0].take(slice(0, ROWS))
    x, given = batch.x, batch.given
    q = _posterior(model, batch, data)
    check_finite(q)
    p = _prior(model, given, q)
    steady_posterior(model, batch, q)
    data.remember(0, torch.arange(len(x)), q)
    if one_hot(q) and all(one_hot(block.q) for block in data.blocks()):
        model.one_hot = True
        q = as_codes(q)
    z = draw(q, torch.arange(len(x)), 3, seed, "check")
    if z.isnan().any():
        raise ValueError("posterior(x) gives samples that are NaN; look for NaN in the encoder's weights")
    _common_support(q, p, z)
    if not model.density:
        return Checked(_conditions(model, data, batch, q, z))
    _log_likelihood(_call(model, x, z, given), z, len(x))
    _steady(model, x, z, given)
    check_density(model, batch, z)
    return Checked(_conditions(model, data, batch, q, z), remarks(model, batch, z))


def _posterior(model: Conditional, batch: Batch, data: Encoded) -> Distribution:
    """q(z|x), looked at."""
    x = batch.x
    try:
        q: object = model.posterior(x, batch.given)
    except Exception as error:
        if told := failing(model, batch, (0, 0, 0), error):
            raise ValueError(told) from error
        if why := _misfit(model, data):
            raise ValueError(f"posterior(x) failed for x of shape {tuple(x.shape)}{why}") from error
        raise ValueError(
            f"posterior(x) fails on x of shape {tuple(x.shape)} = (B, ...), the first examples of batch 0: "
            f"{first_line(error)}"
            + (
                at_odds(model.model, x)
                or "; it must take any number of examples, and labels and the like in a last argument `given`"
            )
        ) from error
    if not isinstance(q, Distribution):
        raise ValueError(f"posterior(x) gave a {type(q).__name__}, wanted a torch.distributions.Distribution")
    if q.batch_shape[:1] != (len(x),) and (why := _misfit(model, data)):
        raise ValueError(f"posterior(x) gave batch shape {tuple(q.batch_shape)} for x of shape {tuple(x.shape)}{why}")
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
    return q


def _misfit(model: Conditional, data: Encoded) -> str:
    """What the entries of the list must be, where the posterior takes something else than some rows of one."""
    if len(data[0].x) > ROWS and _takes(model, data[0]):
        return (
            f", the first examples of batch 0, and takes that batch complete, {tuple(data[0].x.shape)}: it knows "
            "something of each example, such as labels, that does not follow the rows of x; let it take a last "
            "argument `given`, and hand over batches Batch(x, {'label': y}) of buttress.core.batch"
        )
    some = [data[i] for i in range(min(len(data), 3))]
    if len(some) > 1 and len({batch.x.shape for batch in some}) == 1 and _takes(model, _stacked(some)):
        return (
            ", and takes several of these stacked: each entry of the list is one example; wanted a list of batches "
            "(B, ...); try torch.stack(batches).split(100)"
        )
    return ""


def _stacked(batches: list[Batch]) -> Batch:
    given = {name: torch.stack([batch.given[name] for batch in batches]) for name in batches[0].given}
    return Batch(torch.stack([batch.x for batch in batches]), given)


def _takes(model: Conditional, batch: Batch) -> bool:
    """Whether the posterior answers with a distribution for each row."""
    try:
        return tuple(model.posterior(batch.x, batch.given).batch_shape[:1]) == (len(batch),)
    except Exception:
        return False


def _prior(model: Conditional, given: Given, q: Distribution) -> Distribution:
    try:
        p: object = model.prior(given)
    except Exception as error:
        raise ValueError(f"prior() fails: {first_line(error)}; wanted a torch.distributions.Distribution") from error
    if not isinstance(p, Distribution):
        raise ValueError(f"prior() gave a {type(p).__name__}, wanted a torch.distributions.Distribution")
    allowed = [(), tuple(q.batch_shape)] if "prior" in model.takes else [()]
    if tuple(p.batch_shape) not in allowed or p.event_shape != q.event_shape:
        raise ValueError(
            f"prior() has batch shape {tuple(p.batch_shape)} and event shape {tuple(p.event_shape)}, wanted batch "
            f"shape {' or '.join(map(str, allowed))} and the event shape of the posterior, {tuple(q.event_shape)}"
            f"{_prior_hint(p, q)}"
        )
    on = {place for one in (q, p) if (found := parameters(one)) for place in _devices(found.tensors.values())}
    if len(on) > 1:
        raise ValueError(
            f"posterior(x) and prior() are on {' and '.join(sorted(on))}; make the prior on the device of the model"
        )
    return p


def _devices(tensors: Iterable[Tensor]) -> set[str]:
    return {str(value.device) for value in tensors if value.dim()}  # a single number fits every device


def _prior_hint(p: Distribution, q: Distribution) -> str:
    """What may be wrong with a prior of this shape."""
    extra = len(p.batch_shape)
    if not extra:
        return ""
    if p.event_shape == q.event_shape:
        return "; if it depends on the example, let it take an argument `given` and hand over batches Batch(x, given)"
    if tuple(p.batch_shape + p.event_shape) == tuple(q.event_shape):
        return f"; try torch.distributions.Independent(p, {extra})"
    return "; its last dimensions must be those of one z"


def _common_support(q: Distribution, p: Distribution, z: Tensor) -> None:
    """Where q puts z outside the support of p, the rate is infinite and nothing can be measured."""
    inside = within(p, z)
    if inside is not None and not inside.all():
        raise ValueError(
            f"posterior(x) puts {int((~inside).sum())} of {inside.numel()} z outside the support of prior() "
            f"(q: {type(factors(q)).__name__}, p: {type(factors(p)).__name__}), so the rate KL(q || p) is infinite; "
            "try a prior with a density everywhere (a normal), or a q that keeps within the prior's bounds"
        )


def _call(model: Conditional, x: Tensor, z: Tensor, given: Given) -> object:
    try:
        return model.log_likelihood(x, z, given)
    except Exception as error:
        raise ValueError(
            f"log_likelihood(x, z) fails on x of shape {tuple(x.shape)} and z of shape {tuple(z.shape)} = (S, B, "
            f"*event): {first_line(error)}"
            + (
                at_odds(model.model, z if z.is_floating_point() else x)
                or "; it must take the leading dimension of samples, and any number of examples"
            )
        ) from error


def _log_likelihood(value: object, z: Tensor, b: int) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"log_likelihood gave a {type(value).__name__}, wanted a tensor of shape (S, B)")
    s = z.shape[0]
    if value.shape == (s, b):
        return
    raise ValueError(
        f"log_likelihood(x, z) gave shape {tuple(value.shape)} for S = {s} samples of B = {b} examples, wanted "
        f"(S, B) = ({s}, {b}): {_why(tuple(value.shape), s, b)}; {SUMMED}"
    )


def _why(shape: tuple[int, ...], s: int, b: int) -> str:
    """What gave a log-likelihood this shape."""
    if shape in ((), (1,)):
        return "it sums or averages over the batch"
    if shape in ((s,), (s, 1)):
        return "it sums or averages over the examples of the batch"
    if shape in ((b,), (1, b)):
        return "it sums or averages over the samples"
    if shape[:2] == (s, b):
        return f"it is not summed over the places {shape[2:]}"
    if shape in ((s * b,), (b, s)):
        return "the dimensions of samples and examples are flattened or swapped"
    return "it mixes dimensions"


def _steady(model: Conditional, x: Tensor, z: Tensor, given: Given) -> None:
    """The same call twice, and half of the batch alone, must give the same answer."""
    whole, again = model.log_likelihood(x, z, given), model.log_likelihood(x, z, given)
    if (bad := whole.isnan()).any():
        rows = bad.any(0).nonzero()[:, 0]
        which = (
            "all examples"
            if len(rows) == len(x)
            else f"example {int(rows[0])} of batch 0, and {len(rows)} of {len(x)} there"
        )
        raise ValueError(
            f"log_likelihood gave NaN for {which}, where posterior(x) and z are finite; look for NaN in the decoder's "
            "weights, log(0), or a scale of 0"
        )
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
    half = slice(len(x) // 2, None)
    alone = _call(model, x[half], z[:, half], rows_of(given, half))
    if not isinstance(alone, Tensor) or alone.shape != whole[:, half].shape or not _close(whole[:, half], alone):
        raise ValueError(
            "log_likelihood of an example depends on the other examples of its batch, or on their order: a mean or sum "
            "over the batch, batch normalisation in training mode, or labels that do not come in `given`? "
            f"{SUMMED[0].upper()}{SUMMED[1:]}"
        )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-2)


def _conditions(model: Conditional, data: Encoded, batch: Batch, q: Distribution, z: Tensor) -> tuple[str, ...]:
    """Names in ``given`` that the model reads: those on which an answer depends, or may."""
    names = [name for name in batch.given if name not in RESERVED] if model.takes else []
    donors = data[len(data) - 1].given if names else {}
    each = max(1, len(batch) // 2 // max(1, len(names)))
    read, own = [], values_of(q)
    for i, name in enumerate(names):
        rows = slice(i * each % len(batch), i * each % len(batch) + each)
        if _reads(model, batch.take(rows), None if own is None else own[rows], z[:, rows], name, donors):
            read.append(name)
    return tuple(read)


def _reads(model: Conditional, batch: Batch, own: Tensor | None, z: Tensor, name: str, donors: Given) -> bool:
    """Whether another value of a condition changes an answer; also where no other value is at hand."""
    given = batch.given
    if name not in donors or donors[name].shape[1:] != given[name].shape[1:]:
        return True
    other = with_others(given, name, donors)
    if torch.equal(other[name], given[name]):
        return True
    answers = [model.log_likelihood(batch.x, z, beside) for beside in (given, other)] if model.density else []
    if answers and differs(answers[0], answers[1], CHANGE):
        return True
    if "posterior" in model.takes and (own is None or differs(own, values_of(model.posterior(batch.x, other)), CHANGE)):
        return True
    prior = model.prior(given)
    return bool(prior.batch_shape) and (
        values_of(prior) is None or differs(values_of(prior), values_of(model.prior(other)), CHANGE)
    )
