"""The model and the data of a diagnosis, whatever they came as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn

from buttress.diagnostics.adapters.foreign import foreign
from buttress.diagnostics.adapters.loaders import Loaded, loaded, with_conditions
from buttress.diagnostics.adapters.modules import reconstructing
from buttress.diagnostics.adapters.signatures import takes_condition
from buttress.diagnostics.check_data import check_batches
from buttress.diagnostics.estimators.probe import class_numbers
from buttress.diagnostics.no_model import as_came, refuse_class
from buttress.diagnostics.protocol import ARGUMENTS, Batches, Conditional

__all__ = ["Adapted", "adapted"]

CALLABLES = "an Adapter of posterior, prior and log_likelihood"


@dataclass(frozen=True)
class Adapted:
    """A model that keeps the protocol, and data in batches.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        labels: Class of each example, in any form, or None.
        named: Whether the user handed the labels over, so that wrong ones are refused and not left aside.
        notes: What a reader must know.
        beta: Weight of the rate in the loss of the model's library; None where it has none.
        forward: The module, where its ``forward`` returns (recon, mu, logvar) and was read.
        library: The module, where it was read as one of a library.
        names: What the data call "x" and "label".
    """

    model: Any
    batches: Batches
    labels: Any = None
    named: bool = False
    notes: tuple[str, ...] = ()
    beta: float | None = None
    forward: nn.Module | None = None
    library: nn.Module | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def numbers(self, n: int) -> Int[Tensor, " N"] | None:
        """The labels as class numbers of ``n`` examples; None where there are none.

        Errors:
            ValueError: The user's labels are no class numbers.
        """
        if self.labels is None:
            return None
        try:
            return class_numbers(self.labels, n)
        except ValueError:
            if self.named:
                raise
            return None


def adapted(model: Any, data: Any, likelihood: str | None, variance: float | None, labels: Any) -> Adapted:
    """Make a model and data of what a user has.

    Args:
        model: Keeps the protocol, or a module whose ``forward`` returns a reconstruction.
        data: Batches, a tensor, an array, a data set, or a loader.
        likelihood: Of the reconstruction; None where the model keeps the protocol.
        variance: Of the "gaussian" likelihood.
        labels: Class of each example, or None to take those of the data.

    Errors:
        ValueError: They are nothing that can be measured.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> found = adapted(model, torch.zeros(500, 3), None, None, None)
        >>> found.model is model, len(found.batches)
        (True, 2)
    """
    if data is None:
        raise ValueError("got no held-out data; hand over a list of batches, a tensor, an array or a loader")
    refuse_class(model)
    came = loaded(data)
    keeps = all(callable(getattr(model, name, None)) for name in ARGUMENTS)
    if keeps and likelihood is None:
        return _with_labels(model, came, bool(Conditional(model).takes), labels)
    if not isinstance(model, nn.Module) and not any(callable(getattr(model, name, None)) for name in ARGUMENTS):
        raise ValueError(f"the model is {as_came(model)}, or {CALLABLES}")
    if not isinstance(model, nn.Module):
        return Adapted(model, came.batches, labels, labels is not None)
    check_batches(came.batches)
    if (known := foreign(model, with_conditions(came), likelihood, variance)) is not None:
        came = came if known.batches is None else Loaded(known.batches, ready=True)
        found = _with_labels(known.adapter, came, False, labels)
        return replace(found, beta=known.beta, library=model)
    found = _with_labels(model, came, takes_condition(model), labels)
    own = reconstructing(model, found.batches, likelihood, variance, came.names)
    notes = (*found.notes, *own.notes)
    return replace(found, model=own, notes=notes, forward=model, names=came.names)


def _with_labels(model: Any, came: Loaded, conditional: bool, labels: Any) -> Adapted:
    """Labels of the data go to a model that takes a condition, and to the probe of z otherwise."""
    notes: Sequence[str] = getattr(model, "notes", ()) if not isinstance(model, nn.Module) else ()
    if came.labels is None or (conditional and not came.ready):
        batches = with_conditions(came) if conditional else came.batches
        return Adapted(model, batches, labels, labels is not None, tuple(notes))
    return Adapted(model, came.batches, came.labels if labels is None else labels, labels is not None, tuple(notes))
