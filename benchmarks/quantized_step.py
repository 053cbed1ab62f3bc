"""CPU time of a training step of the translation Transformer: with numbers of 8 bits, and in full precision, in turn.

A step is the loss, its gradient, Adam, and what a model does after a step. Sentences are made at random, 10 to 24 words
long, for time does not hang on what they say.

    OMP_NUM_THREADS=1 python benchmarks/quantized_step.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from buttress.core import EOS, UNK, Column, DataSpec, Layout
from buttress.core.model import LatentVariableModel
from buttress.decoders.cross_attention import CrossAttentionDecoder
from buttress.encoders.none import NoEncoder
from buttress.likelihoods.categorical import Categorical
from buttress.objectives.elbo import ELBO
from buttress.posteriors.none import NoLatent
from buttress.priors.uniform import Uniform

BATCH, LONGEST, BITS = 64, 24, 8
SIZES = ((128, 2, 8000), (128, 2, 2000), (64, 2, 84), (256, 4, 8000))
"""Hidden numbers, layers of each side, and vocabulary: first what pairs of sentences get by default."""


def sentences(vocabulary: int) -> torch.Tensor:
    """Token ids (BATCH, LONGEST)."""
    lengths = torch.randint(10, LONGEST + 1, (BATCH, 1))
    place, x = torch.arange(LONGEST), torch.randint(UNK + 1, vocabulary, (BATCH, LONGEST))
    return torch.where(place < lengths - 1, x, torch.where(place == lengths - 1, EOS, 0))


def stepper(hidden: int, layers: int, vocabulary: int, bits: int) -> Callable[[], None]:
    """A function that makes one step."""
    torch.manual_seed(0)
    column = Column("source", symbols=vocabulary, size=LONGEST)
    spec = DataSpec(Layout.text(vocabulary, longest=LONGEST), given=(column,))
    decoder = CrossAttentionDecoder(
        hidden=hidden, layers=layers, source_layers=layers, dropout=0.1, label_smoothing=0.1
    )
    model = LatentVariableModel(spec, NoEncoder(), NoLatent(), Uniform(), decoder, Categorical())
    if bits:
        model.quantize(bits=bits, after=0)
    adam, objective = torch.optim.Adam(model.parameters(), 1e-3, fused=True), ELBO()
    x, given = model.observe(sentences(vocabulary)), {"source": sentences(vocabulary)}

    def step() -> None:
        adam.zero_grad()
        objective(model(x, given=given), 0).backward()
        adam.step()
        model.after_step()

    step(), step()  # the ranges of activations are known from the second on
    return step


def main(rounds: int = 15) -> None:
    """Print a line for each size."""
    torch.set_num_threads(1)
    for size in SIZES:
        steps = [stepper(*size, bits) for bits in (0, BITS)]
        found: list[list[float]] = [[], []]
        for _ in range(rounds):
            for step, seconds in zip(steps, found, strict=True):
                begin = time.process_time()
                step()
                seconds.append(time.process_time() - begin)
        plain, rounded = map(statistics.median, found)
        ratios = sorted(b / a for a, b in zip(*found, strict=True))
        print(
            f"hidden {size[0]}, {size[1]} + {size[1]} layers, vocabulary {size[2]}: {1000 * plain:.1f} ms in full "
            f"precision, {1000 * rounded:.1f} ms with {BITS} bits; ratio {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
