"""Sampling sound from the default WaveNet given codes: cached beside a full forward pass for every sample.

python benchmarks/wavenet_sampling.py [SAMPLES]
"""

from __future__ import annotations

import argparse
import time

import torch

from buttress.core import DataSpec, Layout
from buttress.decoders.wavenet import WaveNet
from buttress.likelihoods.categorical import Categorical

COUNT, RATE, STRIDE = 4, 8000, 64


def main() -> None:
    """Print both times, their ratio, and whether the draws are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", nargs="?", type=int, default=1024)
    places = parser.parse_args().samples
    torch.manual_seed(0)
    spec = DataSpec(Layout.wave(places), rate=RATE)
    decoder = WaveNet().build(spec, (places // STRIDE, 64), Categorical().build(spec)).eval()
    p = decoder(torch.randn(COUNT, places // STRIDE, 64))
    took, drawn = {}, {}
    with torch.no_grad():
        for name, sampler in (("cached", p.sample), ("naive", p.sample_naively)):
            torch.manual_seed(1)
            begin = time.process_time()
            drawn[name] = sampler()
            took[name] = time.process_time() - begin
    print(f"{COUNT} sounds of {places} samples, {torch.get_num_threads()} threads, seconds of CPU")
    print(f"cached {took['cached']:.2f} s  naive {took['naive']:.2f} s  ratio {took['naive'] / took['cached']:.1f}")
    print(f"cached: {COUNT * places / took['cached']:.0f} samples a second")
    print(f"identical draws: {torch.equal(drawn['cached'], drawn['naive'])}")


if __name__ == "__main__":
    main()
