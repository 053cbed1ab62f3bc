"""The default LSTM and Transformer decoders of sentences: training in tokens per second of CPU, and sampling.

Sentences are as long as they may be and made at random, for time does not hang on what they say. Both ways of sampling
must draw the same in float64. In float32 their probabilities differ by rounding; where a uniform number falls between
the edges that both give to a word, one of them draws the next word, and the rest of the sentence is another.

    python benchmarks/sentence_decoders.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from buttress.core import UNK, DataSpec, Layout
from buttress.decoders._sentences import SentenceDecoder
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.decoders.transformer import TransformerDecoder
from buttress.likelihoods.categorical import Categorical

VOCABULARY, LONGEST, Z, BATCH, ROUNDS = 5_000, 40, 16, 64, 3


def seconds(work: Callable[[], object], times: int, rounds: int = ROUNDS) -> float:
    """CPU seconds of one call, the median of a few rounds."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - begin) / times)
    return statistics.median(found)


def unlike(one: torch.Tensor, other: torch.Tensor) -> int:
    """Sentences that differ."""
    return int((one != other).any(1).sum())


def measure(part: SentenceDecoder) -> str:
    """A line about one decoder."""
    torch.manual_seed(0)
    spec = DataSpec(Layout.text(VOCABULARY, longest=LONGEST))
    decoder = part.build(spec, (Z,), Categorical().build(spec))
    x, z = torch.randint(UNK, VOCABULARY, (BATCH, LONGEST)), torch.randn(BATCH, Z)

    def step() -> None:
        decoder.zero_grad()
        decoder(z).log_prob(x).mean().backward()

    train = seconds(step, 1)
    decoder.eval()
    decoder.out.bias.data[0] = -30.0  # no sentence ends early
    p, took, drawn = decoder(z), {}, {}
    for name, sampler in (("cached", p.sample), ("naive", p.sample_naively)):
        torch.manual_seed(1)
        drawn[name] = sampler()
        took[name] = seconds(sampler, 1, 1 if name == "naive" else ROUNDS)
    differ = unlike(*drawn.values())
    torch.manual_seed(1)
    cached = decoder.double()(z.double()).sample()
    torch.manual_seed(1)
    exact = unlike(cached, decoder(z.double()).sample_naively())
    assert exact == 0, f"{exact} sentences differ in float64, where rounding can't be the cause"
    size = sum(w.numel() for w in decoder.parameters())
    return (
        f"{part.name():11s} {size / 1e6:.2f} M weights, training {BATCH * LONGEST / train:6.0f} tokens/s, sampling "
        f"{1000 * took['cached']:.0f} ms cached and {1000 * took['naive']:.0f} ms naive, ratio "
        f"{took['naive'] / took['cached']:.1f}, {differ} of {BATCH} sentences differ, {exact} in float64"
    )


def main() -> None:
    """Print a line for each decoder."""
    print(f"{BATCH} sentences of {LONGEST} words, vocabulary {VOCABULARY}, {torch.get_num_threads()} threads")
    for part in (
        RecurrentDecoder(),
        RecurrentDecoder(embedding=128),
        TransformerDecoder(),
        TransformerDecoder(skip=True),
    ):
        print(measure(part))


if __name__ == "__main__":
    main()
