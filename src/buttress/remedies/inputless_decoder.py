"""An inputless decoder: it never reads the words before, so that all it knows of a sentence comes from z."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy


@remedy(
    family="weaken the decoder",
    source="Bowman et al. 2016",
    takes={"decoder.word_dropout": 0.0},
    needs={"decoder": ("recurrent", "transformer")},
    cures=("the model ignores z",),
    kinds=("text",),
)
def inputless_decoder(recipe: Recipe) -> Recipe:
    """Hide every word that the decoder would read, in training and in evaluation.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> inputless_decoder(recipe).decoder.word_dropout
        1.0
    """
    return replace(recipe, decoder=recipe.decoder.replace(word_dropout=1.0))
