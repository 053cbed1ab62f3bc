"""Dropout in the decoder: what it makes of the x before is unreliable, so that z is worth more."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy


@remedy(
    family="weaken the decoder",
    source="Srivastava et al. 2014 (dropout)",
    takes={"decoder.dropout": 0.0},
    needs={"decoder": ("recurrent", "transformer", "mlp", "conv", "pixelcnn", "pixelsnail", "causal_conv")},
)
def decoder_dropout(recipe: Recipe, rate: float = 0.3) -> Recipe:
    """Zero some of the numbers inside the decoder, in training only.

    Args:
        recipe: The recipe to change.
        rate: Probability that a number is zeroed.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> recipe.decoder.dropout, decoder_dropout(recipe, rate=0.5).decoder.dropout
        (0.0, 0.5)
    """
    decoder = recipe.decoder
    if not 0 < rate < 1:
        raise DoesNotFit(f"decoder_dropout: rate is {rate}, wanted more than 0 and less than 1")
    if getattr(decoder, "hidden", None) == ():
        raise DoesNotFit("decoder_dropout: a linear decoder has no hidden layer to drop from; try --decoder.hidden 512")
    return replace(recipe, decoder=decoder.replace(dropout=rate))
