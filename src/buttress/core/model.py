"""A latent-variable model: its parts wired together.

It satisfies the protocol of :mod:`buttress.diagnostics` (``posterior``, ``prior``, ``log_likelihood``), and its
``forward`` is the record that objectives read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core import (
    EMPTY,
    Batch,
    Condition,
    Contrast,
    Critic,
    CriticModule,
    DataSpec,
    Decoder,
    DecoderModule,
    Encoder,
    Given,
    Layout,
    Likelihood,
    LikelihoodModule,
    Posterior,
    Prior,
    Space,
)
from buttress.core.autoregressive import AutoregressiveModule
from buttress.core.part import DataPart
from buttress.core.records import Latent, Terms
from buttress.nn.layers import full
from buttress.nn.quantized.apply import quantize
from buttress.nn.quantized.ranges import Ranges

__all__ = ["LatentVariableModel", "with_penalty"]


class LatentVariableModel(nn.Module):
    """encoder -> posterior -> z -> decoder or critic, with a prior over z; each may read what is given beside x.

    Args:
        spec: What the parts must know about the data.
        encoder: x -> h.
        posterior: h -> q(z|x).
        prior: p(z).
        decoder: z -> p(x|z).
        likelihood: The family of p(x|z).
        condition: What is given beside x -> what posterior and decoder read; None for an unconditional model.
        critic: What stands where the decoder stands; None, or one that builds nothing, for the decoder.

    ``autoregressive`` says whether the decoder is. ``groups`` are the names of the G groups for which the rate is
    reported: the posterior's, or one under a prior that does not factorise.

    Errors:
        ValueError: A part does not fit the data, or the parts do not fit each other.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> spec = DataSpec(Layout.table(3))
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
        condition: Condition | None = None,
        critic: Critic | None = None,
    ) -> None:
        super().__init__()
        _check_fit(spec.layout, encoder=encoder, prior=prior, likelihood=likelihood)
        _check_alike(posterior, prior)
        self.spec = spec
        reading = likelihood.build(spec)
        read = _as_read(spec, reading)
        self.condition = None if condition is None else condition.build(spec)
        beside = 0 if self.condition is None else self.condition.features
        inferred = beside if self.condition is not None and self.condition.inference else 0
        if inferred and prior.of_posterior:
            raise ValueError(
                f"the {prior.name()} prior is a mixture of q(z|x), and in a conditional model q reads more than x; "
                "choose another prior, or condition none"
            )
        self.encoder = encoder.build(read)
        self.encoder.cosine = encoder.cosine
        _check_read(encoder, posterior, self.encoder.features + inferred)
        self.inference = posterior.build(self.encoder.features + inferred, self.encoder.places)
        self.prior = prior.build(self.inference.space)
        self.decoder = self._built(decoder, critic, reading, beside)
        self.autoregressive = decoder.autoregressive and not isinstance(self.decoder, CriticModule)
        self.groups: tuple[str, ...] = self.inference.groups if prior.factorised else ("z",)
        self.prior.bind(self.posterior_of_features, reading, read)
        self.prior.within(self.codes_inside)
        self.ranges: Ranges | None = None

    def _built(
        self, decoder: Decoder, critic: Critic | None, reading: LikelihoodModule, beside: int
    ) -> DecoderModule | CriticModule:
        """The decoder, which reads what is given behind each z, or the critic in its place."""
        *places, size = self.inference.z_shape
        if critic is not None:
            _check_fit(self.spec.layout, critic=critic)
            if (module := critic.build(self.spec, (*places, size), reading)) is not None:
                reading.requires_grad_(False)  # its density is not used
                return module
        _check_fit(self.spec.layout, decoder=decoder)
        built = decoder.build(self.spec, (*places, size + beside), reading)
        if places and tuple(places) == tuple(self.encoder.places):
            built.spaced(self.encoder.stride)
        return built

    @property
    def likelihood(self) -> LikelihoodModule:
        """The decoder's likelihood; with a critic no more than how x is observed and read."""
        return self.decoder.likelihood

    @property
    def density(self) -> bool:
        """Whether there is a p(x|z): a critic has none."""
        return not isinstance(self.decoder, CriticModule)

    @property
    def space(self) -> Space:
        """Where the latent variable lives."""
        return self.inference.space

    @property
    def reads(self) -> tuple[str, ...]:
        """The conditions that the model reads."""
        readers = (self.condition, self.encoder, self.decoder, self.prior)
        return tuple(dict.fromkeys(name for part in readers for name in getattr(part, "names", ())))

    def observe(self, raw: Tensor) -> Tensor:
        """From stored data to x, the variable that is modelled (may binarise or dequantise at random)."""
        return self.likelihood.observe(raw)

    def encode(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """The features h of every example, at all places where there are several."""
        return self.encoder(self.likelihood.features(x), given)

    def reading(self, x: Tensor, given: Given = EMPTY) -> Float[Tensor, "B *places F"]:
        """What the posterior reads: the features h, and behind them what is given, if it reads that."""
        return self._inferring(self.encode(x, given), given)

    def posterior(self, x: Tensor, given: Given = EMPTY) -> Distribution:
        """q(z|x) of every example: batch shape (B,), event shape that of the latent variable."""
        return self.posterior_of_features(self.likelihood.features(x), given)

    def posterior_of_features(self, features: Tensor, given: Given = EMPTY) -> Distribution:
        """The same, of x as the likelihood's ``features`` gives it."""
        return self._infer(features, given)[1]

    def infer(self, x: Tensor, given: Given = EMPTY) -> tuple[Float[Tensor, "B *places F"], Distribution]:
        """The encoder's features h of every example, on which penalties are put, and q(z|x) made of them."""
        return self._infer(self.likelihood.features(x), given)

    def _infer(self, features: Tensor, given: Given) -> tuple[Float[Tensor, "B *places F"], Distribution]:
        h = self.encoder(features, given)
        return h, self.inference(self._inferring(h, given), self.encoder.valid(features, given))

    def _inferring(self, h: Float[Tensor, "B *places F"], given: Given) -> Float[Tensor, "B *places F2"]:
        """The features that the posterior reads: h, and behind it what is given, if it reads that."""
        reads = self.condition is not None and self.condition.inference
        return self._beside(h, given, first=1) if reads else h

    def log_likelihood(self, x: Tensor, z: Shaped[Tensor, "S B *event"], given: Given = EMPTY) -> Float[Tensor, "S B"]:
        """log p(x|z) in nats for S latents of each of B examples."""
        return full(self.decode(z, given).log_prob(x))

    def decode(self, z: Shaped[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """p(x|z) for values of the latent variable (*batch, *event): batch shape ``batch``."""
        return self._decode(self.inference.embed(z), given)

    def _decode(self, read: Float[Tensor, "*rest"], given: Given) -> Distribution:
        if isinstance(self.decoder, CriticModule):
            raise ValueError(
                "this model has a critic where the decoder stands, so it has no p(x|z) and gives no x for a z; train "
                "one with a decoder (--critic none)"
            )
        lead = read.dim() - len(self.inference.z_shape)
        return self.decoder(self._beside(read, given, lead), given)

    def _beside(self, values: Float[Tensor, "*rest"], given: Given, first: int) -> Float[Tensor, "*rest2"]:
        """Values (*batch, *places, F), with ``first`` dimensions of batch, and behind each what is given."""
        c = None if self.condition is None else self.condition(given)
        if c is None:
            return values
        c = c.view(*c.shape[:1], *[1] * (values.dim() - first - 1), c.shape[-1])
        return torch.cat([values, c.expand(*values.shape[:-1], c.shape[-1]).to(values.dtype)], -1)

    def codes_inside(self, given: Given) -> Bool[Tensor, "B *event"] | None:
        """Which codes of z stand for places within the true lengths that are given beside x; None where all do.

        A sentence's length is part of what is modelled, and no code of it is left out.
        """
        layout = self.spec.layout
        if "lengths" not in given or not layout.lengths or layout.tokens or self.space.classes is None:
            return None
        valid = self.encoder.valid(given["lengths"], given)  # of frames it follows from what is given
        return None if valid is None else self.inference.inside(valid)

    def forward(self, x: Tensor, samples: int = 1, prior: Distribution | None = None, given: Given = EMPTY) -> Terms:
        """The terms of a batch, with ``samples`` samples of z per example; under another ``prior`` if one is given."""
        features = self.likelihood.features(x)
        h, valid = self.encoder(features, given), self.encoder.valid(features, given)
        read = self._inferring(h, given)
        if prior is None and self.training:
            prior = self.prior.beside(lambda: self.inference(read, valid), given)
        prior = self.prior(given) if prior is None else prior
        latent = self.inference.latent(read, prior, samples, valid)
        if len(self.groups) == 1:  # the posterior's groups, under a prior that factorises while the model's does not
            latent = latent.whole()
        distortion = self._distortion(x, latent.z, valid, given)
        return Terms(distortion, with_penalty(latent, self.encoder.penalty(h)))  # last: processes may wait in it

    def after_step(self) -> None:
        """Update statistics that no gradient reaches. Training calls it once after each step."""
        self.inference.after_step()
        self.prior.after_step()
        self.likelihood.after_step()
        if self.ranges is not None:
            self.ranges.after_step()

    def quantize(self, bits: int, after: int, parts: Sequence[str] = ()) -> None:
        """Round the numbers of all layers in place; see :func:`buttress.nn.quantized.apply.quantize`."""
        self.ranges = quantize(self, bits, after, parts)
        for module in self.modules():
            if isinstance(module, AutoregressiveModule) and module.rereads:
                module.generate = module.generate_naively  # type: ignore[method-assign]

    def refresh(self, read: Callable[[], Iterable[Batch]]) -> None:
        """Bring what the prior remembers of the training data up to date; priors that remember nothing read nothing.

        Args:
            read: A pass over all training examples in their order, observed, in batches.
        """
        self.prior.refresh(lambda: (self.posterior(batch.x, batch.given) for batch in read()))

    def _distortion(self, x: Tensor, read: Float[Tensor, "S B *rest"], valid: Tensor | None, given: Given) -> Tensor:
        if isinstance(self.decoder, CriticModule):
            contrast: Contrast = self.decoder(read, valid, given)
            return contrast.distortion
        return -full(self._decode(read, given).log_prob(x))

    def contrast(self, x: Tensor, z: Shaped[Tensor, "S B *event"], given: Given = EMPTY) -> Contrast:
        """What the critic says for S latents of each of B examples.

        Errors:
            ValueError: There is a decoder and no critic.
        """
        if not isinstance(self.decoder, CriticModule):
            raise ValueError("this model has a decoder and no critic; train one with --critic contrastive")
        found: Contrast = self.decoder(
            self.inference.embed(z), self.encoder.valid(self.likelihood.features(x), given), given
        )
        return found

    @torch.no_grad()
    def sample(self, count: int, prior: Distribution | None = None, given: Given = EMPTY) -> Tensor:
        """``count`` examples: z from the prior (or from another that is given), x from the decoder.

        Args:
            count: How many.
            prior: To draw z from; None for the model's own.
            given: The conditions of each, ``count`` rows.
        """
        return self.decode(self.sample_z(count, prior, given), given).sample()

    @torch.no_grad()
    def sample_z(self, count: int, prior: Distribution | None = None, given: Given = EMPTY) -> Tensor:
        """``count`` values of z from the prior, (count, *event)."""
        p = self.prior(given) if prior is None else prior
        return p.sample() if p.batch_shape else p.sample((count,))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, given: Given = EMPTY) -> Tensor:
        """x -> a sample of q(z|x) -> a sample of p(x|z)."""
        return self.decode(self.posterior(x, given).sample(), given).sample()


def _check_fit(layout: Layout, **parts: DataPart) -> None:
    """Refuse parts that can't be used with such data."""
    for role, part in parts.items():
        if why := part.misfit(layout):
            raise ValueError(f"the {part.name()} {role} does not fit {layout.kind} data: {why}; choose another {role}")


def _check_alike(posterior: Posterior, prior: Prior) -> None:
    """Refuse a posterior over codes with a prior over real numbers, or the other way round."""
    if posterior.discrete != prior.discrete:
        names = {True: "codes", False: "real numbers"}
        raise ValueError(
            f"the {posterior.name()} posterior gives {names[posterior.discrete]}, and the {prior.name()} prior is over "
            f"{names[prior.discrete]}; choose two of a kind"
        )


def _check_read(encoder: Encoder, posterior: Posterior, features: int) -> None:
    """Refuse an encoder of which nothing is read, or a posterior that has nothing to read."""
    if posterior.reads != (features > 0):
        what = "has nothing to read" if posterior.reads else "reads nothing"
        instead = "another encoder" if posterior.reads else "--encoder none"
        raise ValueError(
            f"the {posterior.name()} posterior {what}, and the {encoder.name()} encoder gives {features} features; try "
            f"{instead}, or another posterior"
        )


def _as_read(spec: DataSpec, likelihood: LikelihoodModule) -> DataSpec:
    """The data as ``likelihood.features`` gives it to a network."""
    layout = likelihood.feature_layout(spec.layout)
    return spec if layout == spec.layout else replace(spec, layout=layout, mean=None, std=None)


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
