r"""Which share of a codebook is ever taken, codes that were not met yet counted in.

Of K codes $f_1$ were taken once in the held-out data, $f_2$ twice, and S at all. How many more would be met with more
data is at least about (Chao 1984, 1987; here in the form that is free of bias)

$$ \hat S = S + \frac{f_1 (f_1 - 1)}{2 (f_2 + 1)}, \qquad
   \operatorname{Var} \hat S = \frac{f_1 (f_1 - 1)}{2 (f_2 + 1)} + \frac{f_1 (2 f_1 - 1)^2}{4 (f_2 + 1)^2}
   + \frac{f_1^2 f_2 (f_1 - 1)^2}{4 (f_2 + 1)^4} $$

and the share is $\hat S / K$, or 1 where that is more. With far fewer tokens than codes most are met once or never, so
its error is large. A code that is rare is in use all the same: how evenly codes are taken is ``code_perplexity``.
"""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.codebook import DRAWN, books_of, count_codes

__all__ = ["ever_taken", "measure"]


def ever_taken(totals: Int[Tensor, " K"]) -> tuple[float, float]:
    """How many codes are ever taken, and the variance of that.

    Args:
        totals: How often each was.

    Example:
        >>> import torch
        >>> ever_taken(torch.tensor([50, 30, 0, 0]))  # none is rare: no more will come
        (2.0, 0.0)
        >>> ever_taken(torch.tensor([9, 4, 1, 1, 1, 0, 0, 0, 0]))[0]  # three were met once
        8.0
    """
    taken, once, twice = (int(found.sum()) for found in (totals > 0, totals == 1, totals == 2))
    more, pairs = once * (once - 1) / (2 * (twice + 1)), twice + 1
    spread = once * (2 * once - 1) ** 2 / (4 * pairs**2) + once**2 * twice * (once - 1) ** 2 / (4 * pairs**4)
    return taken + more, more + spread


@estimator("active units")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The share of all codebooks, where q is sure of its codes and their number is known."""
    perplexity = subject.estimates.get("code_perplexity")
    if perplexity is None or perplexity.method == DRAWN:
        return {}
    counts = subject.kept["activity"].codes or count_codes(subject.model, subject.data, subject.seed)
    books = books_of(subject.model, subject.data, len(counts.table))
    sizes = [book.classes for book in books if book.classes]
    if len(sizes) < len(books):
        return {}
    found = [ever_taken(book.total(counts)) for book in books]
    value, variance, k = sum(s for s, _ in found), sum(v for _, v in found), sum(sizes)
    note = f"no unit: share of the {k} codes that are ever taken, those not met yet counted in"
    return {"codes_alive": Estimate(min(1.0, value / k), variance**0.5 / k, counts.n, "counting, Chao 1984", 1.0, note)}
