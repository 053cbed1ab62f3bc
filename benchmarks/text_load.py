"""Time and peak memory of opening a text of 2,000,000 short lines for the first time, on one thread.

python benchmarks/text_load.py [LINES] [--words all_different] [--tokenizer bpe]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS, BLOCK = 50_000, 50_000


def make(path: Path, lines: int, all_different: bool) -> None:
    """Lines of 3 to 12 words, as frequent as Zipf has them, or each word there once."""
    noise, used = np.random.default_rng(0), 0
    with path.open("w") as file:
        for start in range(0, lines, BLOCK):
            lengths = noise.integers(3, 13, min(BLOCK, lines - start))
            total = int(lengths.sum())
            rank = used + np.arange(total) if all_different else (WORDS ** noise.random(total)).astype(np.int64)
            used += total
            words = [f"w{r:x}" for r in rank.tolist()]
            ends = lengths.cumsum().tolist()
            file.writelines(" ".join(words[a:b]) + "\n" for a, b in zip([0, *ends[:-1]], ends, strict=True))


def read(path: str, tokenizer: str) -> None:
    """Open the data and read a thousand batches; prints seconds, CPU seconds and the peak in MB."""
    import torch

    from buttress.data.source import detect

    start = time.perf_counter(), time.process_time()
    splits = detect(path, tokenizer=tokenizer).open()
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    for step in range(1000):
        splits.train.batch(torch.arange(32 * step, 32 * step + 32) % len(splits.train))
    # VmHWM rather than getrusage, whose peak a child inherits from the process that started it
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    counts = f"{len(splits.train):,} and {len(splits.held_out):,} sentences"
    print(f"{counts}: {spent[0]:.1f} s, {spent[1]:.1f} s of CPU, peak {int(peak.split()[1]) / 1024:.0f} MB")
    print("\n".join(splits.notes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", nargs="?", type=int, default=2_000_000)
    parser.add_argument("--words", choices=["zipf", "all_different"], default="zipf")
    parser.add_argument("--tokenizer", choices=["word", "bpe"], default="word")
    asked = parser.parse_args()
    one = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), "1") | {"TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        make(path, asked.lines, asked.words == "all_different")
        print(f"{path.stat().st_size / 1e6:.0f} MB of text", flush=True)
        call = [sys.executable, __file__, str(path), "--read", asked.tokenizer]
        subprocess.run(call, check=True, env={**os.environ, **one, "BUTTRESS_CACHE": str(Path(folder) / "cache")})


if __name__ == "__main__":
    if "--read" in sys.argv:
        read(sys.argv[1], sys.argv[3])
    else:
        main()
