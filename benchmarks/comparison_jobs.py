"""Trainings of a comparison two at a time and one after the other, on the same threads: clock and CPU seconds.

python benchmarks/comparison_jobs.py [--runs 4] [--steps 60] [--jobs 2] [--rounds 2]

Through the pool that ``compare`` uses. Each worker says how many threads torch has in it: threads times jobs must not
exceed those that this process may use, or the program ends with an error. Importing torch and reading the data are
part of a run's clock but not of its CPU seconds. Where other programs share the cores the clock says little.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

CODED = 1000
"""A worker returns its CPU seconds, and its threads times this."""


def train_one(folder: str, seed: int, steps: int, news: Any) -> float:
    """Train the convolutional baseline on digits; CPU seconds and threads in one number."""
    import torch

    from buttress.baseline import baseline
    from buttress.data.mnist5k import Mnist5k
    from buttress.training.run import train

    data = Mnist5k(held_out=0.2)
    recipe = baseline(data, data.open().spec)
    training = replace(recipe.training, steps=steps, validate_every=steps, checkpoint_every=steps, seed=seed)
    begin = time.process_time()
    train(replace(recipe, training=training), Path(folder), progress=False)
    return CODED * torch.get_num_threads() + time.process_time() - begin


def batch(runs: int, steps: int, jobs: int) -> tuple[float, float, int]:
    """Clock of all runs, their CPU seconds, and the threads of each worker."""
    from buttress.experiments.pool import run_all

    with tempfile.TemporaryDirectory() as folder:
        tasks = {f"run {i}": (f"{folder}/{i}", i, steps) for i in range(runs)}
        begin = time.perf_counter()
        coded, failed = run_all(train_one, tasks, jobs, lambda *_: None, lambda *_: None)
        clock = time.perf_counter() - begin
    if failed:
        raise SystemExit(f"runs failed: {failed}")
    threads = {int(value // CODED) for value in coded.values()}
    assert len(threads) == 1, f"workers have {threads} threads, wanted one number for all"
    return clock, sum(value % CODED for value in coded.values()), threads.pop()


def main() -> None:
    """Print the table."""
    from buttress.runtime.threads import allowed_threads

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("runs", 4), ("steps", 60), ("jobs", 2), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    allowed, seen = allowed_threads(), []
    for _ in range(given.rounds):
        row = []
        for jobs in (1, given.jobs):
            clock, cpu, threads = batch(given.runs, given.steps, jobs)
            if threads * jobs > max(allowed, jobs):
                raise SystemExit(f"{jobs} workers have {threads} threads each, wanted at most {allowed} together")
            print(f"{jobs} at a time, {threads} threads each: {clock:.1f} s, {cpu:.1f} CPU s", flush=True)
            row.append((clock, cpu))
        seen.append([one / together for one, together in zip(*row, strict=True)])
    print(
        f"{given.runs} trainings of {given.steps} steps, {allowed} threads allowed; one after the other / {given.jobs}:"
    )
    for name, ratios in zip(("clock", "CPU"), zip(*seen, strict=True), strict=True):
        print(f"  {name:5} {statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
