"""Peak memory and CPU seconds of opening and reading 2 GB of images, beside 20 MB of them, each in its own process.

Each then makes 20 training steps of a small model (MLPs of 32 units), so that what training holds is in the peak.

python benchmarks/data_memory.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from buttress.core import Data, DataSpec, Splits
    from buttress.core.recipe import Recipe
    from buttress.training.batch_sampler import BatchSampler

SIDE = 64
SIZES = (20, 2048)
BATCHES, STEPS = 2000, 20


def make(path: Path, megabytes: int) -> None:
    """A .npy file of random images, written in pieces."""
    count = megabytes * 2**20 // SIDE**2
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE))
    noise = np.random.default_rng(0)
    for start in range(0, count, 4096):
        array[start : start + 4096] = noise.integers(0, 256, array[start : start + 4096].shape, dtype=np.uint8)
    array.flush()


def read(path: str) -> None:
    """What a run does with its data: open, check, split, draw random batches, and train.

    Prints the peak in MB and the CPU seconds of opening, of a batch and of a step.
    """
    import torch

    from buttress.data.source import detect
    from buttress.training.batch_sampler import BatchSampler

    times = [time.process_time()]
    data = detect(path)
    splits = data.open()
    times.append(time.process_time())
    order = BatchSampler(len(splits.train), 64, seed=0)
    for step in range(BATCHES):
        splits.train.batch(order.indices(step)).float().mean()
    assert torch.is_tensor(splits.spec.mean)
    times.append(time.process_time())
    train(small(data, splits.spec), splits, order)
    # VmHWM rather than getrusage, whose peak a child inherits from the process that started it
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    times.append(time.process_time())
    opening, reading, training = (b - a for a, b in pairwise(times))
    print(int(peak.split()[1]) / 1024, opening, reading / BATCHES, training / STEPS)


def small(data: Data, spec: DataSpec) -> Recipe:
    """The baseline for the data with a small encoder and decoder."""
    from buttress.baseline import baseline
    from buttress.decoders.mlp import MlpDecoder
    from buttress.encoders.mlp import MlpEncoder

    return replace(baseline(data, spec), encoder=MlpEncoder(hidden=(32,)), decoder=MlpDecoder(hidden=(32,)))


def train(recipe: Recipe, splits: Splits, order: BatchSampler) -> None:
    """A few steps as a run makes them."""
    import torch

    model = recipe.model(splits.spec)
    optimizer = torch.optim.Adam(model.parameters(), recipe.training.learning_rate)
    for step in range(STEPS):
        loss = recipe.objective(model(model.observe(splits.train.batch(order.indices(step)))), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    """Print both peaks and their ratio."""
    peaks = {}
    for megabytes in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "images.npy"
            make(path, megabytes)
            done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
            peaks[megabytes], opening, batch, step = map(float, done.stdout.split())
            print(
                f"{megabytes:5d} MB of images: peak memory {peaks[megabytes]:.0f} MB; CPU: opening {opening:.1f} s, "
                f"a batch {1e3 * batch:.2f} ms, a step {1e3 * step:.1f} ms",
                flush=True,
            )
    print(f"ratio {peaks[SIZES[1]] / peaks[SIZES[0]]:.2f}")


if __name__ == "__main__":
    read(sys.argv[1]) if len(sys.argv) > 1 else main()
