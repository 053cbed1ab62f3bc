"""A discretised bottleneck between the encoder of a source sentence and the decoder of its translation."""

from __future__ import annotations

from dataclasses import replace

from buttress.core.recipe import Recipe
from buttress.core.remedy import ANYTHING, DoesNotFit, remedy
from buttress.decoders.cross_attention import CrossAttentionDecoder
from buttress.encoders.transformer import TransformerEncoder
from buttress.posteriors.vector_quantized import VectorQuantized

COMMITMENT = 0.02
"""Weight of the pull to the codewords. The usual 0.25 draws all sources to one row of codes before the decoder has
learned to read any, and they stay there."""
RESTARTED = 50
"""Steps without use after which a codeword starts anew: the first are chosen among sources that look alike."""


@remedy(
    family="discrete latents",
    source="Zhao et al. 2020 (DB-VAE)",
    takes={"encoder": ANYTHING, "posterior": ANYTHING, "decoder.source": ANYTHING},
    needs={"decoder": ("cross_attention",), "encoder": ("none",), "posterior": ("none",)},
    because="it stands between the source and the target of pairs of sentences",
    codes=False,
)
def source_bottleneck(recipe: Recipe, chunks: int = 8, codes: int = 64, dim: int = 16) -> Recipe:
    """Let a translation see its source through a few codes alone.

    Of the states at the words of the source the largest counts in each feature. They are normalised and cut into M
    chunks, and each becomes the nearest of K atoms that all chunks share, as in ``discretized_bottleneck``. z hangs on
    the source alone, and the decoder looks at z. So the distortion is -log p(x | codes of the source), the loss of the
    translator; the rate, M ln K under the uniform prior, is what sending the codes costs, and both together bound
    -log p(x) for a reader who has no source.

    Codes are of use from 100 to 150 steps on (``made_translations``). They are pulled to their codewords by a tenth of
    the usual weight, and restarted after 50 steps without use: with the usual 0.25 and 100 z stays unused.

    Args:
        recipe: The recipe to change.
        chunks: M, codes of a source.
        codes: K, atoms in the codebook.
        dim: Numbers in an atom.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import Column, DataSpec, Layout
        >>> from buttress.data.made_translations import MadeTranslations
        >>> spec = DataSpec(Layout.text(50, longest=9), given=(Column("source", symbols=50, size=9),))
        >>> recipe = source_bottleneck(baseline(MadeTranslations(), spec), chunks=4)
        >>> recipe.encoder.source, recipe.posterior.slots, recipe.decoder.source
        ('source', 4, None)
        >>> recipe.posterior.commitment, recipe.posterior.revive
        (0.02, 50)
    """
    decoder = recipe.decoder
    assert isinstance(decoder, CrossAttentionDecoder)
    if decoder.source is None:
        raise DoesNotFit("source_bottleneck: the decoder looks at no source; name one with --decoder.source")
    reader = TransformerEncoder(
        hidden=decoder.hidden, layers=decoder.source_layers, heads=decoder.heads, source=decoder.source,
        pooling="max", dropout=decoder.dropout,
    )  # fmt: skip
    posterior = VectorQuantized(
        codes=codes, dim=dim, slots=chunks, shared=True, normalize=True, commitment=COMMITMENT, revive=RESTARTED
    )
    return replace(recipe, encoder=reader, posterior=posterior, decoder=decoder.replace(source=None))
