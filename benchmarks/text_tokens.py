"""Training an LSTM VAE on sentences in tokens per second, both in fp32: ours beside the same model padded.

Ours: batches by length, only true tokens scored. Padded: batches in random order, every sentence as long as the longest
of the data, every position scored.

    python benchmarks/text_tokens.py SENTENCES
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from buttress.baseline import baseline
from buttress.data.order import Order
from buttress.data.source import detect
from buttress.likelihoods.categorical import FIRST
from buttress.model import LatentVariableModel
from buttress.parts import PAD, Splits

BATCH, STEPS, ROUNDS = 64, 40, 3


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
    order = Order(len(examples), BATCH, 0, examples.lengths if by_length else None)
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


def main(path: str) -> None:
    """Print tokens per second, the ratio, and the two losses on the same batch."""
    data = detect(path)
    splits = data.open()
    recipe = baseline(data, splits.spec)
    torch.manual_seed(0)
    model = recipe.model(splits.spec)
    x = splits.train.batch(torch.arange(256))
    losses = []
    with torch.no_grad():
        for way in (bucketed, padded_distortion):
            torch.manual_seed(1)
            losses.append(float(sum(way(model, x))))
    rows = [
        (timed(splits, model, True, bucketed), timed(splits, model, False, padded_distortion)) for _ in range(ROUNDS)
    ]
    print(f"{len(splits.train)} sentences, vocabulary {splits.spec.vocabulary}, {torch.get_num_threads()} threads")
    ours, theirs = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"by length {ours:.0f} tokens/s, padded {theirs:.0f} tokens/s, ratio {ours / theirs:.2f}")
    print(f"loss on one batch: {losses[0]:.4f} and {losses[1]:.4f} nats")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "lstm_text")
