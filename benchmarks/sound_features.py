"""Seconds of sound read in a second, on one thread: decoded and resampled once, then frames and mu-law levels.

python benchmarks/sound_features.py [MINUTES]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RATE, FILES = 44100, 12


def make(folder: Path, minutes: float) -> None:
    """Files of noise that is modulated as speech is, 44,100 samples a second."""
    import numpy as np
    import soundfile

    noise = np.random.default_rng(0)
    for i in range(FILES):
        size = round(60 * minutes * RATE / FILES)
        with soundfile.SoundFile(folder / f"{i:02d}.wav", "w", RATE, 1) as out:
            for start in range(0, size, RATE):
                t = (start + np.arange(min(RATE, size - start))) / RATE
                out.write(0.1 * (1 + np.sin(25 * t)) * noise.normal(size=len(t)))


def read(folder: str) -> None:
    """Open the sounds and read every batch; prints how many seconds of sound a second takes, and the peak in MB."""
    import torch

    from buttress.data.sounds import Sounds

    torch.set_num_threads(1)
    for name, part in {
        "log-mel, 40 bands": Sounds(folder, rate=16000),
        "log-mel, 80 bands, 4 s": Sounds(folder, rate=16000, bands=80, crop=64000),
        "mu-law": Sounds(folder, "wave", rate=16000),
    }.items():
        spent, begin = time.process_time(), time.perf_counter()
        splits = part.open()
        opened = time.process_time() - spent
        examples, spent = splits.train, time.process_time()
        for index in torch.arange(len(examples)).split(32):
            examples.read(index)
        seconds, took = examples.size.sum() / 16000, time.process_time() - spent
        total = (examples.size.sum() + splits.held_out.size.sum()) / 16000
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        print(
            f"{name:24} opening {total / opened:7.0f} x real time, reading {seconds / took:7.0f} x "
            f"(CPU; clock {time.perf_counter() - begin:.1f} s in all), peak {int(peak.split()[1]) / 1024:.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        (folder := Path(scratch) / "sounds").mkdir()
        make(folder, asked.minutes)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "BUTTRESS_CACHE": str(Path(scratch) / "cache")}
        subprocess.run([sys.executable, __file__, "--read", str(folder)], check=True, env=environment)


if __name__ == "__main__":
    if "--read" in sys.argv:
        read(sys.argv[-1])
    else:
        main()
