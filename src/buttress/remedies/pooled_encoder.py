"""Pooling: h is made of all states of the encoder, not of the last one, which forgets long sentences."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.encoders._sentences import Pooling


@remedy(
    family="enhance dispersion of features",
    source="Long et al. 2020",
    takes={"encoder.pooling": "last"},
    needs={"encoder": ("recurrent", "transformer")},
    kinds=("text",),
)
def pooled_encoder(recipe: Recipe, pooling: Pooling = "max") -> Recipe:
    """Make the encoder's features from all of its states, not from the last one alone.

    Args:
        recipe: The recipe to change.
        pooling: "max", "mean" or "abs" (largest without its sign) of the states at true tokens.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> recipe.encoder.pooling, pooled_encoder(recipe).encoder.pooling
        ('last', 'max')
    """
    return replace(recipe, encoder=recipe.encoder.replace(pooling=pooling))
