r"""What z costs in bits for each second of sound, beside the nats that it costs for each example.

$$ \frac{\mathrm{KL}(q(z|x) \| p(z))}{D \ln 2}, \qquad B = \frac{N}{D} H, \quad H = -\sum_k p_k \log_2 p_k $$

with D seconds of sound in all. B is the bitrate of the ZeroSpeech challenges (Dunbar et al. 2019): N codes, each of
which costs the entropy of how often it is taken over all of the data, whatever was before it. A learned prior, under
which the first number is taken, may need fewer bits. Codes behind the true end of shorter examples are not counted, in
either number, where the model says how many places of x one code stands for; real z are counted as in the rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.codebook import codes_of
from buttress.diagnostics.levels import levels_of
from buttress.diagnostics.passes import Block
from buttress.distributions.inspect import closed_form_kl

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
    found["code_bits_per_second"] = _each_second(_surprise(codes, inside), seconds, "counting", note)
    costs = [_cost(subject, block) for block in subject.data.blocks()]
    nats = None if any(cost is None for cost in costs) else torch.cat([cost for cost in costs if cost is not None])
    if nats is not None and nats.shape == inside.flatten(1).shape:
        paid = (nats.double() * inside.flatten(1)).sum(1)
        found["bits_per_second"] = _each_second(paid, seconds, rate.method, note)
    return found


def _seconds(subject: Subject, block: Block) -> Float[Tensor, " B"]:
    """Of each example of a block."""
    x, lengths = block.batch.x, block.batch.given.get("lengths")
    places = torch.full((len(x),), x.shape[1]) if lengths is None else lengths.cpu()
    return places.double() * subject.seconds


def _counted(subject: Subject) -> Iterator[tuple[Int[Tensor, "B P slots"], Bool[Tensor, "B P slots"]]]:
    """The codes of each block, with a codebook in each slot, and which of them lie within the true length."""
    model = subject.model.model
    places, stride = _sequence(model)
    shape: tuple[int, ...] = getattr(getattr(model, "space", None), "shape", ())
    for block in subject.data.blocks():
        if (codes := codes_of(block.q)) is None:
            return
        codes = codes.cpu().unflatten(1, (-1, shape[-1] if math.prod(shape) == codes.shape[1] else 1))
        inside = torch.ones(codes.shape, dtype=torch.bool)
        lengths = block.batch.given.get("lengths")
        if lengths is not None and places == codes.shape[1]:
            inside &= (torch.arange(places) < -(-lengths.cpu()[:, None] // stride))[..., None]
        yield codes, inside


def _sequence(model: object) -> tuple[int, int]:
    """The places of z along the places of x, and how many of these each stands for; 0 where that is not known."""
    encoder = getattr(model, "encoder", None)
    places: tuple[int, ...] = getattr(encoder, "places", ())
    stride = getattr(encoder, "stride", 0)
    known = isinstance(stride, int) and stride > 0 and len(places) == 1 and not levels_of(model)
    return (places[0], stride) if known else (0, 0)


def _surprise(codes: Int[Tensor, "N P slots"], inside: Bool[Tensor, "N P slots"]) -> Float[Tensor, " N"]:
    """-log p_k of the codes of each example, in nats, by how often each is taken in its slot over all of the data."""
    k, total = int(codes.max()) + 1, torch.zeros(len(codes), dtype=torch.float64)
    for slot, there in zip(codes.unbind(-1), inside.unbind(-1), strict=True):
        count = torch.bincount(slot[there], minlength=k)
        cost = -(count.double() / count.sum()).log()
        total += torch.where(there, cost[slot], 0.0).sum(1)
    return total


def _cost(subject: Subject, block: Block) -> Float[Tensor, "B G"] | None:
    """-log p of each code under the model's prior, in nats; None where p does not tell them apart."""
    found = closed_form_kl(block.q, subject.model.prior(block.batch.given))
    return None if found is None or found.dim() < 2 else found.flatten(1).cpu()


def _each_second(nats: Float[Tensor, " N"], seconds: Float[Tensor, " N"], method: str, note: str) -> Estimate:
    """Nats of examples over their seconds, in bits, with the standard error of a ratio."""
    value = (nats.sum() / seconds.sum()).item()
    apart = (nats - value * seconds).square().sum().sqrt() / seconds.sum()
    return Estimate(value / math.log(2), apart.item() / math.log(2), len(nats), method, note=note)
