"""Any module with one layer of vector-quantize-pytorch in it, whose ``forward(x)`` returns a reconstruction.

The layer is listened to, and where other codes are to be decoded its output is exchanged for theirs while ``forward``
runs. So it does not matter how the module is built around the layer, and a decoder that sees x past the layer is
measured as what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from buttress.diagnostics.adapters.library_model import LibraryModel, coded, first, found_in, named
from buttress.diagnostics.adapters.outputs import RECON
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.protocol import Batches

__all__ = ["adapt"]

PACKAGE = "vector_quantize_pytorch"
BACK = ("get_output_from_indices", "indices_to_codes")
"""Ways of a layer from codes to its output."""


def adapt(model: nn.Module, batches: Batches, likelihood: str | None, variance: float | None) -> LibraryModel | None:
    """A module with a layer such as VectorQuantize, ResidualVQ, GroupedResidualVQ, FSQ or LFQ.

    Args:
        model: Its ``forward(x)`` returns the reconstruction, or a tuple or dict with it.
        batches: Held-out data.
        likelihood: Must be named.
        variance: Of "gaussian".

    Errors:
        ValueError: There are several such layers, its heads share a codebook, its stages differ in size, ``forward``
            returns no reconstruction, or no likelihood is named.

    Example:
        >>> adapt(nn.Linear(2, 2), [], None, None) is None
        True
    """
    layers = list(_outermost(model))
    if not layers or layers[0] is model:
        return None
    if len(layers) > 1:
        raise ValueError(
            f"the model ({type(model).__name__}) has {len(layers)} layers of {PACKAGE}, wanted one; hand it over as an "
            "Adapter of three callables"
        )
    layer = layers[0]
    if getattr(layer, "heads", 1) > 1 and not getattr(layer, "separate_codebook_per_head", True):
        raise ValueError(
            f"the {type(layer).__name__} has heads that share a codebook, and {PACKAGE} has no way from their codes "
            "to its output; wanted separate_codebook_per_head=True, or an Adapter of three callables"
        )
    classes = _classes(layer)
    with evaluating(model):  # in training mode a call would move the codebook
        recon = found_in(model(first(model, batches)), RECON, first(model, batches))
    if recon is None:
        raise ValueError(
            f"forward(x) of {type(model).__name__} returns no tensor of the size of x, wanted the reconstruction, a "
            "tuple with it, or a dict with the name recon"
        )

    def encode(x: Tensor) -> Tensor:
        with _listening(layer) as heard:
            model(x)
        return _rows_first(layer, heard[-1])

    def decode(x: Tensor, z: Tensor) -> Tensor:
        with _exchanging(layer, z):
            found = found_in(model(x), RECON, x)
        assert found is not None  # it was there for the first examples
        return found

    name = f"a module with a {type(layer).__name__} of {PACKAGE}"
    return LibraryModel(coded(model, batches, encode, decode, classes, named(model, likelihood), variance, name))


def _outermost(module: nn.Module) -> Iterator[Any]:
    """The layers of the package that are not part of another."""
    if type(module).__module__.partition(".")[0] == PACKAGE and any(hasattr(module, name) for name in BACK):
        yield module
        return
    for child in module.children():
        yield from _outermost(child)


def _classes(layer: Any) -> int:
    """How many codes each stage has.

    Errors:
        ValueError: Stages have different numbers of them.
    """
    whole = layer.rvqs[0] if hasattr(layer, "rvqs") else layer
    stages = list(whole.layers) if isinstance(getattr(whole, "layers", None), nn.ModuleList) else [whole]
    sizes = sorted({int(stage.codebook_size) for stage in stages})
    if len(sizes) > 1:
        raise ValueError(
            f"the stages of the {type(layer).__name__} have {', '.join(map(str, sizes))} codes, wanted as many in "
            "each; hand the model over as an Adapter of three callables"
        )
    return sizes[0]


def _rows_first(layer: Any, codes: Tensor) -> Tensor:
    """Codes (B, *places, slots), from what the layer gives."""
    if hasattr(layer, "rvqs"):  # groups come first
        return codes.movedim(0, -2).flatten(-2)
    return codes if _slots(layer) else codes[..., None]


def _as_given(layer: Any, z: Tensor) -> Tensor:
    """The inverse."""
    if hasattr(layer, "rvqs"):
        return z.unflatten(-1, (len(layer.rvqs), -1)).movedim(-2, 0)
    return z if _slots(layer) else z[..., 0]


def _slots(layer: Any) -> bool:
    """Whether the last dimension of the codes runs over stages or heads."""
    heads = getattr(layer, "heads", 1) > 1
    return hasattr(layer, "layers") or heads or bool(getattr(layer, "keep_num_codebooks_dim", False))


@contextmanager
def _listening(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The codes of each call of the layer while the context lasts."""
    heard: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, out: heard.append(out[1]))
    try:
        yield heard
    finally:
        handle.remove()


@contextmanager
def _exchanging(layer: Any, z: Tensor) -> Iterator[None]:
    """The layer gives what belongs to these codes while the context lasts."""
    back = next(getattr(layer, name) for name in BACK if hasattr(layer, name))

    def exchanged(_: nn.Module, __: Any, out: Any) -> Any:
        other = back(_as_given(layer, z))
        if other.shape != out[0].shape:
            other = other.movedim(-1, 1)
        other = other.reshape(out[0].shape).to(out[0])
        return type(out)(other, *out[1:]) if hasattr(out, "_fields") else (other, *out[1:])

    handle = layer.register_forward_hook(exchanged)
    try:
        yield
    finally:
        handle.remove()
