r"""What the information in z lets one expect of reconstructions.

$$ I(x; z) \ge \log K \quad\text{where z distinguishes K equally frequent kinds of examples without error,} $$

so z of I nats distinguishes at most $e^I$ of them; the decoder draws everything else anew.
"""

from __future__ import annotations

import math

from buttress.diagnostics.verdict import COLLAPSED
from buttress.report.numbers import nats
from buttress.report.results import RunResult

__all__ = ["RULE", "apart", "expected", "information", "kinds"]

RULE = (
    "z with I nats of information distinguishes at most e^I equally frequent kinds of examples (1 nat: 2.7); the "
    "decoder draws everything else anew. With one or two nats, reconstructions look hardly more like their originals "
    "than samples do: there, compare the numbers, not the pictures."
)
"""For a page with arms of much and little information side by side."""
IGNORED = "The decoder ignores z, so reconstructions are no nearer to their originals than samples are."
UNKNOWN = "The information in z was not measured, so it is not known how near reconstructions should be."
EXPECT = (
    (2.0, "Expect reconstructions that are hardly more like their originals than samples are."),
    (10.0, "Expect reconstructions that share a trait or two with their originals."),
    (1000.0, "Expect reconstructions that are of the same kind as their originals, with other details."),
    (math.inf, "Expect reconstructions close to their originals."),
)  # fmt: skip
"""Below so many kinds -> what to expect."""
MANY = 1e6


def information(run: RunResult) -> float | None:
    """Mutual information as the verdict takes it: no more than the rate."""
    found, rate = run.value("mutual_information"), run.value("rate")
    return found if found is None or rate is None else min(found, rate)


def kinds(told: float) -> str:
    """How many equally frequent kinds of examples so many nats can distinguish.

    Example:
        >>> kinds(0.5), kinds(4.0), kinds(20.0), kinds(-0.01)
        ('1.6', '55', 'a million or more', '1.0')
    """
    if told >= math.log(MANY):
        return "a million or more"
    number = math.exp(max(told, 0.0))
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def apart(run: RunResult) -> str:
    """What a run's z can distinguish, in half a sentence; "" where it was not measured."""
    told = information(run)
    if told is None:
        return ""
    if run.at_ceiling:
        return f"z carries at least {nats(told)} nats"
    return f"z carries {nats(told)} nats: at most {kinds(told)} kinds of examples"


def expected(run: RunResult) -> str:
    """What to expect of a run's reconstructions, in one or two plain sentences."""
    if run.state == COLLAPSED:
        return IGNORED
    told = information(run)
    if (amount := run.value("rate") if told is None else told) is None:
        return UNKNOWN
    if run.at_ceiling:
        return (
            f"z carries at least {nats(amount)} nats about each example; only more held-out examples could show more."
        )
    many = math.exp(min(max(amount, 0.0), 100.0))
    means = next(text for below, text in EXPECT if many < below)
    carries = f"z carries {'at most ' if told is None else ''}{nats(amount)} nats about each example"
    return f"{carries}, enough to distinguish at most {kinds(amount)} equally frequent kinds. {means}"
