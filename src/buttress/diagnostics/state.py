r"""The state of a model: used, partly used, collapsed, degenerate, or unknown; and borderline where errors allow two.

Let m be what z carries, $m = \min(I_q, R, W_\text{shuffled})$; see :mod:`buttress.diagnostics.numbers`. Then z is

- *collapsed* where $m < 0.1$: one of the three is below, whatever the others are;
- *used* where $m \ge 0.5$ and $W_\text{shuffled} \ge R / 2$; *partly used* between;
- *degenerate to a deterministic autoencoder* where q is a point (its noise costs the decoder a tenth of what it would
  at balance, and sigma of q is a twentieth of that of the prior, as far as these are known) and it is proven that a
  third or more of the rate is the distance of all q together from the prior. Where information is at its ceiling,
  R - I proves nothing, since I may be anything up to R: then the moments of q(z) must prove it.

Where a critic reads codes in place of a decoder, $W_\text{critic}$ stands for $W_\text{shuffled}$
(:mod:`buttress.diagnostics.estimators.worth_critic`), is not held against the rate, and z is only called used or partly
used where the critic is right more often than with shuffled codes.

Each comparison minds its standard error. Where one state is left, it is the state; where two are, the estimates choose
and the other is named as borderline; where more are, the state is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from buttress.diagnostics.compare import Truth, above, below, every, needed, opposite, size
from buttress.diagnostics.estimate import NO_DENSITY, short
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.thresholds import COLLAPSED_NATS, DETERMINISTIC_BETA, POINT_SCALE, READ_SHARE, RISING_NATS

__all__ = ["COLLAPSED", "DEGENERATE", "PARTLY", "UNKNOWN", "USED", "WANTED", "State", "state_of"]

USED, PARTLY, COLLAPSED = "used", "partly used", "collapsed"
DEGENERATE = "degenerate to a deterministic autoencoder"
WANTED = "a deterministic autoencoder, as wanted"
"""The same where z is for compression."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class State:
    """How z is used.

    Args:
        name: "used", "partly used", "collapsed", "degenerate to a deterministic autoencoder" or "unknown".
        borderline: Another state that the errors allow as well; empty where there is none.
        reasons: Sentences with the numbers it rests on.
        vague: Whether it is unknown though all numbers are there, as they are not precise enough.

    Example:
        >>> State("used", "", ("z carries 2 nats",)).name
        'used'
    """

    name: str
    borderline: str
    reasons: tuple[str, ...]
    vague: bool = False


def state_of(n: Numbers) -> State:
    """The state that the numbers allow.

    Example:
        >>> from buttress.diagnostics.estimate import Estimate
        >>> names = ("mutual_information", "rate", "worth_shuffled")
        >>> found = state_of(Numbers({name: Estimate(0.089, 0.013, 1000, "made up") for name in names}))
        >>> found.name, found.borderline, found.reasons[-1]
        ('collapsed', 'partly used', 'the errors allow both; about 5587 examples would decide')
    """
    if missing := _missing(n):
        alone = n.estimates.get("worth_shuffled") is NO_DENSITY and len(missing) == 1
        return _without_density(n, missing) if alone else State(UNKNOWN, "", missing)
    if n.critic and n.collapsed is not True and n.above_chance is not True:
        return State(UNKNOWN, "", (f"{_right(n)}: that shows no use of the codes", n.informs, *others(n, UNKNOWN)))
    possible = _possible(n)
    if len(possible) > 2:
        return State(UNKNOWN, "", _vague(n), vague=True)
    name = _guess(n) if len(possible) > 1 else possible[0]
    other = next((one for one in possible if one != name), "")
    if name != COLLAPSED and deterministic(n):
        return State(WANTED if n.compresses else DEGENERATE, "", (*_point(n), *_scale(n)))
    return State(name, other, (*_why(n, name), *_scale(n), *([_both(n)] if other else [])))


def _missing(n: Numbers) -> tuple[str, ...]:
    """Why there can be no verdict: the numbers that it rests on and that are not there."""
    return tuple(
        f"no verdict without a finite {name}; it is {estimate}"
        + (f" ({estimate.note})" if estimate is not None and estimate.note else "")
        for name, estimate in ((name, n.estimates.get(name)) for name in n.measures)
        if size(estimate) != size(estimate)
    )


def _without_density(n: Numbers, missing: tuple[str, ...]) -> State:
    """Of a model without p(x|z): that z carries nothing is known without it, and not that z is used."""
    told = n.get("contrastive_information")
    critic = () if told is None else (f"the context tells a future z from others by {told} nats, of at most log N",)
    if n.collapsed is not True:
        return State(UNKNOWN, "", (*missing, *critic, *others(n, UNKNOWN)))
    below_it = f"{n.informs}: below {COLLAPSED_NATS}, whatever reads z"
    return State(COLLAPSED, "", (below_it, *critic, *others(n, COLLAPSED)))


def _right(n: Numbers) -> str:
    """How often the critic is right, beside chance, and what its context tells."""
    told = n.get("contrastive_information")
    shares = ("contrastive_accuracy", "contrastive_accuracy_gain")
    if told is None or told.ceiling is None or any(n.get(name) is None for name in shares):
        return "how often the critic is right was not measured"
    right, more = map(n.text, shares)
    return (
        f"the critic finds the true future in a share of {right} (1 of N is {short(exp(-told.ceiling))}), {more} more "
        f"than among shuffled codes, and its context tells {told} nats of it, of at most {short(told.ceiling)}"
    )


def _possible(n: Numbers) -> list[str]:
    """The states that the errors allow, by falling use."""
    collapsed, carries, unread = n.collapsed, n.carries(n.enough), n.unread
    allowed = {
        USED: every(opposite(collapsed), carries, opposite(unread)) is not False,
        PARTLY: collapsed is not True and (carries is not True or unread is not False),
        COLLAPSED: collapsed is not False,
    }
    return [name for name, may_be in allowed.items() if may_be]


def _guess(n: Numbers) -> str:
    """The state of the estimates as they are, errors aside."""
    if n.carried < COLLAPSED_NATS:
        return COLLAPSED
    read = n.uniform or n.critic or n["worth_shuffled"] >= READ_SHARE * n["rate"]
    return USED if n.carried >= n.enough and read else PARTLY


def _thresholds(n: Numbers) -> list[int]:
    """How many examples each open comparison would take."""
    pairs = [(n.get(name), threshold) for name in n.measures for threshold in (COLLAPSED_NATS, n.enough)]
    return [wanted for found, threshold in pairs if (wanted := needed(found, threshold)) is not None]


def _both(n: Numbers) -> str:
    wanted = _thresholds(n)
    return "the errors allow both" + (f"; about {max(wanted)} examples would decide" if wanted else "")


def _vague(n: Numbers) -> tuple[str, ...]:
    """Why there can be no verdict: measures of what z carries that may be on either side of both thresholds."""
    wanted = _thresholds(n)
    some = f" (about {max(wanted)} would do)" if wanted else ""
    return tuple(
        f"not enough precision: {name} is {n.text(name)} nats; measure more examples{some}, or look for extreme values "
        "in x"
        for name in n.measures
        if None in (above(n.get(name), COLLAPSED_NATS), above(n.get(name), n.enough))
    )


def _scale(n: Numbers) -> tuple[str, ...]:
    """What z must be multiplied by before a second model learns it."""
    spread, read = n.get("latent_scale"), above(n.get("worth_shuffled"), COLLAPSED_NATS)
    if not n.compresses or spread is None or not spread.value or read is False:
        return ()
    by = short(1 / spread.value, 4)
    return (f"the numbers of z have a standard deviation of {spread}: multiply them by {by} before diffusion",)


def deterministic(n: Numbers) -> Truth:
    """Whether q is a point, and all q together are far from the prior; not asked where z is for compression."""
    widths = (("posterior_scale", POINT_SCALE), ("effective_beta", DETERMINISTIC_BETA))
    known = [below(n.get(name), threshold) for name, threshold in widths if n.get(name) is not None]
    return every(bool(known), *known, n.compresses or n.far)


def _point(n: Numbers) -> tuple[str, ...]:
    width = [f"sigma of q is {n.text('posterior_scale')} of that of the prior"] if n.get("posterior_scale") else []
    if n.get("effective_beta"):
        width.append(
            f"the noise of q costs the decoder {n.text('effective_beta')} of what a q in balance would pay (below "
            f"{DETERMINISTIC_BETA})"
        )
    return (f"{', and '.join(width)}: q is a point", n.informs, n.costs, *others(n, DEGENERATE))


def _why(n: Numbers, name: str) -> tuple[str, ...]:
    """What z carries, and on which side of a threshold it is."""
    bound = {COLLAPSED: f"below {COLLAPSED_NATS}", USED: f"{short(n.enough)} or more"}.get(
        name, f"below {short(n.enough)}"
    )
    carried = f"{n.informs}, and {n.costs}: the smaller is what z carries, and it is {bound}"
    if n.critic:
        return (carried, _right(n), *others(n, name))
    if name == COLLAPSED and n["rate"] > RISING_NATS:
        paid = f"a rate of {n.rates} is paid nevertheless: a rate alone does not show that z is used"
        return (carried, *others(n, name), paid)
    if name == PARTLY and n.carried >= n.enough:
        wasted = f"{n.costs}, less than {READ_SHARE:.0%} of the rate that is paid for z: {n.rates}"
        return (wasted, n.informs, *others(n, name))
    return (carried, *others(n, name))


def others(n: Numbers, name: str) -> tuple[str, ...]:
    """What no threshold is set to: active coordinates, and codes."""
    active = n.get("active_units")
    if active is None:
        return _codes(n, name)
    total = "" if active.ceiling is None else f" of {active.ceiling:.0f}"
    return (f"{size(active):.0f}{total} coordinates of z are active", *_codes(n, name))


def _codes(n: Numbers, name: str) -> tuple[str, ...]:
    """What the codes cost and how many are in use, where z is discrete."""
    if not n.discrete:
        return ()
    cost = (f"the codes cost {n.rates}",) if name != COLLAPSED or n["rate"] <= RISING_NATS else ()
    if n.get("code_perplexity") is None or n.get("codes_used") is None:
        return cost
    of = "" if (k := n.estimates["codes_used"].ceiling) is None else f" of {k:.0f}"
    perplexity = short(n["code_perplexity"])
    taken = f"{n['codes_used']:.0f}{of} codes are taken, with a perplexity of {perplexity}"
    if n.get("code_bits_per_second") is None:
        return (*cost, taken)
    return (*cost, f"{taken}, and make {n.text('code_bits_per_second')} bits a second")
