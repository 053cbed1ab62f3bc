r"""The model ignores z: the decoder does as well without it, and a better q would not change that.

Sentence: "the model ignores z". Three things must be true, each by two standard errors:

- z is not used: see :mod:`buttress.diagnostics.state`;
- something is left unread, or there is nothing to read: $W_\text{shuffled}$ below 0.1 nats or below half of the rate,
  or information below 0.1. A decoder that takes out all that q puts in ($W_\text{shuffled} \ge I$, as with the exact
  posterior) and more than 0.1 nats does not ignore z, however little that is;
- a better q hardly helps: gap or decoder's gain below 0.1 nats, or below what z carries; and the NLL is not below
  the distortion by as much, which would show a posterior that the decoder does read.

Codes that tell examples apart (I of 0.5 and more) and cost nothing when shuffled are ignored whatever the search for a
better q finds.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.causes.lagging import check_weights
from buttress.diagnostics.compare import Truth, above, below, every, opposite, some
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, RISING_NATS, USED_NATS

__all__ = ["IGNORED", "UNREAD"]

IGNORED = "the model ignores z"
UNREAD = "the rate is paid and not read"
"""What remedies cure that do not raise the rate further."""


@cause(priority=80)
def ignored(n: Numbers) -> Finding | None:
    """Whether the decoder leaves z aside."""
    worth = n.get(n.measures[1])
    silent, unread = below(worth, COLLAPSED_NATS), n.unread
    key = UNREAD if n["rate"] > RISING_NATS and unread else IGNORED
    if n.discrete and every(silent, above(n.get("mutual_information"), USED_NATS)):
        told = "the codes differ from one x to the next, and the decoder does as well with those of another"
        if n.critic:
            told = "the codes differ from one x to the next, and the critic does as well with those of other places"
        return finding(IGNORED, True, [told], remedies_for=key)
    nothing = some(below(n.get("mutual_information"), COLLAPSED_NATS), silent, unread)
    left = every(nothing, unread is True or n.read_in_full is not True)
    truth = every(opposite(n.used), left, _useless(n))
    weights = check_weights(n)
    reasons = [f"{_told(n)}: a better q hardly helps, so it is the model that does not use z", *weights]
    decided = [(n.get(name), n.matters) for name in ("amortisation_gap", "decoder_gain")]
    return finding(IGNORED, truth, reasons, decided, key) if n.refined or n.bound_gap is not None else None


def _useless(n: Numbers) -> Truth:
    """Whether a better q would help neither the bound nor the decoder."""
    tight = opposite(above(n.readable, n.matters))
    if not n.refined:
        return tight
    helps = every(n.gains("amortisation_gap"), n.gains("decoder_gain"))
    return every(opposite(helps), tight is not False)


def _told(n: Numbers) -> str:
    return n.told if n.refined else f"-ELBO exceeds the NLL by {n.bound_gap} nats"
