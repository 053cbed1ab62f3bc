"""What aggressive training costs beside plain training, to the same number of decoder steps, in one process.

The same LSTM VAE on the synthetic sentences, once plainly and once aggressively. The cost of the aggressive run falls
into two parts: until its stopping rule fires every decoder step has many encoder steps before it, afterwards none.
Counts of gradients are printed beside seconds: they do not depend on what else the machine does.

    python benchmarks/aggressive_cost.py [DECODER_STEPS] [MAX_INNER]
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from buttress import remedy
from buttress.data.lstm_text import LstmText
from buttress.papers.lagging_inference import LaggingInference
from buttress.recipe import Recipe
from buttress.training.run import train

STEPS, MAX_INNER, BATCH, WANTED = 5000, 30, 32, 2.5


@dataclass
class Cost(Callback):
    """Seconds and gradients of every decoder step, and whether the aggressive phase was on; looks are not counted."""

    seconds: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    active: list[bool] = field(default_factory=list)

    def on_train_batch_start(self, trainer: Any, engine: Any, *_: Any) -> None:
        """Lightning's hook: before every step, where the step before has also been logged."""
        self.active.append(getattr(engine.algorithm, "active", False))
        step = engine.algorithm.step

        def timed(*given: Any) -> Any:
            engine.algorithm.step = step
            begin = time.perf_counter()
            logs = step(*given)
            self.seconds.append(time.perf_counter() - begin)
            self.gradients.append(1 + logs.get("inner_steps", 0.0))
            return logs

        engine.algorithm.step = timed


def run(recipe: Recipe, folder: Path) -> Cost:
    """The cost of training a recipe."""
    cost = Cost()
    train(recipe, folder, progress=False, callbacks=[cost])
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


def main(steps: int = STEPS, max_inner: int = MAX_INNER, data: LstmText | None = None) -> None:
    """Train both and print the table."""
    data = data or LstmText()
    epoch = min(steps, max(1, data.train // BATCH))
    plain = LaggingInference(data, steps=steps, batch_size=BATCH, epoch=epoch).recipe("none", 0)
    plain = replace(plain, training=replace(plain.training, checkpoint_every=steps))
    with tempfile.TemporaryDirectory() as folder:
        base = run(plain, Path(folder) / "plain")
        cost = run(remedy.apply(f"aggressive:max_inner={max_inner}", plain), Path(folder) / "aggressive")
    fired = cost.active.count(True)
    print(f"{steps} decoder steps of batch {BATCH}, epochs of {epoch}, {torch.get_num_threads()} threads")
    print(f"the stopping rule {f'fired after {fired} steps' if fired < steps else 'did not fire'}")
    for name, one, other in (
        ("seconds", base.seconds, cost.seconds),
        ("gradients", base.gradients, cost.gradients),
    ):
        total, after, enough = ratios(one, other, cost.active)
        print(
            f"{name:9} plain {sum(one):.1f}, aggressive {sum(other):.1f}: {total:.2f} x in all (wanted <= {WANTED}), "
            f"{'-' if after is None else f'{after:.2f} x'} after the rule fired; "
            f"{WANTED} x {'at' if fired < steps else 'not before'} {enough:.0f} decoder steps"
        )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
