"""What the diagnostics ask of a model: three callables. And of data: batches one can read twice.

A model of ours satisfies it as it is. Yours does through :class:`Adapter`:

>>> import torch
>>> from torch import nn
>>> from torch.distributions import Independent, Normal
>>> net, decoder = nn.Linear(5, 4), nn.Linear(2, 5)
>>> def posterior(x):
...     mean, raw = net(x).chunk(2, -1)
...     return Independent(Normal(mean, raw.exp()), 1)
>>> model = Adapter(
...     posterior=posterior,
...     prior=lambda: Independent(Normal(torch.zeros(2), torch.ones(2)), 1),
...     log_likelihood=lambda x, z: Normal(decoder(z), 1.0).log_prob(x).sum(-1),
... )
>>> model.log_likelihood(torch.zeros(7, 5), torch.zeros(3, 7, 2)).shape
torch.Size([3, 7])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import Space

__all__ = ["Adapter", "Batches", "LatentModel", "Model", "Readable"]


@runtime_checkable
class LatentModel(Protocol):
    """A latent-variable model, as far as the diagnostics can see. S samples, B examples; everything in nats.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> x = torch.zeros(4, 3)
        >>> model.posterior(x).batch_shape, model.log_likelihood(x, torch.zeros(2, 4, 1)).shape
        (torch.Size([4]), torch.Size([2, 4]))
    """

    def posterior(self, x: Tensor, /) -> Distribution:
        """q(z|x): batch shape (B,), event shape that of one z."""

    def prior(self) -> Distribution:
        """p(z): batch shape (), event shape that of one z."""

    def log_likelihood(self, x: Tensor, z: Tensor, /) -> Tensor:
        """log p(x|z) for z of shape (S, B, *event), shape (S, B): summed over places, never averaged."""


@runtime_checkable
class Readable(Protocol):
    """Held-out data: a list of tensors x, or anything that gives the same tensors whenever it is indexed.

    Only the first dimension of x has a meaning here (it runs over examples), so the batches may differ in the size of
    any other, not in their number.

    Example:
        >>> import torch
        >>> batches = list(torch.zeros(250, 3).split(100))
        >>> len(batches), batches[2].shape
        (3, torch.Size([50, 3]))
    """

    def __len__(self) -> int:
        """Number of batches."""

    def __getitem__(self, index: int, /) -> Tensor:
        """One batch, shape (B, ...)."""


# isinstance() on a protocol does not see submodules of an nn.Module from Python 3.12 on, so at run time any object
# may come, as model or as batches: check.py says what is wrong with it.
if TYPE_CHECKING:
    Model: TypeAlias = LatentModel
    Batches: TypeAlias = Readable
else:
    Model = Batches = object


@dataclass(frozen=True)
class Adapter:
    """Your own model as the diagnostics want it.

    Args:
        posterior: x -> q(z|x), a distribution with batch shape (B,).
        prior: () -> p(z), a distribution with batch shape ().
        log_likelihood: (x, z) -> log p(x|z) in nats, shape (S, B), for z of shape (S, B, ...).
        module: The ``nn.Module`` behind them, if any: it is measured in eval mode and left as it was. Methods of a
            module need no mention.
        space: Where z lives. Only where z is discrete and the prior is learned: then it says how many codes there are.

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Normal
        >>> model = Adapter(
        ...     posterior=lambda x: Independent(Normal(x.mean(-1, keepdim=True), 0.5), 1),
        ...     prior=lambda: Independent(Normal(torch.zeros(1), 1.0), 1),
        ...     log_likelihood=lambda x, z: Normal(z, 1.0).log_prob(x).sum(-1),
        ... )
        >>> model.posterior(torch.tensor([[1.0, 3.0]])).mean
        tensor([[2.]])
    """

    posterior: Callable[[Tensor], Distribution]
    prior: Callable[[], Distribution]
    log_likelihood: Callable[[Tensor, Tensor], Tensor]
    module: nn.Module | None = None
    space: Space | None = None
