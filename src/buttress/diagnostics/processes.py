r"""Codebooks and moving averages compared between the processes that train together.

Each process of ``torch.distributed`` has its own copy of a model. Gradients are averaged, so weights stay the same; a
codebook that follows the batch by a moving average does so only if its sums are added over the processes. Where they
are not, every process trains another model. Some values of each such tensor are exchanged, and the largest distance
is told as a share of the root mean square of the tensor:

$$ \max_{i, r} \frac{|w^{(r)}_i - w^{(0)}_i|}{\sqrt{\frac{1}{n} \sum_j (w^{(0)}_j)^2}} $$

A process cannot know whether the others diagnose too: values go through the store of the process group, which no
process must wait for, and after some seconds the question stays open. After one wait in vain there is no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.modules import modules_of
from buttress.runtime import distributed

__all__ = ["NAME", "between_processes", "exchanged", "farthest"]

NAME = "codebooks_between_processes"
CODES = re.compile(r"(?<!en)(?<!de)code|embed|quant|vq|ema(_|\.|$)|cluster|average", re.IGNORECASE)
"""What tensors and modules are called that belong to a codebook or to a moving average."""
VALUES = 4096
"""Of each tensor, at most, evenly spaced."""
SECONDS = 10.0
"""To wait for the others."""
PLACE = "buttress/codebooks"
_waited = [SECONDS]
"""What is waited next time: nothing after one wait in vain."""


def between_processes(model: Any) -> dict[str, Estimate]:
    """How far codebooks and moving averages are apart; nothing of one process, or where the others do not take part.

    Args:
        model: A module, or what holds or refers to some.

    Example:
        >>> between_processes(torch.nn.Embedding(3, 2))
        {}
    """
    if distributed.number() < 2 or not (own := _values(model)):
        return {}
    store = dist.distributed_c10d._get_default_store()
    found = exchanged(store, distributed.rank(), distributed.number(), own, _waited[0])
    if found is None:
        _waited[0] = 0.0
        return {}
    _waited[0] = SECONDS
    name, far = farthest(found)
    note = f"no unit: {name} of {len(found)} processes, the largest distance beside the root mean square of its values"
    return {NAME: Estimate(far, None, len(found), "values of each process", note=note)}


def _values(model: Any) -> dict[str, list[float]]:
    """Some values of each tensor of a codebook or a moving average, by its name."""
    found: dict[str, list[float]] = {}
    for root in modules_of(model):
        tensors = {**dict(root.named_buffers()), **dict(root.named_parameters())}
        for name, value in tensors.items():
            whole = type(value) in (Tensor, nn.Parameter)  # no part of one that lies in several processes
            if whole and CODES.search(name) and value.is_floating_point() and value.numel():
                flat = value.detach().flatten()
                found[name] = flat[:: -(-len(flat) // VALUES)].double().cpu().tolist()
    return found


def exchanged(
    store: Any, rank: int, number: int, own: Mapping[str, list[float]], seconds: float
) -> list[Mapping[str, list[float]]] | None:
    """What every process has; None where not all of them came within some seconds.

    Each round has a number. Whoever comes last, or waits in vain, begins the next one, so that nothing old is read.

    Args:
        store: Of the process group.
        rank: Of this process.
        number: Of processes.
        own: What this process has.
        seconds: To wait.

    Example:
        >>> exchanged(dist.HashStore(), 0, 1, {"codebook": [1.0]}, 1.0)
        [{'codebook': [1.0]}]
    """
    turn = store.add(f"{PLACE}/round", 0)
    place = f"{PLACE}/{turn}"
    store.set(f"{place}/{rank}", json.dumps(dict(own)))
    if store.add(f"{place}/came", 1) == number:
        store.add(f"{PLACE}/round", 1)
        store.set(f"{place}/all", "1")
    try:
        store.wait([f"{place}/all"], timedelta(seconds=max(seconds, 0.01)))
    except RuntimeError:  # of a store: nobody came in time
        store.add(f"{PLACE}/round", 1)
        return None
    return [json.loads(store.get(f"{place}/{r}")) for r in range(number)]


def farthest(found: list[Mapping[str, list[float]]]) -> tuple[str, float]:
    """The tensor that is farthest apart between processes, and how far.

    Example:
        >>> farthest([{"a": [1.0, -1.0], "b": [2.0]}, {"a": [1.5, -1.0], "b": [2.0]}])
        ('a', 0.5)
    """
    far = {name: _apart([torch.tensor(one.get(name, [])) for one in found]) for name in found[0]}
    name = max(far, key=lambda one: far[one])
    return name, far[name]


def _apart(values: list[Tensor]) -> float:
    first = values[0]
    if any(one.shape != first.shape for one in values):
        return 0.0  # parts of one tensor, each process with its own
    size = first.square().mean().sqrt()
    return max(((one - first).abs().max() / size.clamp_min(1e-30)).item() for one in values)
