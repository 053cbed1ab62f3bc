"""BLEU as papers report it: that of sacreBLEU, which splits words from punctuation itself, in one way for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["standard_bleu", "standard_metric"]


def standard_metric() -> Any:
    """SacreBLEU's own metric, with its defaults.

    Errors:
        ValueError: It is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise ValueError(
            "sacreBLEU is not installed; try pip install 'buttress[translation]', or leave it out for BLEU of the "
            "words between spaces"
        ) from error
    return BLEU()


def standard_bleu(candidates: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """BLEU of all candidates together, from 0 to 100, and the signature to report with it.

    Source: Post, A Call for Clarity in Reporting BLEU Scores, 2018. It needs the extra ``translation``; without it
    there is :func:`buttress.quality.bleu.bleu`, for words that spaces separate.

    Args:
        candidates: The texts to judge, as people write them.
        references: What each should be.

    Errors:
        ValueError: Not one reference for each candidate, none at all, or sacreBLEU is not installed.

    Example:
        What ``buttress translate RUN FILE --reference test.en --sacrebleu true`` prints::

            standard_bleu(["The food here was bad."], ["The food here was bad."])  # (100.0, "nrefs:1|case:mixed|...")
    """
    if len(candidates) != len(references) or not candidates:
        raise ValueError(
            f"standard_bleu: got {len(candidates)} candidates and {len(references)} references, wanted as many, and "
            "at least one"
        )
    metric = standard_metric()
    score = metric.corpus_score(list(candidates), [list(references)]).score
    return score, str(metric.get_signature())
