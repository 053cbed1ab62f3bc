r"""A level, group or residual stage of z is idle while others are in use.

Sentence: "a level is idle". Of level l alone let $m_l$ be the smaller of its information $I(x; z_l)$ and what shuffling
it alone costs the decoder. It is idle where $m_l < 0.1$ by two standard errors, while z as a whole carries more: below
0.1 one of the two is, so either q says nothing there, or the decoder does as well with that of another example. Where
two levels say the same, each by itself costs nothing to shuffle: so of one level it is said that it adds nothing.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import Truth, above, below, every, opposite, size, some
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS

__all__ = ["IDLE"]

IDLE = "a level is idle"
WORTH = "worth_shuffled/"
LEAST = 0.5
"""Of the number of idle levels, which is whole but for its error: from here on there is one."""


@cause(priority=110)
def idle_level(n: Numbers) -> Finding | None:
    """Whether some level adds nothing while z is in use."""
    busy = opposite(n.collapsed)
    if (counted := n.get("idle_levels")) is not None:
        what = f": {counted.note}" if counted.note else ""
        return finding(IDLE, every(busy, above(counted, LEAST)), [f"{size(counted):.0f} levels of z add nothing{what}"])
    states = {name.removeprefix(WORTH): _idle(n, name.removeprefix(WORTH)) for name in n.estimates if WORTH in name}
    idle = [level for level, truth in states.items() if truth]
    told = [
        f"the level {level} adds nothing: {_told(n, level)}; leave it out, or give it more to say" for level in idle
    ]
    return finding(IDLE, every(busy, bool(idle)), told)


def _idle(n: Numbers, level: str) -> Truth:
    known = [n.get(f"{name}/{level}") for name in ("worth_shuffled", "mutual_information")]
    return some(*(below(found, COLLAPSED_NATS) for found in known if found is not None))


def _told(n: Numbers, level: str) -> str:
    information = f"mutual_information/{level}"
    informs = f", and it holds {n.text(information)} nats about x" if n.get(information) else ""
    return f"shuffling it alone costs {n.text(f'{WORTH}{level}')} nats{informs}"
