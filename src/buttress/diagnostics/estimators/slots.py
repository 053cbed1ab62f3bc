r"""Which parts of z are idle: a level, or a codebook of several, such as a stage of a residual quantiser.

$$ W_k = E_x \log p(x|c) - E_x E_{x' \ne x} \log p(x|c_{-k}, c'_k), \qquad
   \text{perplexity}_k = \exp \frac1P \sum_p H(c_{pk}) $$

c_k are the codes of slot k, the last dimension of a map of codes: all its stages, groups or heads. A slot that is
constant has a perplexity of 1 at every place, and shuffling it changes nothing. One that nobody reads has codes that
change and a W of 0. Either is idle. So is a slot that repeats another, where the decoder gets along with one of them.

A part is idle where its worth is below the threshold. How many are is known up to chance only,

$$ \text{value} = \sum_k [W_k < t], \qquad
   \epsilon^2 = \sum_k \pi_k (1 - \pi_k), \quad \pi_k = \Phi \Bigl( \frac{t - W_k}{\epsilon_k} \Bigr) $$
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.levels import level_worths
from buttress.diagnostics.levels import LatentLevel, levels_of
from buttress.diagnostics.protocol import conditional
from buttress.diagnostics.thresholds import COLLAPSED_NATS
from buttress.distributions.code_counts import CodeCounts

__all__ = ["idle", "slot_perplexities", "slots_of"]

MOST = 16
"""Slots that are looked at one by one; a last dimension that is longer is one of places."""


def slots_of(shape: Sequence[int]) -> tuple[LatentLevel, ...]:
    """The slots of a map of codes, along its last dimension; none where there are fewer than two, or too many.

    Args:
        shape: Of the codes of one example.

    Example:
        >>> {slot.name: slot.places.tolist() for slot in slots_of((2, 3))}
        {'slot0': [0, 3], 'slot1': [1, 4], 'slot2': [2, 5]}
    """
    n = shape[-1] if len(shape) else 0
    if not 2 <= n <= MOST:
        return ()
    places = torch.arange(math.prod(shape))
    return tuple(LatentLevel(f"slot{k}", places[k::n]) for k in range(n))


def slot_perplexities(counts: CodeCounts, slots: Sequence[LatentLevel]) -> dict[str, Estimate]:
    """``code_perplexity/<slot>``: of each place alone, so that it is 1 where the codes do not change with x.

    The error is that of the least certain place, as the places of an example are no independent draws.

    Args:
        counts: Of all places.
        slots: Which places are whose.

    Example:
        >>> counts = CodeCounts().add(torch.tensor([[0, 7], [1, 7], [0, 7], [1, 7]]))
        >>> {name: round(found.value, 6) for name, found in slot_perplexities(counts, slots_of((2,))).items()}
        {'code_perplexity/slot0': 2.0, 'code_perplexity/slot1': 1.0}
    """
    there = counts.table.sum(1).double().clamp(min=1)
    share = counts.table / there[:, None]
    surprise = torch.where(share > 0, -share.log(), 0.0)
    entropy = (share * surprise).sum(1)
    error = (((share * surprise.square()).sum(1) - entropy.square()).clamp(min=0) / there).sqrt()
    found = {}
    for slot in slots:
        weight = counts.table[slot.places].sum(1).double()
        value = ((weight * entropy[slot.places]).sum() / weight.sum().clamp(min=1)).exp().item()
        note = "no nats: 1 where its codes are the same for all x"
        chance = value * error[slot.places].max().item()
        found[f"code_perplexity/{slot.name}"] = Estimate(value, chance, counts.n, "counting", note=note)
    return found


def idle(worths: Mapping[str, Estimate], constant: Sequence[str] = ()) -> Estimate:
    """The number of parts of z that the decoder does as well without.

    Args:
        worths: What shuffling each part alone costs, in nats.
        constant: Names of those that are the same for all x.

    Example:
        >>> told = {"top": Estimate(3.0, 0.1, 100, ""), "bottom": Estimate(0.01, 0.002, 100, "")}
        >>> idle(told).value, idle(told).note
        (1.0, 'of 2 parts of z (top, bottom), below 0.1 nats each: bottom (not read)')
    """
    known = {name: found for name, found in worths.items() if found.value is not None}
    chances = [_below(found) for found in known.values()]
    names = [
        f"{name} ({'constant' if name in constant else 'not read'})"
        for name, found in known.items()
        if (found.value or 0.0) < COLLAPSED_NATS
    ]
    told = f", below {COLLAPSED_NATS} nats each: {', '.join(names)}" if names else ""
    n = max((found.n for found in known.values()), default=0)
    error = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    note = f"of {len(known)} parts of z ({', '.join(known)}){told}"
    return Estimate(float(len(names)), error, n, "Monte Carlo", float(len(known)), note)


def _below(found: Estimate) -> float:
    """The chance that the true worth is below the threshold."""
    above = (found.value or 0.0) - COLLAPSED_NATS
    if not found.error:
        return float(above < 0)
    return 0.5 * math.erfc(above / found.error / math.sqrt(2))


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What each slot is worth, and the number of idle ones; of a z with levels that of idle levels."""
    levels = levels_of(conditional(subject.model).model)
    if levels:
        known = {level.name: subject.estimates.get(f"worth_shuffled/{level.name}") for level in levels}
        return {"idle_levels": idle({name: found for name, found in known.items() if found is not None})}
    counts: CodeCounts | None = subject.kept["activity"].codes
    slots = slots_of(_shape(subject)) if counts is not None else ()
    if counts is None or not slots:
        return {}
    if not conditional(subject.model).density:
        return dict(slot_perplexities(counts, slots))
    worths = level_worths(
        subject.model, subject.data, samples=subject.settings["samples"], seed=subject.seed, levels=slots
    )
    constant = [slot.name for slot in slots if bool((counts.perplexities[slot.places] == 1).all())]
    found = idle({slot.name: worths[f"worth_shuffled/{slot.name}"] for slot in slots}, constant)
    return {**slot_perplexities(counts, slots), **worths, "idle_levels": found}


def _shape(subject: Subject) -> tuple[int, ...]:
    """Of the codes of one example: as the model states it, else that of q."""
    shape = tuple(next(iter(subject.data.blocks())).q.event_shape)
    stated = tuple(getattr(getattr(conditional(subject.model).model, "space", None), "shape", ()))
    return stated if math.prod(stated) == math.prod(shape) else shape
