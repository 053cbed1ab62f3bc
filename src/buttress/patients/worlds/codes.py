r"""Codes in closed form: z has G slots of K codes, and each slot says all there is of its own part of x.

With $f_g(x, k) = \log p(\text{part } g \text{ of } x | k)$ and a uniform prior the posterior of a slot is the softmax
of $f_g(x, \cdot)$, and a decoder that does not read the slot says $\log \frac1K \sum_k e^{f_g(x, k)}$, which is the
best that can be said without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from buttress.core import Space
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import FAINT
from buttress.distributions.point import Point

__all__ = ["CodedData", "colours", "pictures", "topics"]


@dataclass(frozen=True)
class CodedData:
    """Data that are made of codes.

    Args:
        x: The data, (N, ...).
        score: x -> log p(part g of x | code k), (B, G, K).
        slots: G.
        classes: K.

    Example:
        >>> made = colours(n=50)
        >>> made.sure(made.x).event_shape, made.exact(made.x).event_shape
        (torch.Size([2]), torch.Size([2]))
    """

    x: Tensor
    score: Callable[[Tensor], Float[Tensor, "B G K"]]
    slots: int
    classes: int

    @property
    def uniform(self) -> Distribution:
        """The prior."""
        return Independent(Categorical(logits=torch.zeros(self.slots, self.classes)), 1)

    def best(self, x: Tensor) -> Int[Tensor, "B G"]:
        """The most probable code of each slot."""
        return self.score(x).argmax(-1)

    def sure(self, x: Tensor) -> Distribution:
        """q as a point on the most probable codes."""
        return Independent(Point(self.best(x)), 1)

    def exact(self, x: Tensor) -> Distribution:
        """The posterior itself."""
        return Independent(Categorical(logits=self.score(x)), 1)

    def log_likelihood(self, read: Sequence[bool] = ()) -> Callable[[Tensor, Tensor], Float[Tensor, "S B"]]:
        """The decoder; the slots that it does not read, but for a millionth, it explains as well as can be without.

        Args:
            read: Whether each slot is read; all of them where it is empty.
        """
        mask = torch.tensor(list(read) or [True] * self.slots)

        def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
            score = self.score(x)
            told = score.expand(*z.shape, self.classes).gather(-1, z.long()[..., None])[..., 0]
            without = score.logsumexp(-1) - math.log(self.classes)
            return torch.where(mask, told, without + FAINT * (told - without)).sum(-1)

        return log_likelihood

    def model(
        self,
        posterior: Callable[[Tensor], Distribution] | None = None,
        read: Sequence[bool] = (),
        prior: Distribution | None = None,
        levels: Sequence[str] = (),
    ) -> Adapter:
        """A model of these data.

        Args:
            posterior: q(z|x); None for a point on the best codes.
            read: Which slots the decoder reads; all where it is empty.
            prior: p(z); None for the uniform one.
            levels: Names of the slots, where they are levels.
        """
        own = self.uniform if prior is None else prior
        space = Space.stacked([(name, (1,), self.classes) for name in levels]) if levels else None
        return Adapter(posterior or self.sure, lambda: own, self.log_likelihood(read), space=space)


def _drawn(n: int, slots: int, classes: int, own: torch.Generator, shares: Sequence[float]) -> Int[Tensor, "N G"]:
    """The codes that make each example, all equally often unless there are shares."""
    if not shares:
        return torch.randint(classes, (n, slots), generator=own)
    of = torch.tensor([*shares, *[0.0] * (classes - len(shares))])
    return torch.multinomial(of, n * slots, replacement=True, generator=own).reshape(n, slots)


def colours(
    n: int = 600,
    slots: int = 2,
    classes: int = 4,
    width: int = 3,
    noise: float = 0.4,
    seed: int = 0,
    shares: Sequence[float] = (),
) -> CodedData:
    """Rows of a table: each slot gives ``width`` columns one of K colours, with Gaussian noise.

    Args:
        n: Examples.
        slots: G.
        classes: K.
        width: Columns of each slot.
        noise: Standard deviation, of colours that are spread by 2.
        seed: Of everything.
        shares: How often the first codes make an example, the others never; empty where all do equally often.

    Example:
        >>> colours(n=5).x.shape
        torch.Size([5, 6])
    """
    own = torch.Generator().manual_seed(seed)
    table = 2 * torch.randn(slots, classes, width, generator=own)
    z = _drawn(n, slots, classes, own, shares)
    x = torch.cat([table[g, z[:, g]] for g in range(slots)], 1)
    x = x + noise * torch.randn(x.shape, generator=own)

    def score(x: Tensor) -> Tensor:
        away = x.reshape(len(x), slots, 1, width) - table
        constant = width * math.log(noise * math.sqrt(2 * math.pi))
        return -away.square().sum(-1) / (2 * noise**2) - constant

    return CodedData(x, score, slots, classes)


def pictures(
    n: int = 600,
    slots: int = 1,
    classes: int = 8,
    height: int = 6,
    width: int = 6,
    sharp: float = 0.9,
    seed: int = 0,
    shares: Sequence[float] = (),
) -> CodedData:
    """Black and white images: each slot chooses the pattern of a band of pixel rows.

    Args:
        n: Examples.
        slots: G, bands one under the other.
        classes: K.
        height: Pixel rows of a band.
        width: Pixels in a row.
        sharp: Probability of the colour of the pattern.
        seed: Of everything.
        shares: How often the first codes make an example, the others never; empty where all do equally often.

    Example:
        >>> pictures(n=5, slots=2, height=3).x.shape
        torch.Size([5, 1, 6, 6])
    """
    own = torch.Generator().manual_seed(seed)
    chance = torch.rand(slots, classes, height * width, generator=own).round() * (2 * sharp - 1) + 1 - sharp
    z = _drawn(n, slots, classes, own, shares)
    x = torch.stack([torch.bernoulli(chance[g, z[:, g]], generator=own) for g in range(slots)], 1)

    def score(x: Tensor) -> Tensor:
        pixels = x.reshape(len(x), slots, 1, height * width)
        return (pixels * chance.log() + (1 - pixels) * (1 - chance).log()).sum(-1)

    return CodedData(x.reshape(n, 1, slots * height, width), score, slots, classes)


def topics(
    n: int = 600,
    slots: int = 1,
    classes: int = 6,
    words: int = 30,
    length: int = 12,
    clear: float = 0.8,
    seed: int = 0,
    shares: Sequence[float] = (),
) -> CodedData:
    """Sentences: each slot is the topic of a stretch of words, a share ``clear`` of which are its own.

    Args:
        n: Examples.
        slots: G, stretches one after the other.
        classes: K; topic k has the words k, k + K, k + 2 K and so on to itself.
        words: Of the vocabulary, ids 1 to this.
        length: Words of a stretch.
        clear: Share of the words that are those of the topic.
        seed: Of everything.
        shares: How often the first codes make an example, the others never; empty where all do equally often.

    Example:
        >>> topics(n=5).x.shape
        torch.Size([5, 12])
    """
    own = torch.Generator().manual_seed(seed)
    mine = torch.arange(words) % classes == torch.arange(classes)[:, None]
    chance = clear * mine / mine.sum(1, keepdim=True) + (1 - clear) / words
    z = _drawn(n, slots, classes, own, shares)
    each = [torch.multinomial(chance[z[:, g]], length, replacement=True, generator=own) + 1 for g in range(slots)]

    def score(x: Tensor) -> Tensor:
        told: Any = chance.log()[:, x.reshape(len(x), slots, length) - 1]
        return told.sum(-1).permute(1, 2, 0)

    return CodedData(torch.cat(each, 1), score, slots, classes)
