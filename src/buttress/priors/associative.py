r"""Associative compression: p(z) is told a code c that is near, one of an example seen before.

$$ p(z | c) = \sum_{m=1}^M \pi_m(c)\, N\bigl(z;\ c + \mu_m(c), \operatorname{diag} \sigma_m(c)^2\bigr), \qquad
   L = E_q[-\log p(x|z)] + \mathrm{KL}\bigl(q(z|x) \,\|\, p(z | c)\bigr) $$

In training c is one of the K codes nearest to that of x, among those of all other training examples, each drawn with
the same chance. L is then what x costs whoever knows c already, and no bound on log p(x). Outside training it is not
known which code is near, and p is a density of z like any other:

$$ p(z) = \frac1N \sum_{n=1}^N p(z | c_n), \qquad
   \mathrm{KL}(q \| p) \le \log \frac NK + \frac1K \sum_{n \text{ near}} \mathrm{KL}(q \| p(\cdot | c_n)) $$

The inequality: to say which of N codes is near costs log N nats, of which log K come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import EMPTY, Given, NeighbourPriorModule, Prior, Space
from buttress.distributions.diagonal_mixture import DiagonalMixture
from buttress.nn.layers import bounded, check_widths, full, perceptron
from buttress.nn.neighbours import Neighbours
from buttress.runtime import distributed
from buttress.runtime.randomness import draw

__all__ = ["Associative", "AssociativeModule"]

WIDEST = 5.0
"""Bound of the log of a component's standard deviation, to either side."""


@dataclass(frozen=True)
class Associative(Prior):
    """A mixture of Gaussians whose parameters are read from the code of a similar training example.

    The store holds the code of every training example, the mean of its q(z|x) when it was last seen. All codes are
    made anew before each look at held-out data. Held-out examples look among the codes of training examples alone.

    Source: Graves, Menick and van den Oord, Associative Compression Networks for Representation Learning, 2018. Ours:
    component means are told as a difference from c.

    Args:
        neighbours: K, among how many nearest codes c is drawn; all of them if there are fewer.
        components: M, of the mixture.
        hidden: Units of each hidden layer of the network that reads c.
        neighbour: "nearest", or "random" for a control in which c is the code of any other training example.

    Errors:
        ValueError: A size below 1.

    Example:
        >>> prior = Associative(components=4).build(Space((3,)))
        >>> prior().event_shape, prior.of_code(torch.zeros(7, 3)).batch_shape
        (torch.Size([3]), torch.Size([7]))
    """

    factorised: ClassVar[bool] = False
    neighbours: int = 5
    components: int = 8
    hidden: tuple[int, ...] = (128, 128)
    neighbour: Literal["nearest", "random"] = "nearest"

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name in ("neighbours", "components"):
            if getattr(self, name) < 1:
                raise ValueError(f"associative prior: {name} is {getattr(self, name)}, wanted at least 1")
        check_widths("associative prior: hidden", self.hidden)

    @classmethod
    def tiny(cls) -> tuple[Associative, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(neighbours=2, components=2, hidden=(4,)),)

    def build(self, space: Space) -> AssociativeModule:
        """See :class:`buttress.core.Prior`."""
        return AssociativeModule(self, space.shape)


class AssociativeModule(NeighbourPriorModule):
    """The module of :class:`Associative`. Before it has seen an example its codes are K + 1 draws from N(0, I)."""

    codes: Tensor

    def __init__(self, part: Associative, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.part, self.shape, self.size = part, shape, math.prod(shape)
        self.net = perceptron((self.size, *part.hidden), "tanh")
        weights = part.components if part.components > 1 else 0  # of one component there is nothing to learn
        self.out = nn.Linear((self.size, *part.hidden)[-1], weights + 2 * part.components * self.size)
        self.register_buffer("codes", torch.empty(0, self.size))
        self.codes = torch.randn(part.neighbours + 1, self.size)
        self._search: tuple[Tensor, int, Neighbours] | None = None
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._made: tuple[Any, DiagonalMixture] | None = None

    def forward(self, given: Given = EMPTY) -> Distribution:
        """p(z), the mean over all codes of the store; see :class:`buttress.core.PriorModule`."""
        if torch.is_grad_enabled():
            return self._whole()
        state = [(value.data_ptr(), value._version) for value in (self.codes, *self.parameters())]
        if self._made is None or self._made[0] != state:
            self._made = state, self._whole()
        return self._made[1]

    def _whole(self) -> DiagonalMixture:
        each = self.of_code(self.codes)
        return DiagonalMixture(each.log_weight.flatten(), each.loc.flatten(0, 1), each.scale.flatten(0, 1))

    def of_code(self, codes: Float[Tensor, "*batch D"]) -> DiagonalMixture:
        """See :class:`buttress.core.NeighbourPriorModule`."""
        m = self.part.components
        with torch.autocast(codes.device.type, enabled=False):  # log p(z) keeps its digits whatever autocast asks for
            found = self.out(self.net(full(codes)))
        logits, loc, raw = found.split([self.out.out_features - 2 * m * self.size, m * self.size, m * self.size], -1)
        lead = codes.shape[:-1]
        logits = logits if m > 1 else logits.new_zeros(*lead, 1)
        loc, scale = loc.unflatten(-1, (m, self.size)), bounded(raw, -WIDEST, WIDEST).exp()
        return DiagonalMixture(
            logits, (codes[..., None, :] + loc).view(*lead, m, *self.shape), scale.view(*lead, m, *self.shape)
        )

    def near(self, codes: Float[Tensor, "B D"]) -> Float[Tensor, "B K D"]:
        """See :class:`buttress.core.NeighbourPriorModule`."""
        count = min(self.part.neighbours, len(self.codes))
        if self.part.neighbour == "random":
            return self.codes[torch.randint(len(self.codes), (len(codes), count), device=codes.device)]
        return self.codes[self._neighbours().nearest(codes, count)]

    def beside(self, q: Callable[[], Distribution], given: Given = EMPTY) -> Distribution:
        """p(z|c) with c near to the mean of each q; see :class:`buttress.core.PriorModule`."""
        own = given.get("index")
        with torch.no_grad():
            seen = q().mean.flatten(1).to(self.codes)
            picked = self._picked(seen, own, draw(torch.rand, (len(seen),)).to(seen.device))
        if own is not None:
            self._seen.append((own, seen))
        return self.of_code(self.codes[picked])

    def _picked(self, seen: Tensor, own: Tensor | None, uniforms: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
        """The number of the code that each example is told, never its own."""
        others = len(self.codes) - (own is not None)
        if self.part.neighbour == "random":
            chosen = (uniforms.double() * others).long()
            return chosen if own is None else chosen + (chosen >= own)
        rows = self._neighbours().nearest(seen, min(self.part.neighbours, others), own)
        return rows.gather(1, (uniforms * rows.shape[1]).long()[:, None])[:, 0]

    def refresh(self, posteriors: Callable[[], Iterator[Distribution]]) -> None:
        """See :class:`buttress.core.PriorModule`."""
        self.codes = torch.cat([q.mean.flatten(1) for q in posteriors()]).to(self.codes)

    @torch.no_grad()
    def after_step(self) -> None:
        """See :class:`buttress.core.PriorModule`."""
        for own, seen in self._seen:
            rows, codes = distributed.gather(own), distributed.gather(seen)
            search = self._neighbours()
            self.codes[rows] = codes
            search.move(rows, codes)
            self._search = self.codes, self.codes._version, search
        self._seen.clear()

    def _neighbours(self) -> Neighbours:
        """The search among the codes, made anew where these were not moved by :meth:`after_step`."""
        if self._search is None or self._search[0] is not self.codes or self._search[1] != self.codes._version:
            self._search = self.codes, self.codes._version, Neighbours(self.codes)
        return self._search[2]

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        """Make room for as many codes as there are: how many examples there are is known to the data alone."""
        found = state.get(f"{prefix}codes")
        if isinstance(found, Tensor) and found.dim() == 2 and found.shape[1] == self.size:
            self.codes = found.to(self.codes, copy=True)
        super()._load_from_state_dict(state, prefix, *rest)
