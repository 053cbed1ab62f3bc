r"""A critic foresees little of codes that do differ from one x to the next.

Sentence: "the critic foresees little". What z carries is the smallest of information, rate and what codes are worth to
the critic, so where z is not used one of the three is too small. True where the codes tell examples apart (information
of 0.5 nats and more, or as much as so few codes can) and the critic loses less than that when they change places, by
two standard errors each: the codes are there, and it is the critic that makes little of their order. It is read off
each step ahead whether any is foreseen: with N candidates the critic tells $\log N - d_k$ nats of the code k places
ahead, and where that is 0 or less at the last ones, they lie too far ahead for it.

Where the critic loses nothing at all, it ignores the codes (:mod:`buttress.diagnostics.causes.ignored`); where the
codes themselves say little, the codebook is at fault (:mod:`buttress.diagnostics.causes.codebook`,
:mod:`buttress.diagnostics.causes.under_used`).
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import above, below, every
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS

__all__ = ["LITTLE_FORESEEN"]

LITTLE_FORESEEN = "the critic foresees little"
STEP = "contrastive_information/"


@cause(priority=75)
def little_foreseen(n: Numbers) -> Finding | None:
    """Whether a critic takes little out of codes that say more."""
    worth, information = n.get("worth_critic"), n.get("mutual_information")
    if not n.discrete or worth is None or below(worth, COLLAPSED_NATS):
        return None
    truth = every(above(information, n.enough), below(worth, n.enough))
    told = (
        f"the codes tell x apart ({information} nats), and the critic loses {worth} when they change places: it makes "
        f"little of their order{_each_step(n)}; try more steps of training, fewer steps ahead (--critic.steps), or "
        "codes at a higher rate, so that neighbours have more in common"
    )
    return finding(LITTLE_FORESEEN, truth, [told], [(worth, n.enough), (information, n.enough)])


def _each_step(n: Numbers) -> str:
    """What the critic tells of the nearest and of the farthest code ahead."""
    steps = sorted(int(name.removeprefix(STEP)) for name in n.estimates if name.startswith(STEP))
    if not steps:
        return ""
    near, far = (f"{n.text(f'{STEP}{k}')} nats of the code {k} ahead" for k in (steps[0], steps[-1]))
    return f", and tells {near}" + (f" and {far}" if len(steps) > 1 else "")
