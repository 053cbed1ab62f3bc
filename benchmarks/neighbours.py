"""The five nearest of 60,000 codes for a batch of 128, beside a training step of a PixelCNN decoder on 28 x 28 images.

Beside that of two decoders: PixelCNN as it comes, which sees a window of 13 pixels, and one that sees the whole image.
CPU seconds, medians; turns are taken one after the other, so that what else runs on the machine slows all. The plain
way is one matrix of all distances and ``topk``. Codes are drawn from N(0, I), which no shortcut could exploit.

python benchmarks/neighbours.py [CODES [DIMENSIONS [BATCH]]]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, Step
from buttress.core.batch import Batch
from buttress.data.mnist5k import Mnist5k
from buttress.decoders.pixelcnn import PixelCNN
from buttress.nn.neighbours import Neighbours

NEAREST, ROUNDS, WANTED = 5, 15, 0.05


def searches(codes: int, dims: int, batch: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Ours and the plain way, on the same codes; each query's own code is left out."""
    torch.manual_seed(0)
    table, queries = torch.randn(codes, dims), torch.randn(batch, dims)
    known, squares, own = Neighbours(table), table.square().sum(1), torch.randint(codes, (batch,))

    def plain() -> Tensor:
        apart = torch.addmm(squares, queries, table.T, alpha=-2)
        apart[torch.arange(batch), own] = torch.inf
        return apart.topk(NEAREST, largest=False).indices

    return (lambda: known.nearest(queries, NEAREST, own)), plain


def training_step(batch: int, dims: int, field: int | None) -> Callable[[], Any]:
    """One step of a VAE with a PixelCNN decoder of that field, of binary images."""
    spec = DataSpec(Layout.image(1, 28, 28), mean=torch.full((1, 28, 28), 33.0), std=torch.full((1, 28, 28), 60.0))
    recipe = baseline(Mnist5k(), spec)
    recipe = replace(recipe, decoder=PixelCNN(field=field), posterior=recipe.posterior.replace(dim=dims))
    model = recipe.model(spec)
    algorithm = recipe.algorithm.build(model, recipe.objective, recipe.training)
    images = Batch(model.observe(torch.randint(0, 256, (batch, 1, 28, 28), dtype=torch.uint8)))
    return lambda: algorithm.step(Step(0, images, lambda: images))


def timed(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median CPU seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 2):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(found[2:]) for name, found in seconds.items()}


def main(codes: int = 60_000, dims: int = 64, batch: int = 128) -> None:
    """Print the table."""
    ours, plain = searches(codes, dims, batch)
    same = bool((ours().sort(1).values == plain().sort(1).values).all())
    decoders = {"field 13": 13, "field of the image": None}
    steps = {name: training_step(batch, dims, field) for name, field in decoders.items()}
    found = timed({"nearest": ours, "plain": plain, **steps})
    print(f"{codes:,} codes of {dims} numbers, batch {batch}, {torch.get_num_threads()} thread(s)")
    for name in steps:
        print(f"a step of the decoder with the {name}: {1e3 * found[name]:.0f} ms")
        for way in ("nearest", "plain"):
            print(f"  {way:8} {1e3 * found[way]:6.1f} ms  {found[way] / found[name]:6.1%}")
    shares = [f"{'met' if found['nearest'] / found[name] < WANTED else 'missed'} beside the {name}" for name in steps]
    print(f"the same neighbours: {same}; wanted below {WANTED:.0%}: {', '.join(shares)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
