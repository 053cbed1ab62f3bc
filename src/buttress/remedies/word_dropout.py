"""Word dropout: the decoder cannot rely on the words before, so it must ask z."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy
from buttress.decoders.recurrent import RecurrentDecoder


@remedy(family="weaken the decoder", source="Bowman et al. 2016", kinds=("text",))
def word_dropout(recipe: Recipe, rate: float = 0.5) -> Recipe:
    """Hide a share of the words that the decoder reads, in training only.

    Args:
        recipe: The recipe to change.
        rate: Probability that an input word is hidden; 1 is the decoder without input, also when evaluated.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec
        >>> recipe = baseline(LstmText(), DataSpec("text", (11,), 1004))
        >>> recipe.decoder.word_dropout, word_dropout(recipe, rate=0.25).decoder.word_dropout
        (0.0, 0.25)
    """
    if not isinstance(recipe.decoder, RecurrentDecoder):
        raise DoesNotFit(f"word_dropout hides words from a recurrent decoder, and this one is {recipe.decoder.name()}")
    return replace(recipe, decoder=replace(recipe.decoder, word_dropout=rate))
