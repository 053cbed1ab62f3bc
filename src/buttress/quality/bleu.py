r"""How much of a text's wording another keeps: corpus BLEU.

$$ \text{BLEU} = 100 \min\bigl(1, e^{1 - r/c}\bigr) \prod_{n=1}^4 p_n^{1/4}, \qquad
   p_n = \frac{\sum_i \sum_g \min(\#_g(x_i), \#_g(y_i))}{\sum_i \sum_g \#_g(x_i)} $$

g runs over the runs of n words of candidate x_i, y_i is its reference, c and r are the words of all candidates and of
all references. One reference each, words separated by spaces, no smoothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

__all__ = ["bleu"]

LONGEST = 4
"""Words in the longest runs that are compared."""


def bleu(candidates: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of all candidates together, from 0 to 100; 0 where no run of four words is kept.

    Source: Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, 2002.

    Args:
        candidates: The texts to judge.
        references: What each should be.

    Errors:
        ValueError: Not one reference for each candidate.

    Example:
        >>> bleu(["the food here was bad"], ["the food here was bad"])
        100.0
        >>> round(bleu(["the food here was good ."], ["the food here was bad ."]), 1)  # 5/6, 3/5, 2/4 and 1/3 are kept
        53.7
    """
    if len(candidates) != len(references):
        raise ValueError(f"bleu: got {len(candidates)} candidates and {len(references)} references, wanted as many")
    pairs = [(x.split(), y.split()) for x, y in zip(candidates, references, strict=True)]
    c, r = sum(len(x) for x, _ in pairs), sum(len(y) for _, y in pairs)
    kept = [sum((_runs(x, n) & _runs(y, n)).total() for x, y in pairs) for n in range(1, LONGEST + 1)]
    of = [sum(max(0, len(x) - n + 1) for x, _ in pairs) for n in range(1, LONGEST + 1)]
    if min(kept) == 0:
        return 0.0
    precision = math.fsum(math.log(k / n) for k, n in zip(kept, of, strict=True)) / LONGEST
    return 100 * math.exp(min(0.0, 1 - r / c) + precision)


def _runs(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
