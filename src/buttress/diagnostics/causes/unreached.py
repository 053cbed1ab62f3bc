r"""z does not reach the decoder: log p(x|z) is the same at every z, so nothing can be learned from it.

Sentence: "z does not reach the decoder". True where ``reached_by_z`` is 0: of 64 examples none has a log p(x|z) that
differs in any digit between z of q, of other examples and of the prior, and none has a gradient with respect to z
(:mod:`buttress.diagnostics.estimators.reach`), and shuffling z over all of the data costs exactly nothing, since a
subgroup of one in a hundred may be the only one that is reached. It is no matter of errors. A decoder that has learned
to ignore z is another thing: its weights are small and not 0, and more training of another kind moves them. This one
was never asked: z is overwritten or dropped on its way, multiplied by 0, or behind units that are dead for every x.

Of a module whose ``forward`` was looked at it is also true where its reconstruction is the same for all x and has no
gradient with respect to mu: then ``forward`` decodes something else than z, whatever ``decode`` does.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["UNREACHED"]

UNREACHED = "z does not reach the decoder"


@cause(
    priority=12,
    explains=(
        "the condition explains everything",
        "used by few examples",
        "inference lags",
        "q's family is too narrow",
        "the data offer no more",
        "the model ignores z",
        "all q together are far from the prior",
    ),
)
def unreached(n: Numbers) -> Finding | None:
    """Whether log p(x|z) is the same at every z."""
    share, wired = n.get("reached_by_z"), n.estimates.get("wiring/z-unreached")
    told, worth = [], n.get("worth_shuffled")
    if share is not None and share.value == 0 and (worth is None or worth.value == 0):
        told.append(
            f"log p(x|z) of {share.n} examples is the same to the last digit at z of q, of other examples and of the "
            "prior, has no gradient with respect to z, and in all of the data shuffling z costs exactly nothing: look "
            "for z that is overwritten, dropped or detached before "
            "the decoder, a weight or gain of zero that is not trained, or units that are dead for every x"
        )
    if wired is not None:
        told.append(f"in forward(x), whatever decode(z) does, {wired.note}")
    return finding(UNREACHED, True, told) if told else None
