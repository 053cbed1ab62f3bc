"""Pooling: h is made of all states of the encoder, not of the last one, which forgets long sentences."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.encoders.recurrent import Pooling, RecurrentEncoder


@remedy(family="enhance dispersion of features", source="Long et al. 2020", kinds=("text",))
def pooled_encoder(recipe: Recipe, pooling: Pooling = "max") -> Recipe:
    """Let every token speak in the encoder's features: pool its states instead of taking the last.

    Args:
        recipe: The recipe to change.
        pooling: "max", "mean" or "abs" (largest without its sign) of the states at true tokens.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec
        >>> recipe = baseline(LstmText(), DataSpec("text", (11,), 1004))
        >>> recipe.encoder.pooling, pooled_encoder(recipe).encoder.pooling
        ('last', 'max')
    """
    if not isinstance(recipe.encoder, RecurrentEncoder):
        raise DoesNotFit(f"pooled_encoder pools the states of a recurrent encoder, and this is {recipe.encoder.name()}")
    if recipe.encoder.pooling == pooling:
        raise DoesNotFit(f"pooled_encoder: the encoder's pooling is {pooling!r} already")
    return replace(recipe, encoder=replace(recipe.encoder, pooling=pooling))
