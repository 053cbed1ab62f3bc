r"""No gradient comes back to the encoder from the reconstruction, so nothing but the rate trains it.

Sentence: "no gradient reaches the encoder". Of a module whose ``forward`` was looked at in training mode
(:mod:`buttress.diagnostics.wiring`) one of these is true for a whole batch: the reconstruction has no gradient with
respect to mu or logvar though it differs between examples; the loss has none with respect to any parameter of the
encoder; or, of a module of a library, the reconstruction has none with respect to x. A z that is detached does that,
and so does a quantiser without a straight-through estimator: codes are then chosen by an encoder that never learns from
what they decode to. It follows from the gradients and is no matter of errors.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["NO_GRADIENT"]

NO_GRADIENT = "no gradient reaches the encoder"


@cause(
    priority=13,
    explains=("inference lags", "q's family is too narrow", "the model ignores z", "the encoder's features are alike"),
)
def no_gradient(n: Numbers) -> Finding | None:
    """Whether the encoder hears of the reconstruction."""
    told = n.estimates.get("wiring/no-gradient")
    return None if told is None else finding(NO_GRADIENT, True, [f"in training mode {told.note}"])
