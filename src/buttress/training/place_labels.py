"""What is said at every place of z, for evaluation."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from buttress.core import Examples
from buttress.core.model import LatentVariableModel

__all__ = ["place_labels"]


def place_labels(
    model: LatentVariableModel, examples: Examples, index: Int[Tensor, " N"] | None = None
) -> Int[Tensor, "N P"] | None:
    """The label of each place of z of some examples, at the middle of what it sees; negative where nothing is said.

    Args:
        model: Whose places they are.
        examples: Of the model's data.
        index: Which of them; None for all.

    Returns:
        None where the data do not say what is said when, or z has no places in time.
    """
    seconds, places = model.spec.seconds, model.encoder.places
    if examples.alignment is None or not seconds or len(places) != 1:
        return None
    index = torch.arange(len(examples)) if index is None else index
    return examples.alignment.at(index, torch.arange(places[0]).double() * model.encoder.stride * seconds)
