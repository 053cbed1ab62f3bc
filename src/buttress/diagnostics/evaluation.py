"""How every estimator looks at a model: in eval mode, without gradients, with noise of its own, a few rows at a time.

The noise of an example depends on the seed, on what it is for and on the example's number in the whole data, never on
the batch it came in. So results repeat, do not depend on the batch size, and no global random state is touched.
(For posteriors that are not Gaussian, PyTorch offers no such noise: they are seeded a block of rows at a time.)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import normal
from buttress.runtime.memory import ROWS, pairs_at_once
from buttress.runtime.randomness import noise

__all__ = ["blocks", "choose", "count", "decode", "draw", "evaluating"]


@contextmanager
def evaluating(model: Model, seed: int = 0) -> Iterator[None]:
    """Eval mode, no gradients, and a random state of one's own; all as it was when the context ends.

    Example:
        >>> net = nn.Dropout(0.5)
        >>> with evaluating(net):
        ...     net.training, torch.is_grad_enabled()
        (False, False)
        >>> net.training
        True
    """
    roots = _modules(model)
    modes = [(module, module.training) for root in roots for module in root.modules()]
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    with torch.random.fork_rng(list(range(torch.cuda.device_count())) if cuda else []), torch.no_grad():
        _seed(seed, cuda)
        try:
            for root in roots:
                root.eval()
            yield
        finally:
            for module, training in modes:
                module.training = training


def _modules(model: Model) -> list[nn.Module]:
    """The modules behind a model: itself, its attributes, or the owners of its bound methods."""
    if isinstance(model, nn.Module):
        return [model]
    parts = list(getattr(model, "__dict__", {}).values())
    return [p for part in parts for p in (part, getattr(part, "__self__", None)) if isinstance(p, nn.Module)]


def _seed(seed: int, cuda: bool) -> None:
    torch.default_generator.manual_seed(seed)
    if cuda:
        torch.cuda.manual_seed_all(seed)


def count(batches: Batches) -> int:
    """Number of examples N.

    Example:
        >>> count([torch.zeros(3, 2), torch.zeros(4, 2)])
        7
    """
    return sum(len(batches[i]) for i in range(len(batches)))


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


def blocks(
    batches: Batches, rows: int = ROWS, keep: Int[Tensor, " M"] | None = None
) -> Iterator[tuple[Int[Tensor, " B"], Tensor]]:
    """The data as (numbers of the examples, x), at most ``rows`` examples at a time, only those in ``keep``.

    Args:
        batches: The data.
        rows: Most examples at a time.
        keep: Numbers of the examples wanted, shape (M,), rising; None for all.

    Example:
        >>> x = torch.arange(5.0)
        >>> [index.tolist() for index, _ in blocks([x[:3], x[3:]], rows=2, keep=torch.tensor([0, 1, 2, 4]))]
        [[0, 1], [2], [4]]
    """
    first = 0
    for i in range(len(batches)):
        x = batches[i]
        index = torch.arange(first, first + len(x))
        first += len(x)
        if keep is not None:
            chosen = torch.isin(index, keep)
            index, x = index[chosen], x[chosen.to(x.device)]
        for numbers, part in zip(index.split(rows), x.split(rows), strict=True):
            if len(numbers):
                yield numbers, part


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
    shared = len(q.batch_shape) == 0
    if (base := normal(q)) is not None:
        return base.loc + base.scale * noise(index, samples, q.event_shape, seed, stream).to(base.loc)
    if type(q) is MultivariateNormal:
        e = noise(index, samples, q.event_shape, seed, stream).to(q.loc)
        return q.loc + (q.scale_tril @ e[..., None]).squeeze(-1)
    key = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), int(index[0])]).generate_state(1)
    _seed(int(key[0]), torch.cuda.is_available() and torch.cuda.is_initialized())
    return q.sample((samples, len(index)) if shared else (samples,))


def decode(model: Model, x: Tensor, z: Shaped[Tensor, "S B *event"]) -> Float[Tensor, "S B"]:
    """log p(x|z) in float64 nats, a few pairs at a time.

    Args:
        model: Keeps the protocol.
        x: A batch, shape (B, ...).
        z: Samples for each of its examples, shape (S, B, *event).

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> decode(model, torch.zeros(4, 3), torch.zeros(2, 4, 1)).shape  # nats of S = 2 samples for B = 4 examples
        torch.Size([2, 4])
    """
    pairs = pairs_at_once(x)
    rows = min(len(x), pairs)
    columns = [
        torch.cat([_log_likelihood(model, few, some) for some in column.split(max(1, pairs // rows))])
        for few, column in zip(x.split(rows), z.split(rows, 1), strict=True)
    ]
    return torch.cat(columns, 1)


def _log_likelihood(model: Model, x: Tensor, z: Tensor) -> Tensor:
    """One call of the model, with its answer looked at."""
    value = model.log_likelihood(x, z)
    if value.shape != z.shape[:2]:
        raise ValueError(f"log_likelihood gave shape {tuple(value.shape)}, wanted (S, B) = {tuple(z.shape[:2])}")
    if bad := int(value.isnan().sum()):
        raise ValueError(
            f"log_likelihood gave NaN for {bad} of {value.numel()} pairs of x and z; look for log(0) or a scale of 0 "
            "in the decoder, or load the last checkpoint before training diverged"
        )
    return value.double()
