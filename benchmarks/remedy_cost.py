"""What each remedy costs: a training step beside a plain one, and training until the verdict says that z is used.

All remedies of the catalogue that fit the data, on the same baseline and so with the same decoder. First the cost of a
step: every remedy's model makes a few steps in each round, in turn with a plain model, so that what else the machine
does falls on both; "none" stands among them to show how much. Then all are trained, in turn again, with a diagnosis of
held-out data every few steps, whose time is not counted. Costs are in steps of "none": seconds over its seconds a step.
Seconds are CPU time, which other work on the machine changes little where there is one thread.

    OMP_NUM_THREADS=1 python benchmarks/remedy_cost.py [DATA] [--steps 200] [--every 50] [--remedies none,free_bits]
        [--decoder pixelcnn] [--train false --out FILE.csv]

DATA, and flags for parts such as --decoder, are those of ``buttress train``; --help lists all.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from buttress.cli import main as cli
from buttress.core import Batch, Splits, Step, remedy
from buttress.core.recipe import Recipe
from buttress.data.opened import opened
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.verdict import PARTLY, USED
from buttress.runtime.denormals import flushed
from buttress.runtime.randomness import seed_step
from buttress.training.batch_sampler import BatchSampler
from buttress.training.engine import INITIAL
from buttress.training.held_out import HeldOut

CHEAP = {"samples": 2, "nll_samples": 0, "gap_steps": 0}
"""Settings of a diagnosis that leave out what the verdict's state does not rest on."""


class Arm:
    """A recipe at work outside the engine, one timed step at a time.

    Args:
        recipe: What to train.
        splits: Its data.
        examples: Held-out examples that :meth:`look` looks at.
    """

    def __init__(self, recipe: Recipe, splits: Splits, examples: int) -> None:
        settings = recipe.training
        self.recipe, self.splits, self.seed = recipe, splits, settings.seed
        seed_step(self.seed, INITIAL)
        self.model = recipe.model(splits.spec)
        self.algorithm: Any = recipe.algorithm.build(self.model, recipe.objective, settings)
        self.sampler = BatchSampler(len(splits.train), settings.batch_size, self.seed, splits.train.lengths)
        self.held_out = HeldOut(splits.held_out, self.model.observe, self.seed, most=examples)

    def step(self, number: int) -> float:
        """Make step ``number``; the CPU seconds it took, data and all."""
        begin = time.process_time()
        seed_step(self.seed, number)
        self.algorithm.step(Step(number, self._observed(number), self._next_batch(number)))
        self.model.inference.after_step()
        return time.process_time() - begin

    def look(self, number: int) -> str:
        """The verdict's state after step ``number``; the algorithm hears what was seen, as in a run."""
        recipe, last = self.recipe, number + 1 == self.recipe.training.steps
        model = recipe.algorithm.evaluation_model(self.model, recipe.objective, number, self.seed)
        evidence = diagnose(model, self.held_out, kind=self.splits.spec.kind, seed=self.seed, **CHEAP)
        self.algorithm.after_validation({name: e.value for name, e in evidence.estimates.items()}, last)
        self.model.train()
        return evidence.verdict.state

    def phases(self) -> dict[str, int]:
        """Where each phase of the algorithm begins whose steps cost something else."""
        if (border := getattr(self.algorithm, "border", None)) is not None:
            return {", first stage": 0, ", second stage": border + 1}  # the border itself also counts codes, once
        return {", phase on": 0} if hasattr(self.algorithm, "active") else {"": 0}

    def _observed(self, number: int) -> Batch:
        batch = self.splits.train.read(self.sampler.indices(number))
        return batch.with_x(self.model.observe(batch.x))

    def _next_batch(self, number: int) -> Callable[[], Batch]:
        start = number // self.sampler.epoch_steps * self.sampler.epoch_steps
        return lambda: self._observed(start + int(torch.randint(self.sampler.epoch_steps, ())))


@dataclass
class Course:
    """How the training of an arm went: seconds, steps made, the verdicts in order, and why it ended early."""

    arm: Arm
    seconds: float = 0.0
    made: int = 0
    seen: list[tuple[int, float, str]] = field(default_factory=list)
    ended: str = ""

    def go(self, to: int, limit: float) -> None:
        """Train up to a step, or until ``limit`` seconds are spent, and look."""
        try:
            while self.made < to and self.seconds < limit:
                self.seconds += self.arm.step(self.made)
                self.made += 1
            self.seen.append((self.made, self.seconds, self.arm.look(self.made - 1)))
        except ValueError as error:  # a codebook or a number that broke is a result
            self.ended = f"; ended after step {self.made}: {str(error).partition(':')[0]}"
        if self.made < to and not self.ended:
            self.ended = f"; out of budget at step {self.made}"

    def row(self, plain: float) -> str:
        """When the verdict first turned, at what cost in plain steps, and what there was at the end."""
        turned = [(step, spent, state) for step, spent, state in self.seen if state in (USED, PARTLY)]
        step, spent, state = turned[0] if turned else ("never", self.seconds, "-")
        last = self.seen[-1][2] if self.seen else "-"
        return (
            f"{step:>8}{spent / plain:>8.0f}  {state:12}{self.made:>8}{self.seconds / plain:>8.0f}  {last}{self.ended}"
        )


def arms(recipe: Recipe, names: list[str], splits: Splits, examples: int) -> tuple[dict[str, Arm], dict[str, str]]:
    """An arm for each remedy that fits, and the reasons of those that do not."""
    fit, left_out = {}, {}
    for name in names:
        try:
            fit[name] = Arm(remedy.apply(name, recipe), splits, examples)
        except remedy.DoesNotFit as error:
            left_out[name] = str(error)
    return fit, left_out


@dataclass
class Cost:
    """Seconds of a step of a remedy in one phase, and of the plain steps made in turn with it, for each round."""

    seconds: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    def add(self, pairs: list[tuple[float, float]]) -> None:
        """Those of one round."""
        for kept, column in zip((self.seconds, self.plain), zip(*pairs, strict=True), strict=True):
            kept.append(sum(column) / len(column))

    def numbers(self) -> tuple[float, float, float, float]:
        """Median milliseconds of a step; median, least and largest ratio to a plain step."""
        ratios = [a / b for a, b in zip(self.seconds, self.plain, strict=True)]
        return 1000 * statistics.median(self.seconds), statistics.median(ratios), min(ratios), max(ratios)


def costs(recipe: Recipe, names: list[str], splits: Splits, rounds: int, steps: int) -> dict[str, Cost]:
    """Of each remedy and phase."""
    plain = Arm(recipe, splits, 1)
    units = [
        (name + phase, arm, start)
        for name, arm in arms(recipe, names, splits, 1)[0].items()
        for phase, start in arm.phases().items()
    ]
    for _, arm, start in [("", plain, 0), *units]:
        arm.step(start)  # warm up
    found = {label: Cost() for label, _, _ in units}
    for turn in track(range(rounds), "cost of a step", console=Console(stderr=True), transient=True):
        for label, arm, start in units:
            pairs = [(arm.step(n), plain.step(n)) for n in range(start + turn * steps, start + (turn + 1) * steps)]
            found[label].add(pairs)
    return found


def train_in_turn(fit: dict[str, Arm], steps: int, every: int, limit: float) -> dict[str, Course]:
    """Train all arms in turn; those that have cost ``limit`` plain steps leave."""
    courses = {name: Course(arm) for name, arm in fit.items()}
    plain = courses["none"]
    for start in track(range(0, steps, every), "training", console=Console(stderr=True), transient=True):
        for course in courses.values():
            if not course.ended:
                allowed = limit * plain.seconds / plain.made if plain.made else float("inf")
                course.go(min(start + every, steps), allowed)
    return courses


@flushed()
def main(
    recipe: Recipe,
    remedies: str = "all",
    steps: int = 200,
    every: int = 50,
    limit: float = 1000.0,
    rounds: int = 5,
    steps_of_a_round: int = 1,
    examples: int = 100,
    train: bool = True,
    out: Path | None = None,
    called: str = "",
) -> None:
    """Print what each remedy costs a step, and until the verdict turns.

    Args:
        recipe: The baseline, made from DATA and the flags.
        remedies: Remedies separated by commas; all takes each that fits. "none" is always among them.
        steps: Training steps of each; stands instead of training.steps.
        every: Steps between looks at held-out data.
        limit: A remedy that has cost so many plain steps is trained no further.
        rounds: Rounds in which the cost of a step is measured.
        steps_of_a_round: Steps of each remedy in one of them.
        examples: Held-out examples of a look, at most.
        train: Also train each until the verdict turns.
        out: A CSV file that gets a line for each remedy, below those that it has.
        called: What its column "data" says; empty for the name of the data. Tells baselines on the same data apart.
    """
    recipe = replace(recipe, training=replace(recipe.training, steps=steps, validate_every=min(every, steps)))
    asked = list(remedy.catalogue()) if remedies == "all" else [name.strip() for name in remedies.split(",")]
    names = ["none", *(name for name in asked if name != "none")]
    splits = opened(recipe.data)
    fit, left_out = arms(recipe, names, splits, examples)
    print(
        f"{recipe.data.name()}, {recipe.decoder.name()} decoder, batch {recipe.training.batch_size}, "
        f"{torch.get_num_threads()} threads"
    )
    found = costs(recipe, list(fit), splits, rounds, steps_of_a_round)
    print(f"\ncost of a step, plain = 1, {rounds} rounds of {steps_of_a_round} steps")
    print(f"{'':32}      ms  median     min     max")
    for label, cost in found.items():
        print(f"{label:32}" + "".join(f"{number:8.2f}" for number in cost.numbers()), flush=True)
    if out is not None:
        write(out, recipe, found, called or recipe.data.name())
    if train:
        train_all(fit, steps, every, limit)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")


def write(out: Path, recipe: Recipe, found: dict[str, Cost], data: str) -> None:
    """Add a line for each remedy and phase."""
    new = not out.exists()
    with out.open("a", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if new:
            lines.writerow(["data", "decoder", "batch_size", "remedy", "cpu_ms_per_step", "ratio", "least", "largest"])
        for label, cost in found.items():
            place = [data, recipe.decoder.name(), recipe.training.batch_size]
            lines.writerow([*place, label, *(f"{number:.3g}" for number in cost.numbers())])


def train_all(fit: dict[str, Arm], steps: int, every: int, limit: float) -> None:
    """Train until verdicts turn, and print when."""
    courses = train_in_turn(fit, steps, every, limit)
    plain = courses["none"].seconds / courses["none"].made
    print(
        f"\ntraining up to {steps} steps, or a cost of {limit:.0f} plain steps of {1000 * plain:.1f} ms; a look every "
        f"{every}\n{'':32} turned    cost  to             steps    cost  verdict at the end"
    )
    for name, course in courses.items():
        print(f"{name:32}{course.row(plain)}")


if __name__ == "__main__":
    words = sys.argv[1:]
    cli.script(main, words if words and not words[0].startswith("-") else ["mnist5k", *words])
