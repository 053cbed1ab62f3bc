"""Passes over held-out data: a few examples at a time, each encoded once for all estimators of a diagnosis.

:class:`Encoded` remembers the parameters of q(z|x) of every example, so that further passes need not call
``posterior`` again, and need not even read x where they look at z alone. Its memory grows with the size of z and not
with that of x; beyond ``limit`` bytes, and for families whose parameters are not known, q is computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.distributions import Distribution, Independent, OneHotCategorical

from buttress.core.batch import Batch, Given
from buttress.diagnostics.protocol import Batches, Conditional, Model, conditional
from buttress.diagnostics.telling import Tell, silent
from buttress.distributions.code_counts import UNCOUNTED
from buttress.distributions.inspect import categorical, factors
from buttress.distributions.point import Point
from buttress.distributions.rows import Parameters, parameters
from buttress.runtime.memory import ROWS

__all__ = [
    "LIMIT",
    "Block",
    "Encoded",
    "as_batch",
    "as_codes",
    "count",
    "one_hot",
    "one_hot_vectors",
    "passes",
    "prior_of",
]

LIMIT = 2**29
"""Bytes of parameters of q(z|x) that are remembered."""
ROUNDING = 1e-6
"""Of a probability of 1, for each other code: what PyTorch makes of a one-hot Categorical."""


def as_batch(batch: Tensor | Batch) -> Batch:
    """What was handed over as one batch, as a :class:`buttress.core.batch.Batch`."""
    return batch if isinstance(batch, Batch) else Batch(batch)


def count(batches: Batches) -> int:
    """Number of examples N.

    Example:
        >>> count([torch.zeros(3, 2), torch.zeros(4, 2)])
        7
    """
    if isinstance(batches, Encoded):
        return sum(batches.size(i) for i in range(len(batches)))
    return sum(len(batches[i]) for i in range(len(batches)))


class Block:
    """Some examples of one batch, or of several of one shape; x and q are read when they are first needed.

    Args:
        data: Where they are from.
        parts: Number of the batch, and rows of it.
        index: Numbers of the examples in the whole data, shape (B,).
        batch: What they are, where it has been read already.
    """

    def __init__(
        self, data: Encoded, parts: list[tuple[int, Tensor]], index: Int[Tensor, " B"], batch: Batch | None = None
    ) -> None:
        self.data, self.parts, self.index, self._batch = data, parts, index, batch
        self._q: Distribution | None = None

    def __len__(self) -> int:
        """Number of examples B."""
        return len(self.index)

    @property
    def batch(self) -> Batch:
        """x and what is given with it."""
        if self._batch is None:
            (i, rows), *_ = self.parts  # of several batches x is handed over
            self._batch = self.data.take(i, rows)
        return self._batch

    @property
    def x(self) -> Tensor:
        """The examples, shape (B, ...)."""
        return self.batch.x

    @property
    def given(self) -> Given:
        """What is known beside them."""
        return self.batch.given

    @property
    def q(self) -> Distribution:
        """The posterior of the examples: batch shape (B,)."""
        if self._q is None:
            self._q = self.data.posterior(self)
        return self._q

    def counted(self, codes: Int[Tensor, "B J"]) -> Int[Tensor, "B J"]:
        """Codes of these examples in a row, on the processor; those behind the true ends are ``UNCOUNTED``."""
        inside = self.data.asked.inside(self.given)
        return codes.cpu() if inside is None else torch.where(inside.flatten(1).cpu(), codes.cpu(), UNCOUNTED)

    def split(self, rows: int) -> list[Block]:
        """The same examples, at most ``rows`` at a time."""
        if len(self) <= rows:
            return [self]
        found, parts = parameters(self.q), []
        for first in range(0, len(self), rows):
            at = slice(first, first + rows)
            part = Block(self.data, [], self.index[at], self.batch.take(at))
            part._q = None if found is None else found.take(at)
            parts.append(part)
        return parts

    def narrowed(self, places: Int[Tensor, " P"]) -> Block | None:
        """The same examples with a q of some coordinates of a flat z alone; None where its family is not known."""
        found = parameters(self.q)
        if found is None or any(value.dim() != 2 for value in found.tensors.values()):
            return None
        part = Block(self.data, self.parts, self.index)
        part._q = found.make({name: value[:, places] for name, value in found.tensors.items()})
        return part

    @property
    def prior(self) -> Distribution:
        """p(z): batch shape () or (B,)."""
        asked = self.data.asked
        return asked.prior(self.given if "prior" in asked.takes else {})


class _Remembered:
    """Parameters of q for the examples of one batch, and which of its rows are known."""

    def __init__(self, b: int, found: Parameters) -> None:
        self.make, self.known = found.make, torch.zeros(b, dtype=torch.bool)
        self.tensors: Mapping[str, Tensor] = {name: v.new_empty(b, *v.shape[1:]) for name, v in found.tensors.items()}

    def put(self, rows: Tensor, found: Parameters) -> None:
        for name, value in found.tensors.items():
            self.tensors[name][rows.to(value.device)] = value
        self.known[rows] = True

    @property
    def bytes(self) -> int:
        return sum(value.nbytes for value in self.tensors.values())


class Encoded:
    """Held-out data that remember the q(z|x) of a model for every example.

    Args:
        model: Keeps the protocol.
        batches: The data.
        limit: Bytes of parameters that are remembered; 0 for none.
        tell: Is told how far each pass is.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> data = Encoded(LinearGaussian.random(dims=3, latents=1).vae(), [torch.zeros(4, 3), torch.zeros(2, 3)])
        >>> [len(block) for block in data.blocks()], len(data), data.size(1)
        ([4, 2], 2, 2)
    """

    def __init__(self, model: Model, batches: Batches, limit: int = LIMIT, tell: Tell = silent) -> None:
        self.asked: Conditional = conditional(model)
        self.tell = tell
        self.batches, self.limit, self.used = batches, limit, 0
        self._last: tuple[int, Batch] | None = None
        self._remembered: dict[int, _Remembered] = {}
        self._sizes: dict[int, int] = {}

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        """One batch; the one read last is at hand."""
        if self._last is None or self._last[0] != number:
            self._last = number, as_batch(self.batches[number])
            self._sizes[number] = len(self._last[1])
        return self._last[1]

    def size(self, number: int) -> int:
        """Number of examples in a batch, which is read at most once for it."""
        return self._sizes[number] if number in self._sizes else len(self[number])

    def take(self, number: int, rows: Int[Tensor, " _"]) -> Batch:
        """Some rows of a batch, rising; without copying where they are next to each other."""
        first, last = int(rows[0]), int(rows[-1])
        return self[number].take(slice(first, last + 1) if last - first + 1 == len(rows) else rows)

    def blocks(self, rows: int = ROWS, keep: Int[Tensor, " M"] | None = None, joined: bool = False) -> Iterator[Block]:
        """The data, at most ``rows`` examples at a time, only those in ``keep``.

        Args:
            rows: Most examples at a time.
            keep: Numbers of the examples wanted, shape (M,), rising; None for all.
            joined: Put examples of several batches together where their shapes allow it, which is faster where few of
                each batch are wanted.
        """
        if joined and keep is not None:
            yield from self._together(self._parts(keep), rows)
            return
        for i, own, numbers in self._parts(keep):
            for some, at in zip(own.split(rows), numbers.split(rows), strict=True):
                self.tell(f"batch {i + 1:,} of {len(self):,}")
                yield Block(self, [(i, some)], at)

    def _parts(self, keep: Int[Tensor, " M"] | None) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Of every batch its number, the rows wanted and their numbers in the whole data."""
        first = 0
        for i in range(len(self)):
            size = self.size(i)
            index = torch.arange(first, first + size)
            first += size
            if keep is not None:
                index = index[torch.isin(index, keep)]
            if len(index):
                yield i, index - (first - size), index

    def _together(self, parts: Iterable[tuple[int, Tensor, Tensor]], rows: int) -> Iterator[Block]:
        """Blocks of examples from several batches whose x and conditions have one shape."""
        group: list[tuple[int, Tensor, Tensor]] = []
        read: list[Batch] = []
        for part in parts:
            batch = self.take(part[0], part[1])
            if group and (_shapes(batch) != _shapes(read[0]) or sum(map(len, read)) + len(batch) > rows):
                yield self._block(group, read)
                group, read = [], []
            group.append(part)
            read.append(batch)
        if group:
            yield self._block(group, read)

    def _block(self, group: list[tuple[int, Tensor, Tensor]], read: list[Batch]) -> Block:
        given = {name: torch.cat([batch.given[name] for batch in read]) for name in read[0].given}
        batch = Batch(torch.cat([batch.x for batch in read]), given)
        return Block(self, [(i, own) for i, own, _ in group], torch.cat([numbers for *_, numbers in group]), batch)

    def posterior(self, block: Block) -> Distribution:
        """q(z|x) of a block, remembered where it fits."""
        found = self._recall(*block.parts[0], block) if len(block.parts) == 1 else self._several(block)
        found = self.asked.posterior(block.x, block.given) if found is None else found
        return as_codes(found) if self.asked.one_hot else found

    def _several(self, block: Block) -> Distribution | None:
        """The same where the examples are of several batches, if all are remembered."""
        if not block.parts:
            return None
        known = [self._remembered.get(i) for i, _ in block.parts]
        rows = [rows for _, rows in block.parts]
        if any(one is None or not one.known[at].all() for one, at in zip(known, rows, strict=True)):
            return None
        found = [one for one in known if one is not None]
        tensors = {
            name: torch.cat([one.tensors[name][at] for one, at in zip(found, rows, strict=True)])
            for name in found[0].tensors
        }
        return found[0].make(tensors)

    def _recall(self, number: int, rows: Tensor, block: Block) -> Distribution | None:
        """q of rows of one batch, of which those not yet known are computed; None where nothing can be remembered."""
        known = self._remembered.get(number)
        missing = rows if known is None else rows[~known.known[rows]]
        if len(missing):
            whole = len(missing) == len(rows)
            batch = block.batch if whole else self.take(number, missing)
            q = self.asked.posterior(batch.x, batch.given)
            if not self.remember(number, missing, q):
                return q if whole else None
            if whole:
                return q
        return Parameters(self._remembered[number].tensors, self._remembered[number].make).take(rows)

    def remember(self, number: int, rows: Tensor, q: Distribution) -> bool:
        """Keep q of some rows of a batch; False where it does not fit, or its family is not known."""
        found = parameters(q) if self.limit else None
        if found is None:
            return False
        if number not in self._remembered:
            new = _Remembered(self.size(number), found)
            if self.used + new.bytes > self.limit:
                return False
            self._remembered[number] = new
            self.used += new.bytes
        self._remembered[number].put(rows, found)
        return True


def _shapes(batch: Batch) -> tuple[Any, ...]:
    return batch.x.shape[1:], *((name, value.shape[1:]) for name, value in batch.given.items())


def passes(
    model: Model, batches: Batches, rows: int = ROWS, keep: Int[Tensor, " M"] | None = None, joined: bool = False
) -> Iterator[Block]:
    """One pass over the data: of an :class:`Encoded` what it remembers, of other batches with nothing remembered.

    Args:
        model: Keeps the protocol.
        batches: The data.
        rows: Most examples at a time.
        keep: Numbers of the examples wanted, shape (M,), rising; None for all.
        joined: See :meth:`Encoded.blocks`.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> x, model = torch.zeros(5, 3), LinearGaussian.random(dims=3, latents=1)
        >>> kept = passes(model, [x[:3], x[3:]], rows=2, keep=torch.tensor([0, 1, 2, 4]))
        >>> [block.index.tolist() for block in kept]
        [[0, 1], [2], [4]]
    """
    data = batches if isinstance(batches, Encoded) else Encoded(model, batches, limit=0)
    return data.blocks(rows, keep, joined)


def prior_of(model: Model, batches: Batches = ()) -> Distribution:
    """p(z) of the first example, for its family and its event shape.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> prior_of(LinearGaussian.random(dims=3, latents=1), [torch.zeros(5, 3)]).event_shape
        torch.Size([1])
    """
    asked = conditional(model)
    if "prior" not in asked.takes or not len(batches):
        return asked.prior()
    return asked.prior(as_batch(batches[0]).take(slice(0, 1)).given)


def one_hot(q: Distribution) -> bool:
    """Whether q is a categorical that gives one code all of the probability, everywhere.

    Example:
        >>> from torch.distributions import Categorical
        >>> one_hot(Categorical(probs=torch.eye(3))), one_hot(Categorical(probs=torch.ones(3, 3)))
        (True, False)
    """
    base = one_hot_vectors(q) or categorical(q)
    return base is not None and bool((base.probs.amax(-1) >= 1 - ROUNDING * base.probs.shape[-1]).all())


def one_hot_vectors(q: Distribution) -> OneHotCategorical | None:
    """The distributions over one-hot vectors that q is a product of, or None.

    Example:
        >>> from torch.distributions import Categorical
        >>> one_hot_vectors(Categorical(probs=torch.eye(3))) is None
        True
    """
    base = factors(q)
    return base if isinstance(base, OneHotCategorical) else None


def as_codes(q: Distribution) -> Distribution:
    """A one-hot Categorical as the point that it is.

    Example:
        >>> from torch.distributions import Categorical
        >>> as_codes(Categorical(probs=torch.eye(3))).value.tolist()
        [0, 1, 2]
    """
    base = categorical(q)
    if base is None:
        return q
    codes = Point(base.logits.argmax(-1))
    return Independent(codes, len(q.event_shape)) if len(q.event_shape) else codes
