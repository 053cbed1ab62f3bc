r"""Which remedies keep z in use in a sentence VAE that has converged, and at what price?

The LSTM VAE of Bowman et al. 2016 as He et al. 2019 and Li et al. 2019 train it: SGD with a rate of 1 that is
multiplied by 0.3 wherever held-out data are no better, dropout in the decoder, until three validations in a row are no
better or the steps are spent; the best model is kept. Validations read a quarter of the held-out sentences, the table
the others. Where a paper anneals, so does the arm, over the same share of the steps. No arm's settings were searched
for: those of the remedies are their defaults, but for floors and targets, which are made equal (4 nats), and encoder
steps of ``aggressive``, which are cut.

Deviations: smaller LSTMs, a vocabulary of 3,000, and fewer sentences by default; one layer of dropout at the decoder's
output and input; the word vectors of encoder and decoder are not shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from buttress.core import Data
from buttress.core.recipe import Recipe, Training
from buttress.data.python_docs import PythonDocs
from buttress.experiments.papers._catalogue import Arms, CatalogueTrial
from buttress.experiments.papers._recipes import sentence_vae

__all__ = ["SentenceRemedies"]

RAMP = "kl_annealing:fraction=0.25"
FLOOR = 4.0
"""Nats under which the rate is free, and the rate that is aimed at."""


@dataclass(frozen=True, kw_only=True)
class SentenceRemedies(CatalogueTrial):
    """Sixteen remedies on one LSTM VAE of sentences, at convergence: what z carries, and its price in nats and time.

    Args:
        data: Sentences; by default those of Python's documentation, which are few.
        embedding: Size of a word's vector.
        hidden: Units of both LSTMs.
        latents: Dimensions of z.
        dropout: Of the decoder.
        steps: Most training steps of each run.
        batch_size: Sentences in a step.
        learning_rate: Of SGD, at the beginning.
        validate_every: Steps between validations.
        max_inner: Most encoder steps before a decoder step of ``aggressive``.
        refine_steps: Of ``semi_amortized``.
        seed: The first one.
        seeds: How many.
        only: Names of the arms that are trained, beside ``none``; () for all.

    Example:
        >>> arms = SentenceRemedies().arms
        >>> len(arms.all), arms.cheap["free bits"]
        (16, 'kl_annealing:fraction=0.25+free_bits:per_group=0.25')
    """

    effort: ClassVar[Mapping[str, Any]] = {"nll_samples": 25, "nll_examples": 500, "gap_steps": 20, "gap_examples": 60}

    data: Data = field(default_factory=PythonDocs)
    embedding: int = 64
    hidden: int = 128
    latents: int = 16
    dropout: float = 0.5
    steps: int = 6_000
    batch_size: int = 32
    learning_rate: float = 1.0
    validate_every: int = 500
    max_inner: int = 30
    refine_steps: int = 2

    @classmethod
    def full(cls) -> SentenceRemedies:
        """The sizes of He et al. 2019 for short sentences; 100,000 sentences go into ``data``."""
        return cls(
            embedding=512, hidden=1024, latents=32, steps=150_000, validate_every=3_125, max_inner=100, refine_steps=20
        )

    @property
    def arms(self) -> Arms:
        """What is compared."""
        return Arms(
            cheap={
                "none": "none",
                "annealing": RAMP,
                "cyclical annealing": "cyclical_annealing",
                "word dropout": f"{RAMP}+word_dropout",
                "no inputs": f"{RAMP}+inputless_decoder",
                "free bits": f"{RAMP}+free_bits:per_group={FLOOR / self.latents:g}",
                "pooled encoder": f"{RAMP}+pooled_encoder",
                "cosine penalty": f"{RAMP}+cosine_regularization",
                "delta-VAE": "delta_vae",
                "batch norm": f"{RAMP}+batch_norm",
                "pretraining and floor": f"pretrained_autoencoder:first=0.2:ramp=0.2:target={FLOOR:g}",
                "target rate": f"target_rate:target={FLOOR:g}",
                "vector quantised": "vector_quantized",
                "discretised bottleneck": "discretized_bottleneck",
            },
            dear={
                "aggressive": f"{RAMP}+aggressive:max_inner={self.max_inner}",
                "semi-amortised": f"{RAMP}+semi_amortized:steps={self.refine_steps}:antithetic=false",
            },
        )

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        training = Training(
            self.steps,
            self.batch_size,
            self.learning_rate,
            optimizer="sgd",
            precision="bf16-mixed",
            seed=self.seed,
            validate_every=self.validate_every,
            checkpoint_every=self.validate_every,
            patience=3,
            decay=0.3,
            validation=0.25,
        )
        return sentence_vae(self.data, (self.embedding, self.hidden, self.latents), training, self.dropout)
