"""Codebook restarts: codewords begin as outputs of the encoder, follow them quickly, and start anew where unused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buttress.core.recipe import Recipe
from buttress.core.remedy import DoesNotFit, remedy

DEFAULTS: dict[str, Any] = {"start": "data", "learning": "ema", "decay": 0.9, "commitment": 0.25}
"""What is set beside ``revive``, where the posterior has such a field."""


@remedy(
    family="discrete latents",
    source="Łańcucki et al. 2020; Dhariwal et al. 2020 (Jukebox)",
    needs={"posterior": ("vector_quantized", "residual_quantized", "hierarchical_quantized")},
    because="only these have codewords that can die",
    cures=("the codebook is dead", "the codebook is under-used"),
    rank=1,
)
def codebook_restarts(recipe: Recipe, revive: int = 100) -> Recipe:
    """Start the codebook from outputs of the encoder, move it by averages of them, and restart codewords without use.

    A codeword that is far from every output is never chosen, so it gets no gradient and no average: it is dead. One
    that starts as an output has been chosen once, and one that is restarted again. The codebook may have come
    with another remedy, such as vector_quantized, so this one claims no field for itself.

    Args:
        recipe: The recipe to change; its z is codes already.
        revive: Steps without use after which a codeword becomes an output of the encoder; at most a tenth of the run.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.posteriors.vector_quantized import VectorQuantized
        >>> recipe = baseline(LinearGaussianData(), DataSpec(Layout.table(16)))
        >>> still = VectorQuantized(codes=8, dim=4, start="random", learning="gradient", revive=10**9)
        >>> codebook_restarts(replace(recipe, posterior=still)).posterior == VectorQuantized(codes=8, dim=4)
        True
    """
    if revive < 1:
        raise DoesNotFit(f"codebook_restarts: revive is {revive}, wanted at least 1 step; try 100")
    soon = max(1, min(revive, recipe.training.steps // 10))
    wanted = {name: value for name, value in DEFAULTS.items() if hasattr(recipe.posterior, name)} | {"revive": soon}
    changed = recipe.posterior.replace(**wanted)
    if changed == recipe.posterior:
        raise DoesNotFit(
            "codebook_restarts changes nothing: the codebook starts from data and is restarted already; leave it out"
        )
    return replace(recipe, posterior=changed)
