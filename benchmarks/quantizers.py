"""A training step of each quantiser, ours and vector-quantize-pytorch's: from z to codes, backward, averages moved.

Both get the same z and the same codewords and must choose the same codes. They take turns in one process, so that what
else the machine does falls on both; "ratio" is their CPU time over ours, the median of the rounds (least to most), and
"clock" the same of elapsed time. Peak memory of a step is measured in a process for each. With ``--busy 2`` two other
processes compute all the time, as on a shared machine: then threads that wait for each other often are slow.

    python benchmarks/quantizers.py [vq512 vq8192 residual fsq] [--threads 2] [--busy 2]

The other library: pip install vector-quantize-pytorch. To leave this environment as it is: pip install --no-deps
--target DIR vector-quantize-pytorch einops einx frozendict loguru torch-einops-utils, and DIR in PYTHONPATH.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent

Sized = Callable[[Tensor], Tensor]
DIM, ROUNDS = 64, 7
STAGES, STAGE_CODES, LEVELS = 4, 256, (8, 5, 5, 5)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """The same normal numbers for both."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def our_step(part: Any, dim: int, count: int, books: Tensor | None = None) -> Sized:
    """A training step of a posterior of ours without its linear layer, its codebooks set."""
    module = part.build(dim, (count,)).train()
    module.linear = torch.nn.Identity()
    if books is not None:
        module.codebook.copy_(books)
        module.counts.fill_(1.0)
        module.idle.zero_()
    space = module.space
    prior = Independent(Categorical(logits=torch.zeros(space.classes)).expand(space.shape), len(space.shape))

    def step(z: Tensor) -> Tensor:
        latent = module.latent(z, prior)
        (latent.z.mean() + sum(p.mean() for p in latent.penalty.values())).backward()
        module.after_step()
        codes = latent.codes[0, 0]
        return codes.view(len(space.levels), -1).T if space.levels else codes

    return step


def their_step(module: Any, layers: list[Any], books: Tensor | None = None) -> Sized:
    """A training step of theirs, its codebooks set."""
    module.train()
    for layer, book in zip(layers, [] if books is None else books, strict=True):
        layer._codebook.embed.data.copy_(book[None])
        layer._codebook.embed_avg.data.copy_(book[None])
        layer._codebook.cluster_size.data.fill_(1.0)

    def step(z: Tensor) -> Tensor:
        quantized, codes, *loss = module(z)
        (quantized.mean() + sum(part.sum() for part in loss)).backward()
        return codes[0]

    return step


def our_vq(size: int) -> Callable[[int], Sized]:
    """Moving averages, K codewords."""

    def make(count: int) -> Sized:
        from buttress.posteriors.vector_quantized import VectorQuantized

        part = VectorQuantized(codes=size, dim=DIM, decay=0.99)
        return our_step(part, DIM, count, numbers(1, size, DIM, seed=1))

    return make


def their_vq(size: int) -> Callable[[int], Sized]:
    """The same of the library."""

    def make(count: int) -> Sized:
        from vector_quantize_pytorch import VectorQuantize

        module: Any = VectorQuantize(dim=DIM, codebook_size=size, decay=0.99, commitment_weight=0.25)
        return their_step(module, [module], numbers(1, size, DIM, seed=1))

    return make


def our_residual(count: int) -> Sized:
    """Four stages of 256."""
    from buttress.posteriors.residual_quantized import ResidualQuantized

    part = ResidualQuantized(codes=STAGE_CODES, dim=DIM, stages=STAGES, decay=0.99)
    return our_step(part, DIM, count, numbers(STAGES, STAGE_CODES, DIM, seed=1))


def their_residual(count: int) -> Sized:
    """The same of the library."""
    from vector_quantize_pytorch import ResidualVQ

    module: Any = ResidualVQ(
        dim=DIM, codebook_size=STAGE_CODES, num_quantizers=STAGES, decay=0.99, commitment_weight=0.25
    )
    return their_step(module, list(module.layers), numbers(STAGES, STAGE_CODES, DIM, seed=1))


def our_fsq(count: int) -> Sized:
    """1,000 codes on a grid of 8 x 5 x 5 x 5."""
    from buttress.posteriors.finite_scalar_quantized import FiniteScalarQuantized

    return our_step(FiniteScalarQuantized(levels=LEVELS), len(LEVELS), count)


def their_fsq(count: int) -> Sized:
    """The same of the library."""
    from vector_quantize_pytorch import FSQ

    def step(z: Tensor) -> Tensor:
        quantized, codes = module(z)
        quantized.mean().backward()
        return codes[0]

    module: Any = FSQ(levels=LEVELS)
    return step


Makers = tuple[Callable[[int], Sized], Callable[[int], Sized]]
SIDES: dict[str, tuple[int, int, Makers]] = {
    "vq512": (65_536, DIM, (our_vq(512), their_vq(512))),
    "vq8192": (16_384, DIM, (our_vq(8192), their_vq(8192))),  # of 65,536 vectors theirs makes tables of 12 GB
    "residual": (65_536, DIM, (our_residual, their_residual)),
    "fsq": (65_536, len(LEVELS), (our_fsq, their_fsq)),
}
"""Name -> how many vectors, how many numbers in each, ours and theirs."""


def timed(step: Sized, z: Tensor) -> tuple[float, float]:
    """CPU seconds and elapsed seconds of a step."""
    z.grad = None
    cpu, clock = time.process_time(), time.perf_counter()
    step(z)
    return time.process_time() - cpu, time.perf_counter() - clock


def compare(name: str) -> str:
    """A line of the table."""
    count, dim, makers = SIDES[name]
    z = numbers(1, count, dim).requires_grad_()
    steps = [make(count) for make in makers]
    ours, theirs = (step(z).flatten() for step in steps)
    same = (ours == theirs).double().mean().item()
    rounds = [tuple(timed(step, z) for step in steps) for _ in range(ROUNDS)]
    cpu, clock = ([(a[i], b[i]) for a, b in rounds] for i in (0, 1))
    memory = [peak_of(name, side) for side in (0, 1)]
    return (
        f"{name:9}{count:8}{_median(a for a, _ in cpu):9.1f}{_median(b for _, b in cpu):9.1f}   {_ratios(cpu):22}"
        f"{_ratios(clock):22}{memory[0]:8.0f}{memory[1]:8.0f}   {100 * same:.3f} %"
    )


def _median(seconds: Any) -> float:
    return 1000 * statistics.median(seconds)


def _ratios(pairs: list[tuple[float, float]]) -> str:
    found = sorted(b / a for a, b in pairs)
    return f"{statistics.median(found):5.1f} ({found[0]:.1f} to {found[-1]:.1f})"


def peak_of(name: str, side: int) -> float:
    """Extra memory of a step in MB, in a process of its own."""
    call = [sys.executable, __file__, name, "--memory", str(side), "--threads", str(torch.get_num_threads())]
    return float(subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout)


def memory(name: str, side: int) -> float:
    """Extra memory of a step of this process in MB; what is imported and started is not its memory."""
    count, dim, makers = SIDES[name]
    makers[side](64)(numbers(1, 64, dim).requires_grad_())
    step, z = makers[side](count), numbers(1, count, dim).requires_grad_()
    before = _peak()
    step(z)
    return _peak() - before


def _peak() -> float:
    """The most memory this process has had, in MB (not getrusage's, which a child inherits)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SIDES)}; all without")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--busy", type=int, default=0, help="other processes that compute all the time")
    parser.add_argument("--memory", type=int, choices=(0, 1), help="print the memory of one side of one quantiser")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.memory is not None:
        print(memory(asked.names[0], asked.memory))
        return
    try:
        import vector_quantize_pytorch  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"vector-quantize-pytorch cannot be imported ({error}); see --help") from None
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(asked.busy)]
    print(f"float32, {asked.threads} threads, {asked.busy} busy processes, {ROUNDS} rounds")
    print(
        f"{'':9}{'vectors':>8}{'ours ms':>9}{'theirs':>9}   {'ratio':22}{'clock':22}{'ours MB':>8}{'theirs':>8}   same"
    )
    try:
        for name in asked.names or SIDES:
            print(compare(name), flush=True)
    finally:
        for other in others:
            other.kill()


if __name__ == "__main__":
    main()
