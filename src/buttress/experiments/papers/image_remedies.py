r"""Which remedies keep z in use beside a PixelCNN that sees the whole image, once it has converged, and at what price?

Binary images, a gated PixelCNN whose window holds the whole image, and nothing that weakens what z says to it. Adam
with a rate that is multiplied by 0.3 wherever held-out data are no better, until three validations in a row are no
better or the steps are spent; the best model is kept. Validations read a quarter of the held-out images, the table the
others. No arm's settings were searched for: those of the remedies are their defaults, but for floors and targets, which
are made equal (8 nats), and the dear remedies' inner steps, which are cut.

Deviations from the literature's decoders: few channels and layers, some passes over the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe, Training
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.pixelcnn import PixelCNN
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.papers._catalogue import Arms, CatalogueTrial
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.posteriors.gaussian import GaussianPosterior

__all__ = ["ImageRemedies"]

FLOOR = 8.0
"""Nats under which the rate is free, and the rate that is aimed at."""


@dataclass(frozen=True, kw_only=True)
class ImageRemedies(CatalogueTrial):
    """Ten remedies and a ladder of windows on one PixelCNN VAE, at convergence: what z carries, and its price.

    Args:
        data: Images; grey ones are binarised afresh at every presentation.
        widths: Channels of the encoder's maps.
        latents: Dimensions of z.
        layers: Of the decoder.
        channels: Of the decoder's horizontal stack.
        windows: Narrower windows, for the ladder.
        steps: Most training steps of each run.
        batch_size: Images in a step.
        learning_rate: Of Adam, at the beginning.
        precision: Of floats in training, as ``Training`` has it.
        validate_every: Steps between validations.
        max_inner: Most encoder steps before a decoder step of ``aggressive``.
        refine_steps: Of ``semi_amortized``.
        seed: The first one.
        seeds: How many.
        only: Names of the arms that are trained, beside ``none``; () for all.

    Example:
        >>> arms = ImageRemedies().arms
        >>> len(arms.all), arms.cheap["window 5"]
        (13, 'local_decoder:field=5')
    """

    effort: ClassVar[Mapping[str, Any]] = {"nll_samples": 50, "nll_examples": 300, "gap_steps": 30, "gap_examples": 50}

    data: Data = field(default_factory=lambda: Mnist5k(held_out=0.2))
    widths: tuple[int, ...] = (16, 32)
    latents: int = 16
    layers: int = 6
    channels: int = 16
    windows: tuple[int, ...] = (3, 5, 9)
    steps: int = 4_000
    batch_size: int = 16
    learning_rate: float = 4e-3
    precision: Literal["32-true", "bf16-mixed", "auto"] = "bf16-mixed"
    validate_every: int = 400
    max_inner: int = 20
    refine_steps: int = 2

    @classmethod
    def full(cls) -> ImageRemedies:
        """A deeper and wider decoder and ten times as many steps; binarised MNIST goes into ``data``."""
        return cls(widths=(32, 64), latents=32, layers=12, channels=32, steps=50_000, max_inner=100, refine_steps=10)

    @property
    def arms(self) -> Arms:
        """What is compared."""
        return Arms(
            cheap={
                "none": "none",
                "annealing": "kl_annealing:fraction=0.3",
                "free bits": f"free_bits:per_group={FLOOR / self.latents:g}",
                **{f"window {width}": f"local_decoder:field={width}" for width in self.windows},
                "VLAE": f"vlae:total={FLOOR:g}",
                "vector quantised": "vector_quantized",
                "associative prior": "associative_prior",
                "delta-VAE": "delta_vae",
                "target rate": f"target_rate:target={FLOOR:g}",
            },
            dear={
                "aggressive": f"aggressive:max_inner={self.max_inner}",
                "semi-amortised": f"semi_amortized:steps={self.refine_steps}:antithetic=false",
            },
        )

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        training = Training(
            self.steps,
            self.batch_size,
            self.learning_rate,
            seed=self.seed,
            precision=self.precision,
            validate_every=self.validate_every,
            checkpoint_every=self.validate_every,
            patience=3,
            decay=0.3,
            validation=0.25,
        )
        return replace(
            baseline(self.data, opened(self.data).spec),
            encoder=ConvEncoder(self.widths),
            posterior=GaussianPosterior(self.latents),
            decoder=PixelCNN(None, self.layers, self.channels),
            likelihood=Bernoulli(),
            training=training,
        )
