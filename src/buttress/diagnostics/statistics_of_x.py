"""What anyone can tell of an example without a model: how long a sentence is, how bright an image, how loud a sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core.batch import Batch
from buttress.diagnostics.estimate import Moments
from buttress.diagnostics.passes import Block

__all__ = ["statistics_of"]


def statistics_of(kind: str, blocks: list[Block]) -> Mapping[str, Float[Tensor, " N"]]:
    """One number of each example for each simple statistic of its kind of data; none that is the same for all.

    Args:
        kind: "text", "image", "wave", "frames" or "table"; columns of a table are put on one scale first.
        blocks: The examples.

    Example:
        >>> from buttress.diagnostics.passes import Encoded
        >>> from types import SimpleNamespace
        >>> blocks = list(Encoded(SimpleNamespace(), [torch.tensor([[5, 7, 2, 0], [9, 2, 0, 0]])]).blocks())
        >>> {name: value.tolist() for name, value in statistics_of("text", blocks).items()}
        {'length': [3.0, 2.0]}
    """
    measures = _of_rows(blocks) if kind == "table" else MEASURES.get(kind, {})
    found = {name: torch.cat([measure(block.batch) for block in blocks]) for name, measure in measures.items()}
    return {name: value for name, value in found.items() if bool(value.isfinite().all()) and bool(value.std() > 0)}


def _flat(batch: Batch) -> Float[Tensor, "B _"]:
    return batch.x.double().reshape(len(batch), -1).cpu()


def _length(batch: Batch) -> Float[Tensor, " B"]:
    """The true length where it is known; else up to the last token that is not 0."""
    if "lengths" in batch.given:
        return batch.given["lengths"].double().reshape(-1).cpu()
    place = torch.arange(1, batch.x.shape[1] + 1)
    return ((batch.x.cpu() != 0) * place).amax(1).double()


def _true_length(batch: Batch) -> Float[Tensor, " B"]:
    known = "lengths" in batch.given
    return batch.given["lengths"].double().reshape(-1).cpu() if known else torch.zeros(len(batch)).double()


def _spread(batch: Batch) -> Float[Tensor, " B"]:
    return _flat(batch).std(1, correction=0)


def _mean(batch: Batch) -> Float[Tensor, " B"]:
    return _flat(batch).mean(1)


MEASURES: Mapping[str, Mapping[str, Callable[[Batch], Tensor]]] = {
    "text": {"length": _length},
    "image": {"mean brightness": _mean, "contrast": _spread},
    "wave": {"loudness": _spread},
    "frames": {"loudness": _mean, "length": _true_length},
}


def _of_rows(blocks: list[Block]) -> Mapping[str, Callable[[Batch], Tensor]]:
    """The mean and the norm of a row whose columns are on one scale."""
    moments = Moments()
    for block in blocks:
        moments.add(_flat(block.batch).nan_to_num())
    scale = moments.variance.sqrt()

    def scaled(batch: Batch) -> Tensor:
        return (_flat(batch).nan_to_num() - moments.mean) / torch.where(scale > 0, scale, 1.0)

    return {"row mean": lambda batch: scaled(batch).mean(1), "row norm": lambda batch: scaled(batch).norm(dim=1)}
