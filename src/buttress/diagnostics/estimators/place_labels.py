r"""What codes say of the labels of their places (phones, say), which no model was shown.

Each code stands for the label that it has most often; the map from codes to labels is fitted on half of the examples
and tested on the other, and then the other way round. See :mod:`buttress.quality.code_labels` for purity and normalised
mutual information, which are of all places. Of several codes at a place the one that tells most is taken.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.codebook import codes_of
from buttress.quality.code_labels import CodeLabels

__all__ = ["coded", "measure"]


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """``place_accuracy`` beside ``place_chance``, ``place_purity`` and ``place_information``; of codes with labels."""
    labels = subject.place_labels
    if labels is None or subject.kept["activity"].codes is None:
        return {}
    codes = coded(subject, labels.shape[1])
    if codes is None or not (labels[::2] >= 0).any() or not (labels[1::2] >= 0).any():
        return {}
    k, size = int(codes.max()) + 1, int(labels.max()) + 1
    slots = [CodeLabels.count(codes[..., slot], labels, k, size) for slot in range(codes.shape[-1])]
    best = max(range(len(slots)), key=lambda slot: slots[slot].information)
    found, codes, n = slots[best], codes[..., best], len(labels)
    halves = [(codes[i::2], labels[i::2]) for i in (0, 1)]
    fits = [CodeLabels.count(*half, k, size) for half in halves]
    weights = [(rows >= 0).sum().item() for _, rows in halves]
    right = sum(fit.accuracy(*half) * w for fit, half, w in zip(fits, halves[::-1], weights[::-1], strict=True))
    note = f"{int(found.table.sum())} places, {size} labels" + (
        f", slot {best} of {len(slots)}" if len(slots) > 1 else ""
    )
    values = {
        "place_accuracy": (right / sum(weights), "cross-validation"),
        "place_chance": (found.chance, "counting"),
        "place_purity": (found.purity, "counting"),
        "place_information": (found.normalized_information, "counting"),
    }
    return {name: Estimate(value, None, n, method, note=note) for name, (value, method) in values.items()}


def coded(subject: Subject, places: int) -> Int[Tensor, "N P slots"] | None:
    """The codes of every example at its places; None where z has not so many of them."""
    rows = [(block.index, codes_of(block.q)) for block in subject.data.blocks()]
    index, codes = torch.cat([index for index, _ in rows]), torch.cat([c.cpu() for _, c in rows if c is not None])
    if codes.shape[1] % places:
        return None
    return codes[index.argsort()].unflatten(1, (places, -1))
