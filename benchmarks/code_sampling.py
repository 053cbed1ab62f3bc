"""Sampling maps of codes from a PixelCNN and a PixelSNAIL prior: cached beside a full forward pass for every place.

python benchmarks/code_sampling.py [--size 32] [--symbols 512] [--count 16] [--double]

The two ways add the same numbers in another order, so in single precision a draw may fall on the other side of a border
between two codes, and everything after it differs; --double shows that nothing else does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.pixelsnail import PixelSNAIL
from buttress.likelihoods.categorical import Categorical


def timed(draw: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds and draws, from the same random state each time."""
    torch.manual_seed(1)
    begin = time.perf_counter()
    drawn = draw()
    return time.perf_counter() - begin, drawn


@contextmanager
def watched(name: str, likelihood: LikelihoodModule, places: int) -> Iterator[None]:
    """Show how many places have been chosen while this lasts: the naive way takes minutes."""
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    pick = likelihood.pick
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{name}, naive", total=places)

        def counted(parameters: Tensor, uniforms: Tensor) -> Tensor:
            progress.advance(task)
            return pick(parameters, uniforms)

        likelihood.pick = counted  # type: ignore[method-assign]
        try:
            yield
        finally:
            likelihood.pick = pick  # type: ignore[method-assign]


def row(part: Decoder, size: int, symbols: int, count: int) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    spec = DataSpec(Layout.image(1, size, size))
    likelihood = Categorical(levels=symbols, ordinal=False).build(spec)
    module = part.build(spec, (1,), likelihood).to(torch.get_default_dtype()).eval()
    p = module(torch.zeros(count, 1))
    module(torch.zeros(1, 1)).sample()  # warm up
    cached, drawn = timed(p.sample)
    with watched(part.name(), module.likelihood, size * size):
        naive, wanted = timed(p.sample_naively)
    same = "yes" if torch.equal(drawn, wanted) else f"{(drawn == wanted).flatten(1).all(1).sum()} of {count} maps"
    return f"{part.name():<12}{cached:>10.2f}{naive:>10.2f}{naive / cached:>9.1f}   {same}"


def main() -> None:
    """Print a table: seconds both ways, their ratio, and whether the draws are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="width and height of the maps")
    parser.add_argument("--symbols", type=int, default=512, help="number of codes K")
    parser.add_argument("--count", type=int, default=16, help="maps at a time")
    parser.add_argument("--double", action="store_true", help="in float64")
    wanted = parser.parse_args()
    if wanted.double:
        torch.set_default_dtype(torch.float64)
    print(
        f"{wanted.count} maps {wanted.size}x{wanted.size} of {wanted.symbols} codes, "
        f"{torch.get_default_dtype()}, {torch.get_num_threads()} threads"
    )
    print(f"{'prior':<12}{'cached s':>10}{'naive s':>10}{'ratio':>9}   identical draws")
    for part in (PixelCNN(), PixelSNAIL()):
        print(row(part, wanted.size, wanted.symbols, wanted.count), flush=True)


if __name__ == "__main__":
    main()
