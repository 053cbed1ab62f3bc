"""Word dropout: the decoder cannot rely on the words before, so it must ask z."""

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
    rank=6,
)
def word_dropout(recipe: Recipe, rate: float = 0.5) -> Recipe:
    """Hide a share of the words that the decoder reads, in training only.

    Args:
        recipe: The recipe to change.
        rate: Probability that an input word is hidden; 1 is the decoder without input, also when evaluated.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> recipe.decoder.word_dropout, word_dropout(recipe, rate=0.25).decoder.word_dropout
        (0.0, 0.25)
    """
    return replace(recipe, decoder=recipe.decoder.replace(word_dropout=rate))
