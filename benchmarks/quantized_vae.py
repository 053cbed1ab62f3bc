"""What rounding costs a VAE of digits and one of sentences: trained with rounded numbers, or rounded after training.

Each row has the parameters on a disk, -ELBO on held-out data in nats per example beside that of the same seed in full
precision, and CPU time of the training beside that in full precision (one thread, in turn). Sentences are made by a
grammar (``made_reviews``).

    OMP_NUM_THREADS=1 python benchmarks/quantized_vae.py [STEPS [SEEDS]]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

import buttress as bt
from buttress.training.post_training import Cost, cost_of, quantize_run

BITS = (8, 4)
DATA = {"digits": "mnist5k", "sentences": "made_reviews"}


def trained(name: str, bits: int, steps: int, seed: int, folder: Path) -> tuple[bt.Run, float]:
    """A run with rounded numbers from a fifth of its steps on, or none of 0 bits, and the CPU seconds that it took."""
    begin = time.process_time()
    rounding = {"quantize": bits, "quantize_after": steps // 5} if bits else {}
    run = bt.train(DATA[name], folder, steps=steps, seed=seed, validate_every=steps, progress=False, **rounding)
    return run, time.process_time() - begin


def costs(name: str, steps: int, seed: int) -> dict[str, tuple[Cost, float]]:
    """Cost and seconds of each way to round."""
    found = {}
    with tempfile.TemporaryDirectory() as made:
        whole, seconds = trained(name, 0, steps, seed, Path(made, "whole"))
        found["full precision"] = cost_of(whole), seconds
        for bits in BITS:
            run, seconds = trained(name, bits, steps, seed, Path(made, f"trained{bits}"))
            found[f"{bits} bits, in training"] = cost_of(run), seconds
            found[f"{bits} bits, afterwards"] = cost_of(quantize_run(whole, Path(made, f"after{bits}"), bits)), 0.0
    return found


def main(steps: int = 600, seeds: int = 3) -> None:
    """Print the table, a row for each way to round."""
    torch.set_num_threads(1)
    print("| data | numbers | parameters, kB | -ELBO | more than in full precision | time of training |")
    print("|:--|:--|--:|--:|--:|--:|")
    for name in DATA:
        each = [costs(name, steps, seed) for seed in range(seeds)]
        for way in each[0]:
            cost = [one[way][0] for one in each]
            more = [one["full precision"][0].elbo.value - c.elbo.value for one, c in zip(each, cost, strict=True)]
            times = [one[way][1] / one["full precision"][1] for one in each]
            took = f"{statistics.median(times):.2f} ×" if times[0] else "none"
            lost = -statistics.mean(c.elbo.value for c in cost)
            print(
                f"| {name} | {way} | {cost[0].bytes / 1000:,.0f} | {lost:.2f} | "
                f"{statistics.mean(more):.2f} ({min(more):.2f} to {max(more):.2f}) | {took} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
