r"""What the nats in z allow a reader to expect of reconstructions.

$$ I(x; z) \ge \log K \quad\text{where z tells K equally frequent kinds of examples apart without error,} $$

so z of I nats tells at most $e^I$ of them apart; all else of a reconstruction is drawn anew by the decoder.
"""

from __future__ import annotations

import math

from buttress.diagnostics.verdict import COLLAPSED
from buttress.report.numbers import nats
from buttress.report.results import RunResult

__all__ = ["RULE", "apart", "expected", "information", "kinds"]

RULE = (
    "z of I nats can tell at most e^I equally frequent kinds of examples apart (1 nat: 2.7), and the decoder draws all "
    "else anew. So with a nat or two reconstructions look about as unlike their originals as where z is ignored; there "
    "the numbers tell arms apart, not what they make."
)
"""For a page on which arms with much and little in z stand side by side."""
IGNORED = "z is ignored here, so reconstructions are no nearer to their originals than any sample."
UNKNOWN = "What z tells was not measured, so nothing says how near reconstructions should be to their originals."
EXPECT = (
    (2.0, "less than the answer to one yes-or-no question. Expect reconstructions about as unlike their originals as "
     "any sample is: a trait, such as a slant, is kept at best more often than by chance, and the decoder draws all "
     "else anew."),
    (10.0, "the answers to two or three yes-or-no questions. Expect reconstructions to share a trait or two with their "
     "originals, such as a slant, and to differ in all else, which the decoder draws anew."),
    (1000.0, "enough for what kind an original is and some of its traits, though nothing says that these are what z "
     "tells. Expect likeness at large and other details, which the decoder draws anew."),
    (math.inf, "enough for much of what is seen in an original. What z leaves open the decoder draws anew."),
)  # fmt: skip
"""Below so many kinds -> what that is, and what to expect."""
MANY = 1e6


def information(run: RunResult) -> float | None:
    """Mutual information as the verdict takes it: no more than the rate."""
    found, rate = run.value("mutual_information"), run.value("rate")
    return found if found is None or rate is None else min(found, rate)


def kinds(told: float) -> str:
    """How many equally frequent kinds of examples so many nats can tell apart.

    Example:
        >>> kinds(0.5), kinds(4.0), kinds(20.0), kinds(-0.01)
        ('1.6', '55', 'a million or more', '1.0')
    """
    if told >= math.log(MANY):
        return "a million or more"
    number = math.exp(max(told, 0.0))
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def apart(run: RunResult) -> str:
    """What a run's z can tell apart, in half a sentence; "" where nobody knows."""
    told = information(run)
    if told is None:
        return ""
    if run.at_ceiling:
        return f"z tells at least {nats(told)} nats"
    return f"z tells {nats(told)} nats: at most {kinds(told)} kinds of examples apart"


def expected(run: RunResult) -> str:
    """What to expect of a run's reconstructions, in a few plain sentences."""
    if run.state == COLLAPSED:
        return IGNORED
    told, most = information(run), ""
    if told is None:
        told, most = run.value("rate"), "at most "
    if told is None:
        return UNKNOWN
    if run.at_ceiling:
        return (
            f"z tells at least {nats(told)} nats about each example, as much as so many examples can show. "
            "What z leaves open the decoder draws anew."
        )
    many = math.exp(min(max(told, 0.0), 100.0))
    means = next(text for below, text in EXPECT if many < below)
    return (
        f"z tells {most}{nats(told)} nats about each example: at most {kinds(told)} equally frequent kinds of examples "
        f"(e to the power of the nats) could be told apart by it, {means}"
    )
