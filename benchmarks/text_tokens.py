"""Training an LSTM VAE on sentences in tokens per second, both in fp32: ours beside the same model padded.

Ours: batches by length, only true tokens scored. Padded: batches in random order, every sentence as long as the longest
of the data, every position scored. Each trains a copy of the same model. That both compute the same is seen on one
batch, of which the untrained model and both trained ones tell the loss in either way; that they learn the same, from
how far the losses of the two trained ones are apart.

    python benchmarks/text_tokens.py SENTENCES
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from buttress.baseline import baseline
from buttress.core import PAD, Splits
from buttress.core.model import LatentVariableModel
from buttress.data.source import detect
from buttress.likelihoods.categorical import FIRST
from buttress.training.batch_sampler import BatchSampler

BATCH, STEPS, ROUNDS = 64, 40, 3
MARK = 0.005
"""Most that two losses may differ, relative to the larger one."""


def padded_distortion(model: LatentVariableModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """-log p(x|z) and the rate with every position projected to the vocabulary, padding too."""
    latent = model.inference.latent(model.encode(x), model.prior(), 1)
    logits = model.decoder.parameters_of(latent.z[0], x)
    target = torch.where(x == PAD, -100, x - FIRST)
    loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum", ignore_index=-100)
    return loss / len(x), latent.rate.sum(-1).mean()


def bucketed(model: LatentVariableModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same two by the model's own way."""
    terms = model(x)
    return terms.distortion.mean(), terms.latent.rate.sum(-1).mean()


def timed(
    splits: Splits, model: LatentVariableModel, by_length: bool, loss_of: Callable[[LatentVariableModel, Tensor], tuple]
) -> float:
    """Tokens per second of training."""
    examples, longest = splits.train, int(splits.train.lengths.max())
    order = BatchSampler(len(examples), BATCH, 0, examples.lengths if by_length else None)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    tokens, begin = 0, time.perf_counter()
    for step in range(STEPS):
        x = examples.batch(order.indices(step))
        if not by_length:
            x = F.pad(x, (0, longest - x.shape[1]))
        tokens += int((x != PAD).sum())
        optimizer.zero_grad()
        sum(loss_of(model, x)).backward()
        optimizer.step()
    return tokens / (time.perf_counter() - begin)


def losses(model: LatentVariableModel, x: Tensor) -> tuple[float, float]:
    """The loss of a model on a batch, by its own way and padded, with the same noise."""
    model.eval()
    found = []
    with torch.no_grad():
        for way in (bucketed, padded_distortion):
            torch.manual_seed(1)
            found.append(float(sum(way(model, x))))
    model.train()
    return found[0], found[1]


def verdict(what: str, one: float, other: float) -> str:
    """Two losses, how far they are apart, and whether that is within the mark.

    Example:
        >>> verdict("untrained", 100.0, 99.0)
        'untrained: 100.0000 and 99.0000 nats, 1.000 % apart; wanted within 0.5 %: missed'
    """
    apart = abs(one - other) / max(abs(one), abs(other))
    mark = f"wanted within {100 * MARK:.1f} %: {'met' if apart <= MARK else 'missed'}"
    return f"{what}: {one:.4f} and {other:.4f} nats, {100 * apart:.3f} % apart; {mark}"


def main(path: str) -> None:
    """Print tokens per second, the ratio, and how far losses are apart before and after that training."""
    data = detect(path)
    splits = data.open()
    recipe = baseline(data, splits.spec)
    torch.manual_seed(0)
    ours = recipe.model(splits.spec)
    theirs = copy.deepcopy(ours)
    x = splits.train.batch(torch.arange(min(256, len(splits.train))))
    said = [verdict("untrained, both ways", *losses(ours, x))]
    rows = [
        (timed(splits, ours, True, bucketed), timed(splits, theirs, False, padded_distortion)) for _ in range(ROUNDS)
    ]
    by_length, padded = losses(ours, x), losses(theirs, x)
    said += [
        verdict("trained by length, both ways", *by_length),
        verdict("trained padded, both ways", *padded),
        verdict(f"after {ROUNDS} x {STEPS} steps, by length and padded", by_length[0], padded[1]),
    ]
    print(f"{len(splits.train)} sentences, vocabulary {splits.spec.vocabulary}, {torch.get_num_threads()} threads")
    fast, slow = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"by length {fast:.0f} tokens/s, padded {slow:.0f} tokens/s, ratio {fast / slow:.2f}")
    print(f"loss on one batch of {len(x)} sentences")
    print(*said, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "lstm_text")
