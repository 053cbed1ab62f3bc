"""Training an LSTM VAE on sentences in tokens per second: ours beside a good plain loop of the same model.

Ours: batches by length, and the precision that ``--training.precision auto`` chooses. The plain loop is what a user
would write who knows torch well: each batch padded to its own longest sentence, only true tokens projected to the
vocabulary, bf16 autocast, fused Adam; once with packed sequences and once without, and the faster one counts. Both
take the same sentences in batches of 64. Times are CPU seconds, the three in turn.

    OMP_NUM_THREADS=1 python benchmarks/text_plain_loop.py SENTENCES
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from buttress.baseline import baseline
from buttress.core import BOS, PAD, Splits
from buttress.core.recipe import Recipe
from buttress.data.source import detect
from buttress.training.batch_sampler import BatchSampler
from buttress.training.precision import timed

BATCH, STEPS, ROUNDS = 64, 20, 5
WANTED = 1.3


class Plain(nn.Module):
    """The model of the recipe to start from, as one would write it by hand."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, latent: int, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.read, self.embed = nn.Embedding(vocabulary, embedding), nn.Embedding(vocabulary, embedding)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.to_q, self.first = nn.Linear(hidden, 2 * latent), nn.Linear(latent, hidden)
        self.decoder = nn.LSTM(embedding + latent, hidden, batch_first=True)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """-ELBO of a batch of sentences, in nats a sentence."""
        lengths = (x != PAD).sum(-1)
        mean, log_variance = self.to_q(self.last(self.read(x), lengths)).float().chunk(2, -1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(-1)
        before = self.embed(F.pad(x[:, :-1], (1, 0), value=BOS))
        cell = self.first(z)[None]
        words = torch.cat([before, z[:, None].expand(-1, x.shape[1], -1)], -1)
        states = self.states(words, lengths, (cell.tanh(), cell))
        true = x != PAD
        loss = F.cross_entropy(self.out(states[true]).float(), x[true], reduction="sum")
        return loss / len(x) + rate.mean()

    def last(self, words: Tensor, lengths: Tensor) -> Tensor:
        """The state after the last word of each sentence."""
        if self.packed:
            packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
            return self.encoder(packed)[1][0][0]
        return self.encoder(words)[0][torch.arange(len(words)), lengths - 1]

    def states(self, words: Tensor, lengths: Tensor, start: tuple[Tensor, Tensor]) -> Tensor:
        """The decoder's state at each word."""
        if self.packed:
            packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
            start = (start[0].contiguous(), start[1].contiguous())
            return pad_packed_sequence(self.decoder(packed, start)[0], batch_first=True)[0]
        return self.decoder(words, start)[0]


def speed(loss_of: Callable[[Tensor], Tensor], model: nn.Module, splits: Splits, by_length: bool, mixed: bool) -> float:
    """Tokens per CPU second over some steps of training."""
    examples = splits.train
    order = BatchSampler(len(examples), BATCH, 0, examples.lengths if by_length else None)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    tokens, begin = 0, time.process_time()
    for step in range(STEPS):
        x = examples.batch(order.indices(step))
        x = x[:, : int((x != PAD).sum(-1).max())]
        tokens += int((x != PAD).sum())
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = loss_of(x)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return tokens / (time.process_time() - begin)


def plain(recipe: Recipe, splits: Splits, packed: bool) -> Plain:
    """The same sizes."""
    sizes = (recipe.encoder.embedding, recipe.encoder.hidden, recipe.posterior.dim)
    return Plain(splits.spec.vocabulary, *sizes, packed)


def main(path: str) -> None:
    """Print tokens per second of the three, in turn, and the ratio to the faster plain loop."""
    data = detect(path)
    splits = data.open()
    recipe = baseline(data, splits.spec)
    choice = timed(recipe, splits)
    model = recipe.model(splits.spec)
    packed, padded = plain(recipe, splits, True), plain(recipe, splits, False)
    rows = []
    for _ in range(ROUNDS):
        ours = speed(lambda x: recipe.objective(model(x), 0), model, splits, True, choice.precision == "bf16-mixed")
        rows.append((ours, *(speed(other, other, splits, False, True) for other in (packed, padded))))
    ours, *others = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{len(splits.train)} sentences, vocabulary {splits.spec.vocabulary}, {torch.get_num_threads()} threads")
    print(choice)
    print(f"ours {ours:.0f} tokens/s; plain loop packed {others[0]:.0f}, padded {others[1]:.0f}")
    ratios = sorted(row[0] / max(row[1:]) for row in rows)
    print(f"ratio to the faster one {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"wanted at least {WANTED}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "lstm_text")
