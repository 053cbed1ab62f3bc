"""Cosine regularisation: features of different examples are pushed apart, so that q can tell examples apart."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy


@remedy(
    family="enhance dispersion of features",
    source="Long et al. 2020",
    takes={"encoder.cosine": 0.0},
)
def cosine_regularization(recipe: Recipe, weight: float = 1.0) -> Recipe:
    """Punish the mean cosine similarity of the encoder's features over a batch.

    Args:
        recipe: The recipe to change.
        weight: Of the similarity, which is at most 1, beside the loss in nats per example. The paper's is not known to
            us; try 0.1, 1 and 10.

    Example:
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))
        >>> recipe.encoder.cosine, cosine_regularization(recipe, weight=10.0).encoder.cosine
        (0.0, 10.0)
    """
    if not weight > 0:
        raise DoesNotFit(f"cosine_regularization: weight is {weight}, wanted more than 0")
    return replace(recipe, encoder=recipe.encoder.replace(cosine=weight))
