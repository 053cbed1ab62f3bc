"""Peak memory of opening, checking and reading 2 GB of images, beside 20 MB of them, each in a process of its own.

python benchmarks/data_memory.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIDE = 64
BATCHES = 2000


def make(path: Path, megabytes: int) -> None:
    """A .npy file of random images, written in pieces."""
    count = megabytes * 2**20 // SIDE**2
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE))
    noise = np.random.default_rng(0)
    for start in range(0, count, 4096):
        array[start : start + 4096] = noise.integers(0, 256, array[start : start + 4096].shape, dtype=np.uint8)
    array.flush()


def read(path: str) -> None:
    """What a run does with its data: open, check, split, and draw random batches. Prints the peak in MB."""
    import torch

    from buttress.data.order import Order
    from buttress.data.source import detect

    splits = detect(path).open()
    order = Order(len(splits.train), 64, seed=0)
    for step in range(BATCHES):
        splits.train.batch(order.indices(step)).float().mean()
    assert torch.is_tensor(splits.spec.mean)
    # VmHWM rather than getrusage, whose peak a child inherits from the process that started it
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024)


def main() -> None:
    """Print both peaks and their ratio."""
    peaks = {}
    for megabytes in (20, 2048):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "images.npy"
            make(path, megabytes)
            done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
            peaks[megabytes] = float(done.stdout)
            print(f"{megabytes:5d} MB of images: peak memory {peaks[megabytes]:.0f} MB")
    print(f"ratio {peaks[2048] / peaks[20]:.2f}")


if __name__ == "__main__":
    read(sys.argv[1]) if len(sys.argv) > 1 else main()
