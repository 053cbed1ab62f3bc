r"""The best q of a Gaussian family for each example.

1. It starts from the encoder's q, or from the prior's mean or one of a few samples of the prior where these are better.
2. Adam, with fresh antithetic noise at every step and a step size that falls to zero, averaged over the last half.
3. The mean moves by L-BFGS on a few pairs of noise, whose mean slope is exact for a quadratic decoder; then L is fitted
   to the curvature there. Both again while that gains. This reaches what is hundreds of standard deviations away.
4. Shorter rounds of Adam.

Every move of an example is kept only where it lowers the negative ELBO on other samples, before and after on the same
noise. The search of an example ends when neither 2 nor 3 gained anything, or when PATIENCE rounds of Adam together gain
less than ENOUGH nats, or than the standard error of that gain. It has not ended if that error is too large to tell.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.evaluation import draw
from buttress.diagnostics.search.curvature import curvature, unit_of
from buttress.diagnostics.search.descent import descend
from buttress.diagnostics.search.family import Family
from buttress.diagnostics.search.task import ENOUGH, Found, Look, Task, found, gained
from buttress.distributions.inspect import mean_of, normal
from buttress.runtime.randomness import noise

__all__ = ["GaussianSearch"]

FLAT = 1e-3
"""Adam's epsilon, in nats: slopes below it are noise, not news, and must not be blown up to full steps."""
ROUND = 20
"""Steps of Adam between two looks at what they gained."""
PRIOR_DRAWS = 16
"""Samples of the prior of which the best may be the start."""
LOOK = 16
"""Samples by which a move is judged."""
VAGUE = 1.0
"""In nats: where the error of a look is larger, and above a twentieth of what was gained, nothing follows from it."""
PAIRS = 4
"""Of noise, for the mean: with one it would find hollows that are in that noise alone."""
PATIENCE = 2
"""Rounds of Adam without a gain above its standard error, after which an example has arrived."""
SHARE = 0.3
"""Of the steps, for Adam from the start, and as many again for moving the mean and fitting the scale."""
AGAIN = 0.05
"""In nats: where mean and scale gained more, they are moved once more."""


class GaussianSearch:
    """The search of some examples.

    Args:
        task: The examples.
        start: The encoder's q.
        steps: At most so many gradients at one pair of samples, for the slowest example.
        learning_rate: First step size of Adam, in standard deviations of q.
    """

    def __init__(self, task: Task, start: Family, steps: int, learning_rate: float) -> None:
        self.task, self.start, self.best = task, start, start
        self.steps = self.left = steps
        self.learning_rate = learning_rate
        self.ended = torch.zeros(len(start.loc), dtype=torch.bool, device=start.loc.device)

    def run(self, samples: int) -> Found:
        """Search, and measure by ``samples`` fresh samples."""
        self._choose_start()
        gained = self._first() + self._jump()
        self._polish(gained)
        keep, gain = (
            (self._look(self.task, self.start, samples, stream), self._look(self.task, self.best, samples, stream))
            for stream in ("keep", "gain")
        )
        return found(keep, gain, self.ended)

    def _look(self, task: Task, place: Family, samples: int, stream: str, level: bool = False) -> Look:
        return task.look(place.q, place.at(task.noise(place.noise, samples, stream, level)))

    def _better(
        self, task: Task, now: Family, others: list[Family], stream: str, proven: bool = False
    ) -> tuple[Family, Float[Tensor, " B"]]:
        """For each example the best of some q, and what is surely gained by it, else zero; NaN where noise hides it.

        Args:
            task: The examples.
            now: What they have.
            others: What they might have.
            stream: Of the noise.
            proven: Stay where the gain is not sure.
        """
        before = self._look(task, now, LOOK, stream, True)
        looks = [gained(before, self._look(task, q, LOOK, stream, True)) for q in others]
        most, which = torch.stack([gain for gain, _ in looks]).max(0)
        error = torch.stack([error for _, error in looks]).take_along_dim(which[None], 0)[0]
        sure = most > error
        for i, other in enumerate(others):
            rows = ((which == i) & (most > 0) & (sure | (not proven))).nonzero()[:, 0]
            now = now.put(rows, other.take(rows))
        return now, torch.where(sure & (most > 0), most, torch.where(error > VAGUE, torch.nan, 0))

    def _choose_start(self) -> None:
        """From elsewhere where that is better by far: q is not always near where it should be."""
        task, q = self.task, self.start
        prior, middle = task.block.prior, mean_of(task.block.prior)
        z = draw(prior, task.block.index, PRIOR_DRAWS, task.seed, "start").to(q.loc)
        best = task.distortion(z).argmin(0)
        places = [q.moved(z[best, torch.arange(len(best), device=z.device)])]
        if middle is not None:
            places.append(q.moved(middle.to(q.loc).expand_as(q.loc)))
        if (wide := normal(prior)) is not None:
            places += [place.scaled(wide.scale / place.std) for place in places]
        self.best, _ = self._better(task, q, places, "where to start", proven=True)

    def _first(self) -> Float[Tensor, " B"]:
        """Adam from the start: in fresh noise a wide q does not see the hollows of a few samples."""
        steps = max(1, int(SHARE * self.steps))
        moved = self._adam(self.task, self.best, steps, "first")
        self.best, gain = self._better(self.task, self.best, [moved], "after the first", proven=True)
        self.left -= steps
        return gain

    def _jump(self) -> Float[Tensor, " B"]:
        """Mean and scale in turn."""
        rows, budget = torch.arange(len(self.ended), device=self.ended.device), int(SHARE * self.steps)
        self.left, won = self.left - budget, torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        for sweep in range(4):
            task, now = self.task.take(rows), self.best.take(rows)
            most = min(budget, max(1, budget // 2))
            if most < 1:
                break
            moved, used = self._move(task, now, most, f"move {sweep}")
            others, budget = [moved], budget - used
            if budget >= min(now.loc[0].numel(), now.probes):
                h, used = curvature(task, moved, f"curvature {sweep}")
                fitted = moved.fitted(h)
                others += [fitted, moved.scaled((fitted.std / moved.std).sqrt())]
                budget -= used
            now, gain = self._better(task, now, others, f"jump {sweep}")
            self.best = self.best.put(rows, now)
            won[rows] += gain
            rows = rows[~(gain <= AGAIN)]
            if not len(rows):
                break
        self.left += budget
        return won

    def _move(self, task: Task, place: Family, most: int, stream: str) -> tuple[Family, int]:
        """The mean by L-BFGS."""
        unit, event = unit_of(task, place).expand_as(place.loc), place.loc.shape[1:]
        e = task.noise(place.noise, 2 * PAIRS, stream, True)

        def at(rows: Tensor, u: Tensor) -> Family:
            here = place.take(rows)
            return here.moved(here.loc + (unit[rows] * u.reshape(-1, *event)).to(here.loc))

        def slope(rows: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
            task.tell("moving the means")
            u, own = u.detach().requires_grad_(), e[:, rows.cpu()]
            with torch.enable_grad():
                here = at(rows, u)
                distortion, rate = task.take(rows).halves(here.q, here.at(own))
                value = (distortion + rate).mean(0)
                (g,) = torch.autograd.grad(value.sum(), u)
            return value.detach(), g

        start = torch.zeros(len(place.loc), event.numel(), dtype=torch.float64, device=place.loc.device)
        u, used = descend(slope, start, most)
        return at(torch.arange(len(u), device=u.device), u), used

    def _polish(self, gained_before: Float[Tensor, " B"]) -> None:
        """Rounds of Adam, each for those that may still gain; for nobody who has gained nothing until here."""
        reach = 0.05 * gained_before.nan_to_num(0)
        self.ended = (gained_before <= ENOUGH) & (self.steps >= ROUND / SHARE)
        rows, done = (~self.ended).nonzero()[:, 0], 0
        idle, here = (
            torch.zeros(len(self.ended), dtype=torch.long, device=rows.device),
            self.best,
        )  # rounds without a sure gain, and where the last one led
        while self.left > 0 and len(rows):
            task, steps = self.task.take(rows), min(ROUND, self.left)
            moved = self._adam(task, here.take(rows), steps, f"refine {done}")
            looks = (
                self._look(task, place, 2 * LOOK, f"round {done}", True) for place in (self.best.take(rows), moved)
            )
            gain, error = gained(*looks)
            reach[rows] += torch.where(gain > error, 0.05 * gain, 0)
            sure, lost = (gain > error) & (gain > ENOUGH), gain < -error
            idle[rows] = torch.where(sure, 0, idle[rows] + 1)
            over = (idle[rows] >= PATIENCE) & (steps == ROUND) & (error <= reach[rows].clamp(min=VAGUE))
            better = sure | (over | (steps < ROUND)) & (gain > 0)
            here = here.put(rows[~lost], moved.take((~lost).nonzero()[:, 0]))
            here = here.put(rows[lost], self.best.take(rows[lost]))
            self.best = self.best.put(rows[better], moved.take(better.nonzero()[:, 0]))
            self.ended[rows[over]] = True
            rows, self.left, done = rows[~over], self.left - steps, done + 1

    def _adam(self, task: Task, place: Family, steps: int, stream: str) -> Family:
        moving, unit = place.still, unit_of(task, place)
        first, second = ([torch.zeros_like(shift) for shift in moving] for _ in range(2))
        average = [torch.zeros_like(shift) for shift in moving]
        for step in range(steps):
            task.tell(f"Adam, step {step + 1} of {steps}")
            slopes, rate = self._slopes(task, place, moving, unit, f"{stream} {step}"), 1 - step / steps
            for i, g in enumerate(slopes):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g.square()
                root = (second[i] / (1 - 0.999 ** (step + 1))).sqrt() + FLAT
                moving[i] = moving[i] - self.learning_rate * rate * first[i] / (1 - 0.9 ** (step + 1)) / root
                average[i] += moving[i] * (step >= steps // 2) / (steps - steps // 2)
        return place.shifted(average, unit)

    def _slopes(self, task: Task, place: Family, moving: list[Tensor], unit: Tensor, stream: str) -> list[Tensor]:
        """Gradient of the negative ELBO at an antithetic pair: of the mean it has no noise for a quadratic decoder."""
        moving = [shift.detach().requires_grad_() for shift in moving]
        e = noise(task.block.index, 1, place.noise, task.seed, stream)
        with torch.enable_grad():
            here = place.shifted(moving, unit)
            # without a closed form the rate falls along z alone: the slope of log q itself is zero on average
            density = place.shifted([shift.detach() for shift in moving], unit).q
            distortion, rate = task.halves(here.q, here.at(torch.cat([e, -e])), density)
            found = torch.autograd.grad((distortion + rate).mean(0).sum(), moving, allow_unused=True)
        return [torch.zeros_like(m) if g is None else g.nan_to_num(0, 0, 0) for g, m in zip(found, moving, strict=True)]
