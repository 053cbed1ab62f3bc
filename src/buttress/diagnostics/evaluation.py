"""How every estimator looks at a model: in eval mode, without gradients, with noise of its own, a few rows at a time.

The noise of an example depends on the seed, on what it is for and on the example's number in the whole data, never on
the batch it came in. So results repeat, do not depend on the batch size, and no global random state is touched.
(For posteriors that are not Gaussian, PyTorch offers no such noise: they are seeded a block of rows at a time.)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from buttress.core.batch import EMPTY, Given, rows_of
from buttress.diagnostics.modules import modules_of
from buttress.diagnostics.protocol import Conditional, Model, conditional
from buttress.distributions.inspect import normal
from buttress.distributions.rows import in_double
from buttress.runtime.memory import pairs_at_once
from buttress.runtime.randomness import noise

__all__ = ["at", "choose", "decode", "draw", "draw_with_density", "evaluating"]


@contextmanager
def evaluating(model: Any, seed: int = 0) -> Iterator[Conditional]:
    """Eval mode, no gradients, and a random state of one's own; all as it was when the context ends.

    Yields the model with callables that all take ``given``.

    Example:
        >>> net = torch.nn.Dropout(0.5)
        >>> with evaluating(net):
        ...     net.training, torch.is_grad_enabled()
        (False, False)
        >>> net.training
        True
    """
    roots = modules_of(model)
    modes = [(module, module.training) for root in roots for module in root.modules()]
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    with torch.random.fork_rng(list(range(torch.cuda.device_count())) if cuda else []), torch.no_grad():
        _seed(seed, cuda)
        try:
            for root in roots:
                root.eval()
            yield conditional(model)
        finally:
            for module, training in modes:
                module.training = training


def _seed(seed: int, cuda: bool) -> None:
    torch.default_generator.manual_seed(seed)
    if cuda:
        torch.cuda.manual_seed_all(seed)


def choose(n: int, most: int | None, seed: int) -> Int[Tensor, " M"] | None:
    """Which ``most`` of n examples to look at: drawn at random, because batches may be sorted; None for all.

    Example:
        >>> choose(10, 3, seed=0).shape, choose(3, 10, seed=0)
        (torch.Size([3]), None)
    """
    if most is None or n <= most:
        return None
    chosen = np.random.default_rng([seed, zlib.crc32(b"choose")]).choice(n, most, replace=False)
    return torch.from_numpy(np.sort(chosen))


def draw(
    q: Distribution, index: Int[Tensor, " B"], samples: int, seed: int, stream: str
) -> Shaped[Tensor, "S B *event"]:
    """Samples of q (batch shape (B,) or ()) for each of the examples ``index``.

    Args:
        q: The distribution; a batch shape of () is shared by all examples.
        index: Numbers of the examples in the whole data, shape (B,).
        samples: S.
        seed: Of the noise.
        stream: What it is for: other purposes get other noise.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> q = Independent(Normal(torch.zeros(2, 3), 1.0), 1)
        >>> z = draw(q, torch.tensor([4, 7]), samples=5, seed=0, stream="mine")
        >>> alone = draw(Independent(Normal(torch.zeros(1, 3), 1.0), 1), torch.tensor([7]), 5, 0, "mine")
        >>> z.shape, torch.equal(z[:, 1:], alone)  # the noise of example 7 is its own, whatever batch it is in
        (torch.Size([5, 2, 3]), True)
    """
    return _draw(q, index, samples, seed, stream)[0]


def draw_with_density(
    q: Distribution, index: Int[Tensor, " B"], samples: int, seed: int, stream: str
) -> tuple[Shaped[Tensor, "S B *event"], Float[Tensor, "S B"]]:
    """Samples as :func:`draw` gives them, and log q of each in float64 nats.

    Where q is Gaussian the density is that of the noise, so that it is right also where the scale is too small beside
    the mean for the digits of z; a family whose parameters are known is drawn from and weighed in float64.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> q = Independent(Normal(torch.ones(1, 2), 1e-12), 1)  # in float32, every z is 1
        >>> z, log_q = draw_with_density(q, torch.tensor([0]), samples=1000, seed=0, stream="mine")
        >>> z.std().item(), abs(round((log_q.mean() + q.entropy().double()).item(), 1))
        (0.0, 0.0)
    """
    z, e = _draw(q, index, samples, seed, stream)
    if e is None:
        fine, coarse = in_double(q), z.dtype
        z = _draw(fine, index, samples, seed, stream)[0]
        return z.to(coarse), fine.log_prob(z).double()
    return z, _log_scale(q, e) - 0.5 * (e.double().square() + math.log(2 * math.pi)).flatten(2).sum(-1)


def _log_scale(q: Distribution, e: Tensor) -> Float[Tensor, "*batch"]:
    """Minus log |det L| for z = mu + L e."""
    if isinstance(q, MultivariateNormal):
        return -q.scale_tril.diagonal(dim1=-2, dim2=-1).double().log().sum(-1)
    base = normal(q)
    assert base is not None  # it has noise
    return -base.scale.double().log().flatten(len(q.batch_shape)).sum(-1)


def _draw(q: Distribution, index: Tensor, samples: int, seed: int, stream: str) -> tuple[Tensor, Tensor | None]:
    """Samples, and the noise they are made of where q is Gaussian."""
    if (base := normal(q)) is not None or type(q) is MultivariateNormal:
        like: Any = q if base is None else base
        e = noise(index, samples, q.event_shape, seed, stream).to(like.loc)
        return at(q, e), e
    key = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), int(index[0])]).generate_state(1)
    _seed(int(key[0]), torch.cuda.is_available() and torch.cuda.is_initialized())
    return q.sample((samples,) if q.batch_shape else (samples, len(index))), None


def at(q: Distribution, e: Float[Tensor, "S B *event"]) -> Float[Tensor, "S B *event"]:
    """z = mu + L e, for a q that is a product of normals or a multivariate normal.

    Example:
        >>> at(torch.distributions.Normal(torch.tensor([1.0]), 2.0), torch.tensor([[3.0]]))
        tensor([[7.]])
    """
    if isinstance(q, MultivariateNormal):
        return q.loc + (q.scale_tril @ e.to(q.loc)[..., None]).squeeze(-1)
    base = normal(q)
    assert base is not None  # the caller has looked
    return base.loc + base.scale * e.to(base.loc)


def decode(
    model: Model,
    x: Tensor,
    z: Shaped[Tensor, "S B *event"],
    given: Given = EMPTY,
    index: Int[Tensor, " B"] | None = None,
    *,
    lost: bool = False,
) -> Float[Tensor, "S B"]:
    """log p(x|z) in float64 nats, a few pairs at a time.

    Args:
        model: Keeps the protocol.
        x: A batch, shape (B, ...).
        z: Samples for each of its examples, shape (S, B, *event).
        given: What is known beside each of them.
        index: Numbers of the examples in the whole data, to name one for which the answer is NaN.
        lost: Take NaN for minus infinity, where z is of a search that may go anywhere.

    Errors:
        ValueError: The model's answer has a wrong shape, or is NaN.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> decode(model, torch.zeros(4, 3), torch.zeros(2, 4, 1)).shape  # nats of S = 2 samples for B = 4 examples
        torch.Size([2, 4])
    """
    asked, pairs = conditional(model), pairs_at_once(x)
    rows = min(len(x), pairs)
    columns = []
    for first in range(0, len(x), rows):
        part = slice(first, first + rows)
        known, column = rows_of(given, part), z[:, part].split(max(1, pairs // rows))
        numbers = None if index is None else index[part]
        columns.append(torch.cat([_log_likelihood(asked, x[part], some, known, numbers, lost) for some in column]))
    return torch.cat(columns, 1)


def _log_likelihood(model: Conditional, x: Tensor, z: Tensor, given: Given, index: Tensor | None, lost: bool) -> Tensor:
    """One call of the model, with its answer looked at."""
    value = model.log_likelihood(x, z, given)
    if value.shape != z.shape[:2]:
        raise ValueError(f"log_likelihood gave shape {tuple(value.shape)}, wanted (S, B) = {tuple(z.shape[:2])}")
    if lost:
        return value.double().masked_fill(value.isnan(), -torch.inf)
    if (bad := value.isnan()).any():
        raise ValueError(_nan(bad, z, index))
    return value.double()


def _nan(bad: Tensor, z: Tensor, index: Tensor | None) -> str:
    """Whose NaN it is: z is what the posterior or the prior gave, and everything else is of log_likelihood."""
    row = int(bad.any(0).nonzero()[0])
    which = "" if index is None else f", first for example {int(index[row])}"
    if z.is_floating_point() and bool(z[bad].isnan().any()):
        return (
            f"z is NaN for {int(bad.sum())} of {bad.numel()} pairs of x and z{which}: look at posterior() and prior()"
        )
    return (
        f"log_likelihood gave NaN for {int(bad.sum())} of {bad.numel()} pairs of x and z{which}; look for log(0) or a "
        "scale of 0 in the decoder, or load the last checkpoint before training diverged"
    )
