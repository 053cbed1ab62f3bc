r"""Models of pythae: those with an encoder that gives ``embedding`` and ``log_covariance``, and VQVAE.

The likelihood is that of the library's loss: "mse" is half the squared error, summed, so the Gaussian of variance 1
(``VAE.get_nll`` takes it so too); "bce" is Bernoulli. VQVAE minimises the squared error without the half, the Gaussian
of variance 1/2. A model with a ``beta`` brings it as the weight of the rate, unless its ``beta`` weighs something else.

Models whose q is no normal distribution, or whose prior is not N(0, I), are refused: their numbers would be those of
another model.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from buttress.diagnostics.adapters.library_model import LibraryModel, coded, first, named, real
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.protocol import Batches

__all__ = ["adapt"]

LIKELIHOODS: dict[str, tuple[str, float | None]] = {"mse": ("gaussian", 1.0), "bce": ("bernoulli", None)}
OTHER_Q = "wanted a normal q and the prior N(0, I); hand it over as an Adapter of three callables"
REFUSED = {
    "VAE_IAF": "whose q is a flow",
    "VAE_LinNF": "whose q is a flow",
    "HVAE": "whose q is moved by Hamiltonian steps",
    "RHVAE": "whose q is moved by Hamiltonian steps",
    "PoincareVAE": "whose z lives on a Poincare ball",
    "VAMP": "whose prior is a mixture of its q",
}
NO_LIKELIHOOD = ("VAEGAN", "MSSSIM_VAE")
"""Those whose loss of a reconstruction is no log-likelihood."""
NO_WEIGHT = ("BetaTCVAE", "DisentangledBetaVAE", "Adversarial_AE")
"""Those in whose loss the rate has no weight of its own."""


def adapt(model: Any, batches: Batches, likelihood: str | None, variance: float | None) -> LibraryModel | None:
    """A model of pythae, trained or not; None where it is none of those known.

    Args:
        model: Such as pythae's VAE, BetaVAE or VQVAE.
        batches: x as the model was trained on, without its ``{"data": ...}``.
        likelihood: None for that of the model's loss.
        variance: Of "gaussian".

    Errors:
        ValueError: Its q or prior is another one, or its loss is no likelihood and none is named.

    Example:
        >>> adapt(nn.Linear(2, 2), [], None, None) is None
        True
    """
    if not all(isinstance(getattr(model, name, None), nn.Module) for name in ("encoder", "decoder")):
        return None
    name = f"pythae's {type(model).__name__}"
    if hasattr(model, "quantizer"):
        score = ("gaussian", 0.5) if likelihood is None else (likelihood, variance)
        classes = int(model.quantizer.num_embeddings)
        return LibraryModel(
            coded(model, batches, lambda x: _codes(model, x), lambda x, z: _decoded(model, x, z), classes, *score, name)
        )
    kind = _kind(model)
    if kind in REFUSED:
        raise ValueError(f"the model is {name}, {REFUSED[kind]}; {OTHER_Q}")
    if kind in NO_LIKELIHOOD:
        likelihood = named(model, likelihood)
    with evaluating(model):
        told = model.encoder(first(model, batches))
    if not (hasattr(told, "embedding") and hasattr(told, "log_covariance")):
        return None

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        found = model.encoder(x)
        return found.embedding, (0.5 * found.log_covariance).exp()

    loss = getattr(getattr(model, "model_config", None), "reconstruction_loss", "mse")
    score = LIKELIHOODS[loss] if likelihood is None else (likelihood, variance)
    taken = f"{name}: its loss {loss!r} was taken for the likelihood" if likelihood is None else name
    adapter = real(model, batches, encode, lambda z: model.decoder(z).reconstruction, *score, taken)
    return LibraryModel(adapter, _weight(model, kind))


def _kind(model: Any) -> str:
    """The class of the library that a model is of, or is derived from."""
    own = (base for base in type(model).__mro__ if base.__module__.partition(".")[0] == "pythae")
    return next(own, nn.Module).__name__


def _weight(model: Any, kind: str) -> float | None:
    """The weight of the rate in the loss; None where it has none of its own."""
    if kind in NO_WEIGHT:
        return None
    if kind == "CIWAE":  # its beta mixes two bounds
        return 1.0
    beta = 1.0 - model.alpha if kind == "INFOVAE_MMD" else getattr(model, "beta", 1.0)
    return float(beta) if isinstance(beta, int | float) and beta >= 0 else None


def _embedded(model: Any, x: Tensor) -> tuple[Tensor, bool]:
    """What the quantiser is given, (B, H, W, D), and whether the encoder gave a row of numbers."""
    found: Tensor = model.encoder(x).embedding
    flat = found.dim() == 2
    return (found.reshape(len(found), 1, 1, -1) if flat else found).permute(0, 2, 3, 1), flat


def _codes(model: Any, x: Tensor) -> Tensor:
    """The codes of some examples, (B, H, W, 1)."""
    found: Tensor = model.quantizer(_embedded(model, x)[0]).quantized_indices
    return found.reshape(len(x), *found.shape[2:], 1)


def _decoded(model: Any, x: Tensor, z: Tensor) -> Tensor:
    """Reconstructions from codes (N, H, W, 1)."""
    held: Any = model.quantizer.embeddings
    table: Tensor = held.weight if isinstance(held, nn.Embedding) else held
    vectors = table[z[..., 0]].permute(0, 3, 1, 2)
    flat = _embedded(model, x[:1])[1]
    found: Tensor = model.decoder(vectors.reshape(len(z), -1) if flat else vectors).reconstruction
    return found
