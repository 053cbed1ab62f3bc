"""Choosing codewords, forward and backward, beside vector-quantize-pytorch; peak memory each in a process of its own.

65,536 vectors of 64 numbers in float32, moving averages updated.

python benchmarks/vector_quantization.py [SIZES OF THE CODEBOOK]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

VECTORS, DIM, SIZES, ROUNDS = 65_536, 64, (512, 8192), 3


def inputs(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Vectors (1, N, D) and codewords (K, D), the same for both."""
    torch.manual_seed(0)
    return torch.randn(1, count, DIM), torch.randn(size, DIM)


def ours(count: int, size: int) -> Callable[[Tensor], Tensor]:
    """A training step of the posterior's own: from z to codes, loss backward, averages updated."""
    from torch.distributions import Categorical, Independent

    from buttress.posteriors.vector_quantized import VectorQuantized

    module = VectorQuantized(codes=size, dim=DIM).build(DIM, (count,))
    module.linear = torch.nn.Identity()  # type: ignore[assignment]
    module.codebook.copy_(inputs(count, size)[1])
    module.idle.zero_()
    prior = Independent(Categorical(logits=torch.zeros(size)).expand((count, 1)), 2)

    def step(z: Tensor) -> Tensor:
        latent = module.latent(z, prior)
        (latent.z.mean() + latent.penalty["commitment"].mean()).backward()
        module.after_step()
        assert latent.codes is not None
        return latent.codes.flatten()

    return step


def theirs(count: int, size: int) -> Callable[[Tensor], Tensor]:
    """The same of the library."""
    from vector_quantize_pytorch import VectorQuantize

    module: Any = VectorQuantize(dim=DIM, codebook_size=size, decay=0.99, commitment_weight=0.25).train()
    module._codebook.embed.data.copy_(inputs(count, size)[1][None])
    module._codebook.embed_avg.data.copy_(inputs(count, size)[1][None])
    module._codebook.cluster_size.data.fill_(1.0)

    def step(z: Tensor) -> Tensor:
        quantized, codes, loss = module(z)
        (quantized.mean() + loss.sum()).backward()
        return codes.flatten()

    return step


SIDES = {"ours": ours, "theirs": theirs}


def peak() -> float:
    """The most memory this process has had, in MB (not getrusage's, which a child inherits)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(side: str, size: int, codes: str) -> None:
    """In a child: print seconds of the fastest step and extra memory in MB; save the codes of the first step."""
    SIDES[side](64, 16)(inputs(64, 16)[0].requires_grad_())  # what is imported and started is not its memory
    step, z = SIDES[side](VECTORS, size), inputs(VECTORS, size)[0].requires_grad_()
    before, first, seconds = peak(), None, []
    for _ in range(ROUNDS):
        z.grad = None
        begin = time.perf_counter()
        chosen = step(z)
        seconds.append(time.perf_counter() - begin)
        first = chosen if first is None else first
    print(min(seconds), peak() - before)
    torch.save(first, codes)


def main(sizes: list[int]) -> None:
    """Print times, memory, and how many codes agree."""
    import tempfile

    print(f"{VECTORS} vectors of {DIM}, {torch.get_num_threads()} threads, fastest of {ROUNDS} steps")
    for size in sizes:
        seconds, memory, codes = {}, {}, {}
        for side in SIDES:
            with tempfile.NamedTemporaryFile(suffix=".pt") as file:
                call = [sys.executable, __file__, side, str(size), file.name]
                done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
                codes[side] = torch.load(file.name, weights_only=True)
            seconds[side], memory[side] = map(float, done.stdout.split())
        same = (codes["ours"] == codes["theirs"]).double().mean()
        print(
            f"K = {size:5d}: ours {seconds['ours']:.3f} s, {memory['ours']:.0f} MB  theirs {seconds['theirs']:.3f} s, "
            f"{memory['theirs']:.0f} MB  time ratio {seconds['theirs'] / seconds['ours']:.1f}  "
            f"memory ratio {memory['ours'] / memory['theirs']:.3f}  same codes {100 * float(same):.3f} %"
        )


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] in SIDES:
        measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        main([int(size) for size in sys.argv[1:]] or list(SIZES))
