r"""The model has no z: it takes one value for every x, by construction.

Sentence: "the model has no z" is true where the largest perplexity that codes can have is 1. Then
$H(z) = 0 = I(x; z)$ whatever is trained, and no codebook is dead, no inference lags: nothing is there to be mended.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["NO_Z"]

NO_Z = "the model has no z"
REASON = (
    "z takes one value whatever x is, as a model without z is built (posterior none): nothing is wrong with that; its "
    "NLL says how good it is"
)


@cause(
    priority=5,
    explains=(
        "the codebook is dead", "the codes ignore x", "the condition explains everything", "inference lags",
        "the model ignores z", "q's family is too narrow", "the data offer no more", "the codebook is under-used",
    ),
)  # fmt: skip
def no_latent(n: Numbers) -> Finding | None:
    """Whether z could take a second value at all."""
    perplexity = n.get("code_perplexity")
    one = perplexity is not None and perplexity.ceiling == 1
    return finding(NO_Z, one, [REASON])
