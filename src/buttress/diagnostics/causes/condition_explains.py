r"""The condition explains everything: p(x|given) is as good as p(x|z, given), and z has nothing to add.

Sentence: "the condition explains everything". Of a conditional model with $I(x; z|c)$, rate and $W_\text{shuffled}$ as
what z says beyond the condition c, three things must be true, each by two standard errors:

- z carries less than 0.1 nats beyond c: see :mod:`buttress.diagnostics.state`;
- the decoder reads c: that of another example costs it $W_c \ge 0.5$ nats;
- nothing is left of x that z could say: the best linear z beside $p(x|c)$ gains less than 0.1 nats on examples that it
  was not fitted to (:mod:`buttress.diagnostics.estimators.condition`), and no better q is read.

$\log p(x|z, c)$ can exceed $\log p(x|c)$ by no more than $I(x; z|c)$ on average, so the first says that this z adds
nothing, and the third that no z of its kind would: that tells it from a model that ignores z. Where the third cannot be
measured, as of autoregressive decoders, it is not known which of the two holds.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every, maybe, opposite
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, USED_NATS

__all__ = ["EXPLAINED"]

EXPLAINED = "the condition explains everything"
MISSING = "what z is worth in the same model trained without the condition"


@cause(priority=25, explains=("the model ignores z", "the data offer no more"))
def condition_explains(n: Numbers) -> Finding | None:
    """Whether the condition leaves z nothing to say."""
    told, left = n.get("worth_condition"), n.get("gain_beyond_condition")
    if told is None:
        return None
    reads = n.gains("decoder_gain") is True
    truth = every(n.collapsed, above(told, USED_NATS), below(left, COLLAPSED_NATS), opposite(reads))
    missing = "" if left is not None else MISSING
    return finding(EXPLAINED, truth, [_sentence(n)], [(told, USED_NATS), (left, COLLAPSED_NATS)], missing=missing)


def _sentence(n: Numbers) -> str:
    """What the condition is worth, what z is worth beside it, and what is left."""
    worth = f"the condition of another example costs the decoder {n.text('worth_condition')} nats"
    beside = f"the z of another example of the same condition {n.text('worth_shuffled')}"
    if n.get("gain_beyond_condition") is None:
        why = n.estimates["gain_beyond_condition"].note
        return f"{worth}, {beside}; what is left for z to say can't be measured here ({why})"
    little = below(n.get("gain_beyond_condition"), COLLAPSED_NATS)
    return (
        f"{worth}, {beside}, and the best linear z would gain {n.text('gain_beyond_condition')} nats beside the "
        f"condition ({maybe(little, 'below')} {COLLAPSED_NATS}): p(x|given) {'may be' if little is None else 'is'} "
        "as good as p(x|z, given). Leave z out, give the model less "
        "of the condition, or measure on data that differ in more than it"
    )
