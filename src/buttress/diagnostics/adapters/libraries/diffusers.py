"""Autoencoders of diffusers: those whose ``encode`` gives a normal (AutoencoderKL), and VQModel.

They bring no likelihood, so it must be named. For latent diffusion they are trained with a weight of about 1e-6 on the
rate; hand it over as ``beta`` where it is known.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from buttress.diagnostics.adapters.library_model import LibraryModel, coded, first, named, real
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.protocol import Batches

__all__ = ["adapt"]


def adapt(model: Any, batches: Batches, likelihood: str | None, variance: float | None) -> LibraryModel | None:
    """An autoencoder of diffusers; None where it is none of those known.

    Args:
        model: Such as AutoencoderKL or VQModel.
        batches: Images as the model was trained on, mostly from -1 to 1.
        likelihood: Must be named.
        variance: Of "gaussian".

    Errors:
        ValueError: No likelihood is named.

    Example:
        >>> import torch
        >>> adapt(torch.nn.Linear(2, 2), [], None, None) is None
        True
    """
    if not all(callable(getattr(model, name, None)) for name in ("encode", "decode")):
        return None
    name = f"diffusers' {type(model).__name__}"
    with evaluating(model):
        told = model.encode(first(model, batches))
    if hasattr(told, "latent_dist"):

        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            found = model.encode(x).latent_dist
            return found.mean, found.std

        score = named(model, likelihood), variance
        return LibraryModel(real(model, batches, encode, lambda z: model.decode(z).sample, *score, name))
    if hasattr(told, "latents") and hasattr(getattr(model, "quantize", None), "n_e"):
        score = named(model, likelihood), variance
        codes, decoded = (lambda x: _codes(model, x)), (lambda x, z: _decoded(model, z))
        return LibraryModel(coded(model, batches, codes, decoded, int(model.quantize.n_e), *score, name))
    return None


def _codes(model: Any, x: Tensor) -> Tensor:
    """The codes of some images, (B, H, W, 1)."""
    latents = model.encode(x).latents
    found: Tensor = model.quantize(latents)[2][2]
    return found.reshape(len(latents), *latents.shape[2:], 1)


def _decoded(model: Any, z: Tensor) -> Tensor:
    """Reconstructions from codes (N, H, W, 1)."""
    vectors = model.quantize.embedding(z[..., 0]).movedim(-1, 1)
    quantised = model.post_quant_conv(vectors)
    found: Tensor = model.decoder(quantised, vectors if model.config.norm_type == "spatial" else None)
    return found
