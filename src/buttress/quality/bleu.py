"""BLEU of translations beside references, by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = ["bleu"]


def bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: Literal["13a", "none"] = "13a") -> float:
    """Corpus BLEU in percent.

    Source: Papineni et al., BLEU, 2002; Post, A Call for Clarity in Reporting BLEU Scores, 2018.

    Args:
        hypotheses: Translations.
        references: One for each.
        tokenize: How words are found: "13a" in text as people write it, "none" where spaces separate all words already.

    Errors:
        ValueError: There are other numbers of them, or the package sacrebleu is missing.

    Example:
        >>> bleu(["a dog"], ["a dog", "a cat"])
        Traceback (most recent call last):
        ValueError: got 1 translations and 2 references, wanted as many
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"got {len(hypotheses)} translations and {len(references)} references, wanted as many")
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise ValueError('BLEU needs the package sacrebleu: pip install "buttress[text]"') from error
    return float(BLEU(tokenize=tokenize, force=True).corpus_score(list(hypotheses), [list(references)]).score)
