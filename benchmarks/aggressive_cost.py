"""What aggressive training costs beside plain training, to the same number of decoder steps, in one process.

The same LSTM VAE on the synthetic sentences, once plainly and once aggressively. The cost of the aggressive run falls
into two parts: until its stopping rule fires every decoder step has many encoder steps before it, afterwards none.
Counts of gradients are printed beside seconds: they do not depend on what else the machine does. The rule asks whether
mutual information has risen since the look before, so the fewer steps between two looks, the sooner it can fire; the
mutual information at that step and at the end is printed, for it can fire too soon.

    python benchmarks/aggressive_cost.py [DECODER_STEPS] [MAX_INNER] [STEPS_BETWEEN_LOOKS]
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from buttress.core import remedy
from buttress.core.recipe import Recipe
from buttress.data.lstm_text import LstmText
from buttress.experiments.papers.lagging_inference import LaggingInference
from buttress.training.callbacks import Callback
from buttress.training.run import train

STEPS, MAX_INNER, LOOK_EVERY, BATCH, WANTED = 5000, 30, 25, 32, 2.5
INFORMATION = "held_out/mutual_information"


@dataclass
class Cost(Callback):
    """Seconds and gradients of every decoder step, and whether the aggressive phase was on; looks are not counted.

    ``information`` is the mutual information at the last look before each step, and after all of them.
    """

    seconds: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    active: list[bool] = field(default_factory=list)
    information: list[float] = field(default_factory=list)
    engine: Any = None

    def begin(self, engine: Any) -> None:
        """Time every step of the algorithm from now on."""
        step = engine.algorithm.step

        def timed(given: Any) -> Any:
            self.active.append(getattr(engine.algorithm, "active", False))
            self.information.append(engine.latest.get(INFORMATION, math.nan))
            begin = time.perf_counter()
            logs = step(given)
            self.seconds.append(time.perf_counter() - begin)
            self.gradients.append(1 + logs.get("inner_steps", 0.0))
            return logs

        engine.algorithm.step, self.engine = timed, engine

    def end(self) -> None:
        """Note the last look."""
        self.information.append(self.engine.latest[INFORMATION])


def run(recipe: Recipe, folder: Path) -> Cost:
    """The cost of training a recipe."""
    cost = Cost()
    train(recipe, folder, progress=False, callbacks=[cost])
    cost.end()
    return cost


def ratios(plain: list[float], aggressive: list[float], active: list[bool]) -> tuple[float, float | None, float]:
    """Total cost over plain cost; the same after the rule fired, if it did; and the steps at which the total is 2.5.

    >>> ratios([1.0] * 4, [4.0, 4.0, 1.0, 1.0], [True, True, False, False])
    (2.5, 1.0, 4.0)
    """
    fired = active.count(True)
    after = None if fired == len(active) else sum(aggressive[fired:]) / sum(plain[fired:])
    extra = sum(aggressive[:fired]) - sum(plain[:fired])
    return sum(aggressive) / sum(plain), after, extra / ((WANTED - 1) * sum(plain) / len(plain))


def report(base: Cost, cost: Cost) -> None:
    """Print the table."""
    steps, fired = len(cost.active), cost.active.count(True)
    print(f"the stopping rule {f'fired after {fired} steps' if fired < steps else 'did not fire'}")
    when = f"{cost.information[fired]:.2f} when it fired and " if fired < steps else ""
    print(
        f"mutual information, held out: plain {base.information[-1]:.2f} nats at the end, aggressive {when}"
        f"{cost.information[-1]:.2f} at the end"
    )
    print(
        f"{'':10}{'plain':>9}{'aggressive':>12}{'in all':>10}{'before':>10}{'after':>10}{'  steps to ' + str(WANTED)} x"
    )
    for name, one, other in (
        ("seconds", base.seconds, cost.seconds),
        ("gradients", base.gradients, cost.gradients),
    ):
        total, after, enough = ratios(one, other, cost.active)
        before = sum(other[:fired]) / sum(one[:fired])
        told = "-" if after is None else f"{after:.2f} x"
        least = f"{'' if fired < steps else 'over '}{enough:.0f}"
        print(
            f"{name:10}{sum(one):9.1f}{sum(other):12.1f}{total:8.2f} x{before:8.2f} x{told:>10}{least:>12}"
            f"   wanted <= {WANTED} x in all: {'met' if total <= WANTED else 'missed'}"
        )


def main(
    steps: int = STEPS, max_inner: int = MAX_INNER, look_every: int = LOOK_EVERY, data: LstmText | None = None
) -> None:
    """Train both and print the table."""
    plain = LaggingInference(data or LstmText(), steps=steps, batch_size=BATCH, epoch=look_every).recipe("none", 0)
    plain = replace(plain, training=replace(plain.training, checkpoint_every=steps))
    unseen = replace(plain, training=replace(plain.training, validate_every=steps))
    print(
        f"{steps} decoder steps of batch {BATCH}, at most {max_inner} encoder steps before each, a look every "
        f"{look_every}, {torch.get_num_threads()} threads",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        base = run(unseen, Path(folder) / "plain")
        cost = run(remedy.apply(f"aggressive:max_inner={max_inner}", plain), Path(folder) / "aggressive")
    report(base, cost)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
