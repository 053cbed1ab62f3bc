"""Translations of sentences by a run whose model reads a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from buttress.core import EOS, PAD
from buttress.core.batch import Given
from buttress.data.reading.tidy import Tidy
from buttress.data.reading.tokens import TokenEncoder, decode
from buttress.decoders._beam import beam_search
from buttress.decoders._sentences import SentenceDecoderModule
from buttress.training.run import Run

__all__ = ["translate"]

TOGETHER = 64
"""Sentences translated together."""


def translate(run: Run, sentences: Sequence[str], beam: int = 4, alpha: float = 0.6) -> list[str]:
    """The best translation of each sentence that beam search finds; of a z that is drawn, with one draw.

    Args:
        run: Its model reads a condition that is a sentence.
        sentences: As people write them. Those of more tokens than the longest source in the run's data are cut.
        beam: Beginnings kept at each step; 1 takes the likeliest word.
        alpha: Of the length penalty.

    Errors:
        ValueError: The model reads no sentence beside x, or has no decoder that writes one.

    Example:
        What ``buttress translate runs/latest news.de`` does::

            translate(Run.load("runs/latest"), ["ein hund läuft"])
    """
    column = next((c for c in run.spec.given if c.symbols and c.name in run.model.reads), None)
    if column is None or not isinstance(run.model.decoder, SentenceDecoderModule):
        raise ValueError(
            f"{run.folder}: its model reads no source sentence, so it translates nothing; train one on pairs of "
            "sentences (--data pairs)"
        )
    tidied: Tidy = getattr(run.recipe.data, "tidy", Tidy)()
    ids = _encoded(run.spec.tokenizer or "", tidied(list(sentences)), column.size)
    found: list[str] = [""] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: int((ids[i] != PAD).sum()))
    for first in range(0, len(order), TOGETHER):
        rows = order[first : first + TOGETHER]
        some = ids[rows]
        source = some[:, : int((some != PAD).sum(1).max())]
        texts = decode(run.spec, _written(run.model, {column.name: source}, beam, alpha))
        for row, text in zip(rows, texts, strict=True):
            found[row] = text
    return found


def _encoded(tokenizer: str, sentences: list[str], longest: int) -> torch.Tensor:
    """Token ids (N, longest), each sentence ended by EOS."""
    flat, lengths = TokenEncoder(Tokenizer.from_str(tokenizer))(sentences)
    ids = torch.full((len(sentences), longest), PAD)
    for row, one in zip(ids, torch.from_numpy(flat).split(lengths.tolist()), strict=True):
        one = one[:longest]
        row[: len(one)] = one
        row[len(one) - 1] = EOS
    return ids


@torch.no_grad()
def _written(model: Any, given: Given, beam: int, alpha: float) -> torch.Tensor:
    """The best sentence for each source."""
    count = len(next(iter(given.values())))
    if getattr(model.encoder, "names", ()):  # q(z|x) hangs on the source alone
        z = model.posterior(torch.full((count, 1), EOS), given).sample()
    else:
        z = model.sample_z(count, given=given)
    p = model.decode(z, given)
    return beam_search(model.decoder, p.z, beam, alpha)[0][:, 0]
