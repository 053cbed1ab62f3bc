"""What a monitor costs: the same training with and without it, a few steps of each in turn, CPU seconds of one thread.

The monitor is told the length of the run, so that its forecast is counted too, and its clock is the CPU time of its own
training.

    OMP_NUM_THREADS=1 python benchmarks/monitor_cost.py [DATA] [--seconds 40]

DATA, and flags for parts such as --decoder, are those of ``buttress train``.
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import replace

import torch
from remedy_cost import Arm

from buttress.cli import main as cli
from buttress.core.recipe import Recipe
from buttress.data.opened import opened
from buttress.diagnostics.monitor.monitor import Monitor
from buttress.runtime.denormals import flushed
from buttress.training.held_out import HeldOut

TURN = 10
"""Steps of each training before it is the other's turn."""


class Watched:
    """A training whose monitor, if it has one, is called after every step.

    Args:
        arm: The training.
        monitor: None for none.
    """

    def __init__(self, arm: Arm, monitor: Monitor | None) -> None:
        self.arm, self.monitor, self.seconds = arm, monitor, 0.0
        self.begin = time.process_time()
        if monitor is not None:
            monitor.clock = self.clock

    def clock(self) -> float:
        """CPU seconds of this training so far; the other's don't count."""
        return self.seconds + time.process_time() - self.begin

    def go(self, start: int, end: int) -> None:
        """Make the steps from ``start`` to before ``end``."""
        self.begin = time.process_time()
        for number in range(start, end):
            self.arm.step(number)
            if self.monitor is not None:
                self.monitor(number)
                self.arm.model.train()
        self.seconds, self.begin = self.clock(), time.process_time()


@flushed()
def main(recipe: Recipe, seconds: float = 40.0, examples: int = 256) -> None:
    """Print the seconds of both trainings, and of the looks.

    Args:
        recipe: The baseline, made from DATA and the flags.
        seconds: CPU seconds that the training without a monitor is to take, about; sets the number of steps.
        examples: Held-out examples that the monitor looks at.
    """
    torch.set_num_threads(1)
    splits = opened(recipe.data)
    recipe = replace(recipe, training=replace(recipe.training, steps=1000))
    pace = Arm(recipe, splits, 1)
    pace.step(0)
    steps = int(seconds / (sum(pace.step(number) for number in range(1, 21)) / 20))
    recipe = replace(recipe, training=replace(recipe.training, steps=steps))
    plain, watched = (Arm(recipe, splits, 1) for _ in range(2))
    probe = HeldOut(splits.held_out, watched.model.observe, watched.seed, most=examples)
    monitor = Monitor(watched.model, probe, steps=steps, kind=splits.spec.kind, seed=watched.seed)
    both = [Watched(plain, None), Watched(watched, monitor)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for start in range(0, steps, TURN):
            for one in both:
                one.go(start, min(start + TURN, steps))
    without, having = (one.seconds for one in both)
    looks = ", ".join(f"{seen.step}{' (warning)' if seen.warning else ''}" for seen in monitor.looks)
    print(
        f"{recipe.data.name()}, {recipe.decoder.name()} decoder, batch {recipe.training.batch_size}, {steps} steps: "
        f"{without:.1f} s without and {having:.1f} s with a monitor ({100 * (having / without - 1):.1f} % more); "
        f"inside the monitor {monitor.spent:.2f} s, {100 * monitor.spent / having:.1f} %; looks at steps {looks}; "
        f"probability of a collapse {monitor.probability}"
    )
    for one in told:
        print(f"warned: {one.message}")


if __name__ == "__main__":
    words = sys.argv[1:]
    cli.script(main, words if words and not words[0].startswith("-") else ["mnist5k", *words])
