"""A discretised bottleneck: the vector of a sentence is cut into chunks, all of which choose from one codebook."""

from __future__ import annotations

from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.remedies._codes import TAKES, with_codes


@remedy(
    family="discrete latents",
    source="Zhao et al. 2020 (DB-VAE)",
    takes=TAKES,
    needs={"objective": ("elbo",)},
    cures=("the model ignores z",),
    codes=False,
)
def discretized_bottleneck(
    recipe: Recipe, chunks: int = 8, codes: int = 64, dim: int = 16, first: float = 0.75
) -> Recipe:
    """Let z be a combination of atoms of one codebook for the whole example, then learn which go together.

    The vector of the example is normalised and cut into M chunks, and each becomes the nearest of K atoms that all
    chunks share: M log2 K bits, whose price under the uniform prior of the first stage is the same for every x. What
    can still be lost is what the codes tell: see code_perplexity and worth_shuffled of a diagnosis.

    Args:
        recipe: The recipe to change.
        chunks: M, codes of an example.
        codes: K, atoms in the codebook.
        dim: Numbers in an atom.
        first: Share of the steps that train the autoencoder; the rest trains the prior, an LSTM over the chunks.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.lstm_text import LstmText
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = discretized_bottleneck(baseline(LstmText(), DataSpec(Layout.text(1000, longest=11))), chunks=4)
        >>> recipe.posterior.slots, recipe.posterior.shared, recipe.prior.name(), recipe.algorithm.name()
        (4, True, 'recurrent', 'two_stage')
    """
    posterior = VectorQuantized(codes=codes, dim=dim, slots=chunks, shared=True, normalize=True)
    return with_codes(recipe, "discretized_bottleneck", posterior, RecurrentPrior(), False, first)
