r"""What z costs in bits for each second of sound, beside the nats that it costs for each example.

$$ \frac{\mathrm{KL}(q(z|x) \| p(z))}{D \ln 2}, \qquad B = \frac{N}{D} H, \quad H = -\sum_k p_k \log_2 p_k $$

with D seconds of sound in all. B is the bitrate of the ZeroSpeech challenges (Dunbar et al. 2019): N codes, each of
which costs the entropy of how often it is taken over all of the data, whatever was before it. A learned prior, under
which the first number is taken, may need fewer bits. Codes behind the true end of shorter examples are not counted:
they cost nothing, as places of real z behind it do. Of a model that is none of ours they are left out where its encoder
says how many places of x one code stands for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.codebook import books_of, codes_of
from buttress.diagnostics.estimators.rate import exact_kl
from buttress.diagnostics.levels import levels_of
from buttress.diagnostics.passes import Block
from buttress.distributions.code_counts import UNCOUNTED

__all__ = ["measure"]


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """``bits_per_second``, and of codes ``code_bits_per_second``; nothing for what is no sound."""
    rate = subject.estimates.get("rate")
    if not subject.seconds or rate is None or rate.value is None:
        return {}
    seconds = torch.cat([_seconds(subject, block) for block in subject.data.blocks()])
    duration = seconds.mean().item()
    bits, note = 1 / (math.log(2) * duration), f"examples of {duration:.3g} s"
    error = None if rate.error is None else rate.error * bits
    found = {"bits_per_second": Estimate(rate.value * bits, error, rate.n, rate.method, note=note)}
    counted = list(_counted(subject)) if subject.kept["activity"].codes is not None else []
    if not counted:
        return found
    codes, inside = (torch.cat([pair[i] for pair in counted]) for i in (0, 1))
    note = f"{inside.sum().item() / seconds.sum().item():.4g} codes a second"
    books = [book.places for book in books_of(subject.model, subject.data, codes.shape[1])]
    found["code_bits_per_second"] = _each_second(_surprise(codes, inside, books), seconds, "counting", note)
    costs = [exact_kl(block.q, block.prior) for block in subject.data.blocks()]
    if not any(cost is None for cost in costs):
        paid = torch.cat([cost.flatten(1).cpu() for cost in costs if cost is not None])
        paid = (paid * inside if paid.shape == inside.shape else paid).sum(1)
        found["bits_per_second"] = _each_second(paid, seconds, rate.method, note)
    return found


def _seconds(subject: Subject, block: Block) -> Float[Tensor, " B"]:
    """Of each example of a block."""
    x, lengths = block.batch.x, block.batch.given.get("lengths")
    places = torch.full((len(x),), x.shape[1]) if lengths is None else lengths.cpu()
    return places.double() * subject.seconds


def _counted(subject: Subject) -> Iterator[tuple[Int[Tensor, "B J"], Bool[Tensor, "B J"]]]:
    """The codes of each block, flat, and which of them lie within the true length."""
    for block in subject.data.blocks():
        if (codes := codes_of(block.q)) is None:
            return
        inside = block.counted(codes) != UNCOUNTED
        lengths = block.batch.given.get("lengths")
        if lengths is not None and bool(inside.all()):
            inside &= _true(subject.model.model, codes.shape[1], lengths.cpu())
        yield codes.cpu(), inside


def _true(model: Any, codes: int, lengths: Int[Tensor, " B"]) -> Bool[Tensor, "B J"]:
    """Which codes lie within the true length, by the stride of a model's encoder; all where it has none."""
    encoder = getattr(model, "encoder", None)
    places: tuple[int, ...] = getattr(encoder, "places", ())
    stride = getattr(encoder, "stride", 0)
    known = isinstance(stride, int) and stride > 0 and len(places) == 1 and not levels_of(model)
    if not known or codes % places[0]:
        return torch.ones(len(lengths), codes, dtype=torch.bool)
    there = torch.arange(places[0]) < -(-lengths[:, None] // stride)
    return there.repeat_interleave(codes // places[0], 1)


def _surprise(
    codes: Int[Tensor, "N J"], inside: Bool[Tensor, "N J"], books: Sequence[Int[Tensor, " P"]]
) -> Float[Tensor, " N"]:
    """-log p_k of the codes of each example, in nats, by how often each is taken from its book over all of the data."""
    k, total = int(codes.max()) + 1, torch.zeros(len(codes), dtype=torch.float64)
    for places in books:
        book, there = codes[:, places], inside[:, places]
        count = torch.bincount(book[there], minlength=k)
        cost = -(count.double() / count.sum()).log()
        total += torch.where(there, cost[book], 0.0).sum(1)
    return total


def _each_second(nats: Float[Tensor, " N"], seconds: Float[Tensor, " N"], method: str, note: str) -> Estimate:
    """Nats of examples over their seconds, in bits, with the standard error of a ratio."""
    value = (nats.sum() / seconds.sum()).item()
    apart = (nats - value * seconds).square().sum().sqrt() / seconds.sum()
    return Estimate(value / math.log(2), apart.item() / math.log(2), len(nats), method, note=note)
