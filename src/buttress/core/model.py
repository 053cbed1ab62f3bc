"""A latent-variable model: four parts wired together.

It satisfies the protocol of :mod:`buttress.diagnostics` (``posterior``, ``prior``, ``log_likelihood``), and its
``forward`` is the record that objectives read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import DataSpec, Decoder, Encoder, Likelihood, LikelihoodModule, Posterior, Prior, Space
from buttress.core.records import Latent, Terms
from buttress.nn.layers import full

__all__ = ["LatentVariableModel", "with_penalty"]


class LatentVariableModel(nn.Module):
    """encoder -> posterior -> z -> decoder, with a prior over z.

    Args:
        spec: What the parts must know about the data.
        encoder: x -> h.
        posterior: h -> q(z|x).
        prior: p(z).
        decoder: z -> p(x|z).
        likelihood: The family of p(x|z).

    ``groups`` are the names of the G groups that the rate is told of: the posterior's, or one under a prior that does
    not factorise.

    Errors:
        ValueError: A part does not fit the kind of data.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> spec = DataSpec("table", (3,))
        >>> model = baseline(LinearGaussianData(dim=3), spec).model(spec)
        >>> terms = model(torch.zeros(5, 3), samples=2)
        >>> terms.distortion.shape, terms.latent.rate.shape  # (S, B), and (B, G) where it is closed form
        (torch.Size([2, 5]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        spec: DataSpec,
        encoder: Encoder,
        posterior: Posterior,
        prior: Prior,
        decoder: Decoder,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        for part in (encoder, prior, decoder, likelihood):
            if spec.kind not in part.kinds:
                raise ValueError(
                    f"the {part.name()} {_room(part)} does not fit {spec.kind} data; it fits {', '.join(part.kinds)}"
                )
        if posterior.discrete != prior.discrete:
            names = {True: "integers", False: "real numbers"}
            raise ValueError(
                f"the {posterior.name()} posterior gives {names[posterior.discrete]}, and the {prior.name()} prior is "
                f"over {names[prior.discrete]}; take two of a kind"
            )
        self.spec = spec
        reading = likelihood.build(spec)
        read = _as_read(spec, reading)
        self.encoder = encoder.build(read)
        self.encoder.cosine = encoder.cosine
        self.inference = posterior.build(self.encoder.features, self.encoder.places)
        self.prior = prior.build(self.inference.space)
        self.decoder = decoder.build(spec, self.inference.z_shape, reading)
        self.groups: tuple[str, ...] = self.inference.groups if prior.factorised else ("z",)
        self.prior.bind(self.posterior_of_features, reading, read)

    @property
    def likelihood(self) -> nn.Module:
        """The decoder's likelihood."""
        return self.decoder.likelihood

    @property
    def space(self) -> Space:
        """Where the latent variable lives."""
        return self.inference.space

    def observe(self, raw: Tensor) -> Tensor:
        """From stored data to x, the variable that is modelled (may binarise or dequantise at random)."""
        return self.decoder.likelihood.observe(raw)

    def encode(self, x: Tensor) -> Float[Tensor, "B *places F"]:
        """The features h of every example, at all places where there are several."""
        return self.encoder(self.decoder.likelihood.features(x))

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x) of every example: batch shape (B,), event shape that of the latent variable."""
        return self.inference(self.encode(x))

    def posterior_of_features(self, features: Tensor) -> Distribution:
        """The same, of x as the likelihood's ``features`` gives it."""
        return self.inference(self.encoder(features))

    def log_likelihood(self, x: Tensor, z: Shaped[Tensor, "S B *event"]) -> Float[Tensor, "S B"]:
        """log p(x|z) in nats for S latents of each of B examples."""
        return full(self.decode(z).log_prob(x))

    def decode(self, z: Shaped[Tensor, "*rest"]) -> Distribution:
        """p(x|z) for values of the latent variable (*batch, *event): batch shape ``batch``."""
        return self.decoder(self.inference.embed(z))

    def forward(self, x: Tensor, samples: int = 1, prior: Distribution | None = None) -> Terms:
        """The terms of a batch, with ``samples`` samples of z per example; under another ``prior`` if one is given."""
        h = self.encode(x)
        latent = self.inference.latent(h, self.prior() if prior is None else prior, samples)
        distortion = -full(self.decoder(latent.z).log_prob(x))
        return Terms(distortion, with_penalty(latent, self.encoder.penalty(h)))  # last: processes may wait in it

    @torch.no_grad()
    def sample(self, count: int, prior: Distribution | None = None) -> Tensor:
        """``count`` examples: z from the prior (or from another that is given), x from the decoder."""
        return self.decode((self.prior() if prior is None else prior).sample((count,))).sample()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """x -> a sample of q(z|x) -> a sample of p(x|z)."""
        return self.decode(self.posterior(x).sample()).sample()


def _as_read(spec: DataSpec, likelihood: LikelihoodModule) -> DataSpec:
    """The data as ``likelihood.features`` gives it to a network."""
    if spec.kind != "image" or likelihood.feature_channels == spec.shape[0]:
        return spec
    return replace(spec, shape=(likelihood.feature_channels, *spec.shape[1:]), mean=None, std=None)


def with_penalty(latent: Latent, penalty: Mapping[str, Float[Tensor, " B"]]) -> Latent:
    """The record with further penalties of each example, the same for all of its samples.

    Example:
        >>> latent = Latent(torch.zeros(2, 1, 3), torch.zeros(2, 1, 3))  # two samples of one example
        >>> with_penalty(latent, {"cosine": torch.tensor([0.7])}).penalty["cosine"]
        tensor([[0.7000],
                [0.7000]])
    """
    if not penalty:
        return latent
    shape = latent.log_ratio.shape[:2]
    return replace(latent, penalty={**latent.penalty, **{k: v.expand(shape) for k, v in penalty.items()}})


def _room(part: object) -> str:
    """The room of a part in the singular, as users call it."""
    return type(part).__mro__[1].__name__.lower()
