"""Sampling 64 images of 28 x 28 from the default PixelCNN: cached beside a full forward pass for every pixel.

python benchmarks/pixelcnn_sampling.py
"""

from __future__ import annotations

import time

import torch

from buttress.core import DataSpec, Layout
from buttress.decoders.pixelcnn import PixelCNN
from buttress.likelihoods.bernoulli import Bernoulli

COUNT = 64


def main() -> None:
    """Print both times, their ratio, and whether the draws are the same."""
    torch.manual_seed(0)
    spec = DataSpec(Layout.image(1, 28, 28))
    decoder = PixelCNN().build(spec, (16,), Bernoulli().build(spec)).eval()
    p = decoder(torch.randn(COUNT, 16))
    took, drawn = {}, {}
    with torch.no_grad():
        for name, sampler in (("cached", p.sample), ("naive", p.sample_naively)):
            torch.manual_seed(1)
            begin = time.perf_counter()
            drawn[name] = sampler()
            took[name] = time.perf_counter() - begin
    print(f"{COUNT} images 28x28, {torch.get_num_threads()} threads")
    print(f"cached {took['cached']:.2f} s  naive {took['naive']:.2f} s  ratio {took['naive'] / took['cached']:.1f}")
    print(f"identical draws: {torch.equal(drawn['cached'], drawn['naive'])}")


if __name__ == "__main__":
    main()
