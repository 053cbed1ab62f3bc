r"""The best product of categoricals for each example: every value is tried.

$$ q_g(k) \propto \exp E_{q_{-g}} \ln p(x, z_{-g}, z_g = k) $$

Where z takes few values in all, each is decoded once: p(x, z) is then known for all of them, the updates above are
exact, and so is the ELBO; with a single group the best q is p(z|x) itself. Where it takes too many, the groups are
updated one by one over samples of the others, and a sweep over all groups is repeated until it gains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, OneHotCategorical

from buttress.diagnostics.search.task import ENOUGH, Found, Look, Task, found, gained
from buttress.distributions.inspect import factors, log_density
from buttress.runtime.randomness import noise

__all__ = ["CodeProduct", "DiscreteSearch", "codes"]

DECODED = 6
"""Pairs of x and z that may be decoded for each step: what a step of a Gaussian search costs."""
FEW = 64
"""So many values of z are always tried."""
OTHERS = 8
"""Samples of the other groups, at most."""
SWEEPS = 100
"""Where all values are known and a sweep costs nothing."""


@dataclass(frozen=True)
class CodeProduct:
    """A product of categoricals for each of B examples.

    Args:
        like: What z is made of: Categorical, OneHotCategorical or Bernoulli.
        logits: Normalised, (B, G, K).
        event: Shape of z.
        wrapped: Dimensions that the factors take for a batch and q for one event.
    """

    like: type[Distribution]
    logits: Float[Tensor, "B G K"]
    event: tuple[int, ...]
    wrapped: int

    @property
    def q(self) -> Distribution:
        """The distribution: batch shape (B,)."""
        b, _, k = self.logits.shape
        if self.like is Bernoulli:
            odds = (self.logits[..., 1] - self.logits[..., 0]).reshape(b, *self.event)
            base: Distribution = Bernoulli(logits=odds, validate_args=False)
        else:
            sites = self.event[:-1] if self.like is OneHotCategorical else self.event
            made: Any = self.like
            base = made(logits=self.logits.reshape(b, *sites, k), validate_args=False)
        return Independent(base, self.wrapped, validate_args=False) if self.wrapped else base

    def z(self, which: Int[Tensor, "*rest G"]) -> Tensor:
        """z as the model takes it, from the number of the class in each group."""
        if self.like is OneHotCategorical:
            which = torch.nn.functional.one_hot(which, self.logits.shape[-1])
        value = which.reshape(*which.shape[: which.dim() - 1 - (self.like is OneHotCategorical)], *self.event)
        return value if self.like is Categorical else value.to(self.logits.dtype)

    def draw(self, e: Float[Tensor, "S B G"]) -> Int[Tensor, "S B G"]:
        """Classes at normal noise: two q that are alike draw alike."""
        below = self.logits.softmax(-1).cumsum(-1)
        u = torch.special.ndtr(e.to(below))[..., None]
        return (u > below).sum(-1).clamp(max=self.logits.shape[-1] - 1)

    def put(self, rows: Tensor, logits: Tensor) -> CodeProduct:
        """With some of the examples replaced."""
        return CodeProduct(self.like, self.logits.index_copy(0, rows, logits), self.event, self.wrapped)


def codes(q: Distribution) -> CodeProduct | None:
    """q as a product of categoricals, or None where it is none.

    Example:
        >>> found = codes(OneHotCategorical(logits=torch.zeros(3, 10)))
        >>> found.logits.shape, found.z(torch.tensor([[4]])).argmax(-1)
        (torch.Size([3, 1, 10]), tensor([4]))
    """
    base, event = factors(q), tuple(q.event_shape)
    wrapped = len(event) - len(base.event_shape)
    if isinstance(base, OneHotCategorical):
        like: type[Distribution] = OneHotCategorical
        logits = base.logits
    elif type(base) is Categorical:
        like, logits = Categorical, base.logits
    elif type(base) is Bernoulli:
        like, logits = Bernoulli, torch.stack([torch.zeros_like(base.logits), base.logits], -1)
    else:
        return None
    logits = logits.double().reshape(len(logits), -1, logits.shape[-1])
    return CodeProduct(like, logits.clamp(min=-1e9).log_softmax(-1), event, wrapped)


class DiscreteSearch:
    """The search of some examples.

    Args:
        task: The examples.
        start: The encoder's q.
        steps: At most DECODED * steps values of z are decoded for an example.
    """

    def __init__(self, task: Task, start: CodeProduct, steps: int) -> None:
        self.task, self.start, self.budget = task, start, DECODED * steps
        _, self.groups, self.classes = start.logits.shape

    @property
    def small(self) -> bool:
        """Whether every value of z can be tried."""
        return self.classes**self.groups <= max(FEW, self.budget)

    @property
    def obstacle(self) -> str:
        """Why there is no search, or nothing."""
        if self.small or self.budget >= 2 * self.classes * self.groups:
            return ""
        needed = 2 * self.classes * self.groups
        return (
            f"one sweep over {self.groups} groups of {self.classes} classes takes {needed} decoded z an example, and "
            f"gap_steps allows {self.budget}; raise gap_steps"
        )

    def run(self, samples: int) -> Found:
        """Search, and measure: exactly where every value was tried, else by ``samples`` fresh samples."""
        return self._all() if self.small else self._sweeps(samples)

    # --- every value ---

    def _all(self) -> Found:
        """Every z is decoded."""
        every = torch.cartesian_prod(*[torch.arange(self.classes)] * self.groups).reshape(-1, self.groups)
        every, b = every.to(self.start.logits.device), len(self.task.block)
        z = self.start.z(every)[:, None].expand(-1, b, *self.start.event)
        distortion = self.task.distortion(z).movedim(0, 1)  # (B, M)
        prior = log_density(self.task.block.prior, z).double().movedim(0, 1).expand_as(distortion)
        joint = prior - distortion
        best = self._mean_field(joint, every)
        (before, rate), (after, refined) = (_exact(q, distortion, prior, every) for q in (self.start.logits, best))
        zero = torch.zeros_like(before)
        gain = before + rate - after - refined
        return Found(gain, gain, zero, before - after, rate, refined, zero == 0)

    def _mean_field(self, joint: Float[Tensor, "B M"], every: Int[Tensor, "M G"]) -> Float[Tensor, "B G K"]:
        """The best q, from the encoder's, from the marginals of p(z|x), and from its most likely z."""
        if self.groups == 1:
            return joint.log_softmax(-1)[:, None]
        hot = torch.nn.functional.one_hot(every, self.classes).double()  # (M, G, K)
        marginals = torch.einsum("bm,mgk->bgk", joint.softmax(-1), hot)
        tops = 0.99 * hot[joint.argmax(-1)] + 0.01 / self.classes
        ends = [self._ascend(q, joint, every, hot) for q in (self.start.logits, marginals.log(), tops.log())]
        values = torch.stack([_elbo(q, joint, every) for q in ends])
        return torch.stack(ends)[values.argmax(0), torch.arange(len(joint), device=joint.device)]

    def _ascend(self, q: Tensor, joint: Tensor, every: Tensor, hot: Tensor) -> Float[Tensor, "B G K"]:
        q, last = q.clamp(min=-1e9), torch.full((len(joint),), -torch.inf, dtype=torch.float64, device=joint.device)
        finite = joint.clamp(min=-1e9)
        for _ in range(SWEEPS):
            for g in range(self.groups):
                mass = (_log_mass(q, every) - q[:, g, :].take_along_dim(every[None, :, g], 1)).exp()
                q = q.index_copy(
                    1,
                    torch.tensor([g], device=q.device),
                    (mass * finite).matmul(hot[:, g]).log_softmax(-1).clamp(min=-1e9)[:, None],
                )
            now = _elbo(q, joint, every)
            if (now - last < ENOUGH / 10).all():
                break
            last = now
        return q

    # --- samples of the others ---

    def _sweeps(self, samples: int) -> Found:
        rows, best, left = torch.arange(len(self.task.block)), self.start, self.budget
        ended = torch.zeros(len(rows), dtype=torch.bool)
        others = min(OTHERS, max(2, left // (2 * self.classes * self.groups) // 2 * 2))
        total, sweep = torch.zeros_like(best.logits), 0
        while left >= (cost := others * self.classes * self.groups) and len(rows):
            task, now = self.task.take(rows), CodeProduct(best.like, best.logits[rows], best.event, best.wrapped)
            weight = 1 / max(1, sweep - 1)  # after two sweeps the energies are averaged over sweeps
            total[rows] = total[rows] + weight * (
                self._sweep(task, now, others, total[rows], weight, sweep) - total[rows]
            )
            moved = CodeProduct(best.like, total[rows].log_softmax(-1), best.event, best.wrapped)
            gain, error = gained(*(self._look(task, c, 16, f"sweep {sweep}") for c in (now, moved)))
            better = gain > 0
            best = best.put(rows[better], moved.logits[better])
            over = ~((gain > error) & (gain > ENOUGH))
            ended[rows[over]] = True
            rows, left, sweep = rows[~over], left - cost, sweep + 1
        keep, measured = (
            (self._look(self.task, self.start, samples, stream), self._look(self.task, best, samples, stream))
            for stream in ("keep", "gain")
        )
        return found(keep, measured, ended)

    def _sweep(self, task: Task, now: CodeProduct, others: int, total: Tensor, weight: float, sweep: int) -> Tensor:
        """E log p(x, z) for every value of every group, each group with those before it already at their new logits."""
        logits, b, k = now.logits.clone(), len(task.block), self.classes
        value = torch.empty_like(logits)
        for g in range(self.groups):
            task.tell(f"sweep {sweep + 1}, code {g + 1} of {self.groups}")
            here = CodeProduct(now.like, logits, now.event, now.wrapped)
            e = noise(task.block.index, others // 2, (self.groups,), task.seed, f"sweep {sweep} {g}")
            which = here.draw(torch.cat([e, -e]))[None].repeat(k, 1, 1, 1)  # (K, S, B, G)
            which[..., g] = torch.arange(k, device=which.device)[:, None, None]
            energy = task.energy(here.z(which.reshape(-1, b, self.groups))).reshape(k, others, b)
            value[:, g] = -energy.mean(1).clamp(max=1e9).movedim(0, 1)
            logits[:, g] = (total[:, g] + weight * (value[:, g] - total[:, g])).log_softmax(-1)
        return value

    def _look(self, task: Task, q: CodeProduct, samples: int, stream: str) -> Look:
        """At antithetic samples."""
        e = task.noise((self.groups,), samples, stream)
        return task.look(q.q, q.z(q.draw(e)))


def _log_mass(q: Float[Tensor, "B G K"], every: Int[Tensor, "M G"]) -> Float[Tensor, "B M"]:
    """log q of every value."""
    return torch.stack([q[:, g, every[:, g]] for g in range(every.shape[1])]).sum(0)


def _times(mass: Tensor, value: Tensor) -> Float[Tensor, " B"]:
    """Expectation, where 0 times infinity is 0."""
    return torch.where(mass > 0, mass * value, 0).sum(-1)


def _elbo(q: Float[Tensor, "B G K"], joint: Float[Tensor, "B M"], every: Int[Tensor, "M G"]) -> Float[Tensor, " B"]:
    log_q = _log_mass(q, every)
    return _times(log_q.exp(), joint - log_q)


def _exact(
    q: Float[Tensor, "B G K"], distortion: Float[Tensor, "B M"], prior: Float[Tensor, "B M"], every: Int[Tensor, "M G"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Distortion and rate."""
    log_q = _log_mass(q, every)
    return _times(log_q.exp(), distortion), _times(log_q.exp(), log_q - prior)
