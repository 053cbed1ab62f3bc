"""What the diagnostics ask of a model: three callables. And of data: batches that can be read more than once.

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

A conditional model is told what is known beside x: each of the three may take a last argument ``given``, a mapping from
names to tensors, and gets the rows of it that belong to the rows of x. The data are then a list of
:class:`buttress.core.batch.Batch`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import Space
from buttress.core.batch import EMPTY, Batch, Given
from buttress.distributions.canonical import canonical, canonical_prior

__all__ = ["Adapter", "Batches", "Conditional", "LatentModel", "Model", "Readable", "conditional", "taking_given"]

ARGUMENTS = {"posterior": 1, "prior": 0, "log_likelihood": 2}
"""The callables of a model, and how many arguments each takes besides ``given``."""


@runtime_checkable
class LatentModel(Protocol):
    """A latent-variable model, as far as the diagnostics can see. S samples, B examples; everything in nats.

    Each callable may take a last argument ``given``, a mapping of tensors (B, ...) that are known beside x.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> x = torch.zeros(4, 3)
        >>> model.posterior(x).batch_shape, model.log_likelihood(x, torch.zeros(2, 4, 1)).shape
        (torch.Size([4]), torch.Size([2, 4]))
    """

    @property
    def posterior(self) -> Callable[..., Distribution]:
        """(x) -> q(z|x): batch shape (B,), event shape that of one z."""

    @property
    def prior(self) -> Callable[..., Distribution]:
        """() -> p(z): batch shape (), or (B,) where it depends on ``given``; event shape that of one z."""

    @property
    def log_likelihood(self) -> Callable[..., Tensor]:
        """(x, z) -> log p(x|z) for z of shape (S, B, *event), shape (S, B): summed over places, never averaged."""


@runtime_checkable
class Readable(Protocol):
    """Held-out data: a list of batches, or anything that gives the same batches whenever it is indexed.

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

    def __getitem__(self, index: int, /) -> Tensor | Batch:
        """One batch, x of shape (B, ...) and what is given with it."""


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
        prior: () -> p(z), a distribution with batch shape (); (B,) where it takes ``given``.
        log_likelihood: (x, z) -> log p(x|z) in nats, shape (S, B), for z of shape (S, B, ...).
        module: The ``nn.Module`` behind them, if any: it is measured in eval mode and left as it was. Methods of a
            module need no mention.
        space: Where z lives. Only where z is discrete or has levels: it names the levels, and of codes their number
            where the prior is learned; its last dimension runs over codebooks.
        notes: What a reader of the evidence must know of the model.

    Each callable may take a last argument ``given``: a mapping from names to what is known beside x, (B, ...) each.

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Normal
        >>> model = Adapter(
        ...     posterior=lambda x: Independent(Normal(x.mean(-1, keepdim=True), 0.5), 1),
        ...     prior=lambda given: Independent(Normal(given["label"].float()[:, None], 1.0), 1),
        ...     log_likelihood=lambda x, z: Normal(z, 1.0).log_prob(x).sum(-1),
        ... )
        >>> model.posterior(torch.tensor([[1.0, 3.0]])).mean
        tensor([[2.]])
    """

    posterior: Callable[..., Distribution]
    prior: Callable[..., Distribution]
    log_likelihood: Callable[..., Tensor]
    module: nn.Module | None = None
    space: Space | None = None
    notes: tuple[str, ...] = ()


class Conditional:
    """A model as the estimators call it: every callable takes ``given``, and ignores it where the model does.

    What the callables return is the user's, and is looked at by :func:`buttress.diagnostics.check.check` alone.

    Args:
        model: Keeps the protocol.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> asked = Conditional(LinearGaussian.random(dims=3, latents=1))
        >>> asked.takes, asked.prior({}).event_shape
        (set(), torch.Size([1]))
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.one_hot = False
        """Whether q is known to be one-hot throughout; see :mod:`buttress.diagnostics.evaluation`."""
        self.called: list[nn.Module] = []
        """Modules in training mode that a call went through; see :func:`buttress.diagnostics.modules.noticing`."""
        self._calls: dict[str, Any] = {
            name: taking_given(getattr(model, name, None), n) for name, n in ARGUMENTS.items()
        }
        self.takes = {name for name, n in ARGUMENTS.items() if _how(getattr(model, name, None), n)}
        self.density: bool = getattr(model, "density", True)
        """Whether there is a p(x|z): a LatentVariableModel with a critic has none."""
        self._prior: Any = None
        self._inside: Any = getattr(model, "codes_inside", None)

    def inside(self, given: Given = EMPTY) -> Any:
        """Which codes of z stand for places within the true lengths, (B, *event); None for all."""
        return self._inside(given) if callable(self._inside) else None

    def posterior(self, x: Tensor, given: Given = EMPTY) -> Any:
        """q(z|x, given), in the class that most is known about."""
        return _known(canonical, self._calls["posterior"](x, given=given))

    def prior(self, given: Given = EMPTY) -> Any:
        """p(z|given), batch shape () or (B,). One that is the same for all examples is made once."""
        if self._prior is None:
            found = _known(canonical_prior, self._calls["prior"](given=given))
            if "prior" in self.takes and isinstance(found, Distribution) and found.batch_shape:
                return found
            self._prior = found
        return self._prior

    def log_likelihood(self, x: Tensor, z: Tensor, given: Given = EMPTY) -> Any:
        """log p(x|z, given), shape (S, B)."""
        return self._calls["log_likelihood"](x, z, given=given)


def _known(rewrite: Callable[[Distribution], Distribution], found: Any) -> Any:
    """A distribution rewritten; anything else as it is, for the check to refuse."""
    return rewrite(found) if isinstance(found, Distribution) else found


def conditional(model: Any) -> Conditional:
    """The model with callables that all take ``given``; one that has them already is left as it is."""
    return model if isinstance(model, Conditional) else Conditional(model)


def taking_given(method: Any, n: int) -> Callable[..., Any]:
    """A callable of ``n`` arguments as one that takes ``given`` besides, by name, and passes it on if it can.

    Example:
        >>> taking_given(lambda x: x + 1, 1)(2, given={}), taking_given(lambda x, g: x + g["y"], 1)(2, given={"y": 5})
        (3, 7)
    """
    how = _how(method, n)
    if how == "name":
        return lambda *arguments, given: method(*arguments, given=given)
    if how == "position":
        return lambda *arguments, given: method(*arguments, given)
    return lambda *arguments, given: method(*arguments)


def _parameters(method: Any) -> list[inspect.Parameter]:
    """Of a callable, or of the ``forward`` of a module; none where Python can't see them."""
    try:
        return list(inspect.signature(method.forward if isinstance(method, nn.Module) else method).parameters.values())
    except (TypeError, ValueError):
        return []


def _how(method: Any, n: int) -> str:
    """How a callable gets ``given``: by name, by position where it needs more than ``n`` arguments, or "" for not."""
    found = _parameters(method)
    if any(p.name == "given" and p.kind is not p.POSITIONAL_ONLY for p in found):
        return "name"
    needed = [p for p in found if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return "position" if len(needed) == n + 1 else ""
