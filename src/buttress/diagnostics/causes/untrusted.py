r"""The estimates are not to be trusted: their errors are too large, or what they rest on does not hold.

Sentence: "the estimates are not to be trusted". One of these is true:

- *errors*: three states are possible (:mod:`buttress.diagnostics.state`), or two are and the standard error of what
  leaves them open is itself larger than the lower threshold, 0.1 nats. It is named where no other cause holds. As
  errors fall with the root of the number of examples, it is said how many would decide;
- *rounding*: of a twentieth or more of the coordinates of q the noise is lost in the numeric type, or its variance
  overflows (``rounded_noise``): the decoder never sees the noise, and the rate counts it all the same;
- *other data*: a quarter or more of the decoder's squared error is the same in all examples, ``constant_error`` above
  1/2. At an optimum it is 0, since a bias would remove it: so the model was trained on other data or not at all. Of
  codes that are the same for all x it says nothing, as the decoder then shows one of its pictures.

A model that answers otherwise when it is asked again (dropout), or by the other examples of a batch (batch
normalisation in training mode), is refused before anything is measured, in a sentence that says so: see
:data:`REFUSALS`.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, maybe, needed, some
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.state import state_of
from buttress.diagnostics.thresholds import COLLAPSED_NATS, CONSTANT_ERROR, ROUNDED

__all__ = ["REFUSALS", "UNTRUSTED"]

UNTRUSTED = "the estimates are not to be trusted"
REFUSALS = ("differs from one call to the next", "depends on the other examples")
"""Parts of the sentences that refuse a model whose answers are not its own."""
FOLLOW = (
    "the optimum is collapsed",
    "the condition explains everything",
    "the rate has a weight",
    "inference lags",
    "q's family is too narrow",
    "the data offer no more",
    "the model ignores z",
    "all q together are far from the prior",
)
"""Causes that such numbers may show without being true."""


@cause(priority=15, explains=FOLLOW)
def mistaken(n: Numbers) -> Finding | None:
    """Whether q is beyond its numeric type, or the data are not those of the decoder."""
    constant = None if n.discrete and n.collapsed else n.get("constant_error")
    signs = ((n.get("rounded_noise"), ROUNDED, _rounded), (constant, CONSTANT_ERROR, _constant))
    known = [(found, most, say) for found, most, say in signs if found is not None]
    told = [say(n) for found, most, say in known if above(found, most) is not False]
    if not told:
        return None
    truth = some(*(above(found, most) for found, most, _ in known))
    return finding(UNTRUSTED, truth, told, [(found, most) for found, most, _ in known])


def _rounded(n: Numbers) -> str:
    return (
        f"of a share of {n.text('rounded_noise')} of the coordinates of z q is too narrow or too wide for its numbers "
        f"({n.estimates['rounded_noise'].note.removeprefix('no unit: ')}): bound log sigma and the means, or keep "
        "the encoder's last layer in float32"
    )


def _constant(n: Numbers) -> str:
    share, high = n["constant_error"] ** 2, above(n.get("constant_error"), CONSTANT_ERROR)
    return (
        f"the decoder is off by the same amount in all examples: that is {share:.0%} of its squared error "
        f"(constant_error {n.text('constant_error')}, {maybe(high, 'above')} {CONSTANT_ERROR}). Are x scaled, centred "
        "and ordered as in "
        "training, and are the weights the trained ones?"
    )


@cause(priority=200, of_errors=True)
def imprecise(n: Numbers) -> Finding | None:
    """Whether the errors are larger than what they are to decide."""
    if any(n.get(name) is None for name in n.measures):
        return None
    state, marks = state_of(n), (COLLAPSED_NATS, n.enough)
    open_ = [found for name in n.measures if (found := n.get(name)) and None in (above(found, mark) for mark in marks)]
    wide = state.borderline and any((found.error or 0.0) > COLLAPSED_NATS for found in open_)
    if not (state.vague or wide):
        return None
    wanted = max((number for found in open_ for mark in marks if (number := needed(found, mark))), default=0)
    decide = f": about {wanted} examples would decide" if wanted else ""
    few = n.get("worth_concentration")
    half = "" if few is None else f"; a share of {few} of the examples carries half of what z is worth: look at these"
    told = f"the errors are larger than the thresholds, so that z may be used or not{decide}{half}"
    return finding(UNTRUSTED, True, [told])
