"""What the recipes of several trials share: a course of training by their settings, and the VAE of sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe, Training
from buttress.data.opened import opened
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.posteriors.gaussian import GaussianPosterior

__all__ = ["course", "sentence_vae"]


@runtime_checkable
class _Course(Protocol):
    """The settings of a trial that say how it trains."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def seed(self) -> int: ...


def course(trial: _Course, looks: int, saves: int | None = None, **more: Any) -> Training:
    """Training by the settings of a trial.

    Args:
        trial: Its steps, batch size, learning rate and first seed.
        looks: How often held-out data are looked at.
        saves: How often a checkpoint is made; None for at every look.
        more: Further settings of training.

    Example:
        >>> from buttress.experiments.papers.bowman2016 import Bowman2016
        >>> course(Bowman2016(steps=100), looks=10, saves=2).checkpoint_every
        50
    """
    every = max(1, trial.steps // looks)
    return Training(
        trial.steps,
        trial.batch_size,
        trial.learning_rate,
        seed=trial.seed,
        validate_every=every,
        checkpoint_every=every * (1 if saves is None else max(1, looks // saves)),
        **more,
    )


def sentence_vae(data: Data, sizes: tuple[int, int, int], training: Training, dropout: float = 0.0) -> Recipe:
    """The VAE of Bowman et al. 2016: an LSTM reads a sentence, another writes it, q and p are normal.

    Args:
        data: Sentences.
        sizes: Of a word's vector, of both LSTMs' states, and of z.
        training: How long and how fast.
        dropout: Of the decoder.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> sentence_vae(LstmText(), (8, 16, 2), Training()).decoder.hidden
        16
    """
    embedding, hidden, latents = sizes
    return replace(
        baseline(data, opened(data).spec),
        encoder=RecurrentEncoder(embedding, hidden),
        posterior=GaussianPosterior(latents),
        decoder=RecurrentDecoder(embedding, hidden, dropout=dropout),
        training=training,
    )
