"""Aggressive training: the inference network is brought up to date before every step of the decoder."""

from __future__ import annotations

from dataclasses import replace

from buttress.algorithms.aggressive import Aggressive
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.decoders._sentences import SentenceDecoder


@remedy(
    family="tweak the learning",
    source="He et al. 2019",
    takes={"algorithm": "joint"},
    cures=("inference lags",),
    rank=1,
)
def aggressive(recipe: Recipe, max_inner: int = 100) -> Recipe:
    """Train the encoder to convergence between steps of the decoder, until mutual information stops rising.

    Args:
        recipe: The recipe to change.
        max_inner: Most encoder steps for one decoder step.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> aggressive(recipe, max_inner=5).algorithm
        Aggressive(max_inner=5, window=15, patience=1)
    """
    text = isinstance(recipe.decoder, SentenceDecoder)
    paper = {"window": 15, "patience": 1} if text else {"window": 10, "patience": 5}
    return replace(recipe, algorithm=Aggressive(max_inner=max_inner, **paper))
