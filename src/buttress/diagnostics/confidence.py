r"""How sure a diagnosis is of each cause: how often it would be named if every number were what it may be.

Each estimate v with a standard error e is replaced by a draw from N(v, e^2), and the causes are asked again as if those
numbers were exact. The share of draws in which a cause is named (and nothing more basic explains it) is

$$ c = P_{\epsilon \sim N(0, I)} [\text{the cause follows from } v + e \epsilon]. $$

Drawing around what was measured takes all true values for equally likely beforehand. Most of them are on the side where
nothing is wrong, so c is too large between 0 and 1. The odds are multiplied by one number r, the same for all causes,

$$ c' = \frac{r c}{1 - c + r c}, $$

which is monotone and leaves 0 and 1 as they are; r is what makes the findings of the development half of the patients
most likely (``buttress patients`` fits it again and shows both).

Where two causes give the same numbers, each gets its share of the draws. Estimates are drawn independently, though some
rest on the same examples, and what an error does not tell, such as an estimator that is biased or a model that no rule
knows, is not in it. A cause that is about the errors themselves is asked of the numbers as they were measured, and is
certain where it holds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import torch

from buttress.diagnostics.cause import catalogue, found
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.numbers import Numbers

__all__ = ["ODDS", "calibrated", "confidences", "drawn", "plain", "shifted"]

DRAWS = 200
ODDS = 0.21
"""r, fitted to the findings of the development half that some draws name and some do not."""


def plain(cause: str) -> str:
    """The name of a cause without its number.

    Example:
        >>> plain("the rate has a weight of about 7.9")
        'the rate has a weight'
    """
    return re.sub(r" of about \S+$", "", cause)


def shifted(share: float, odds: float = ODDS) -> float:
    """A share of draws with its odds multiplied.

    Args:
        share: c.
        odds: r.

    Example:
        >>> shifted(0.0), shifted(0.5, odds=1 / 3), shifted(1.0)
        (0.0, 0.25, 1.0)
    """
    return odds * share / (1 - share + odds * share)


def confidences(evidence: Evidence, draws: int = DRAWS, seed: int = 0) -> dict[str, float]:
    """The confidence of each cause that some draw names, the surest first.

    Args:
        evidence: Of a diagnosis.
        draws: How often the numbers are drawn.
        seed: Of the draws.

    Example:
        >>> from buttress.diagnostics.evidence import Groups
        >>> gap = {name: Estimate(0.2, 0.05, 100, "made up") for name in ("amortisation_gap", "decoder_gain")}
        >>> silent = dict.fromkeys(("rate", "mutual_information", "worth_shuffled"), Estimate(0.0, 0.0, 100, "made up"))
        >>> found = confidences(Evidence(100, "table", {**silent, **gap}, Groups((), (), (), ())))
        >>> 0.6 < found["inference lags"] < 1.0  # both gains are two errors above 0.1
        True
    """
    return calibrated(drawn(Numbers(evidence.estimates, evidence.kind, evidence.notes), draws, seed))


def calibrated(found: Mapping[str, tuple[float, float]], odds: float = ODDS) -> dict[str, float]:
    """The confidence of each cause, the surest first.

    Args:
        found: As :func:`drawn` gives it.
        odds: r.

    Example:
        >>> calibrated({"one of two": (1.0, 0.5), "rare": (0.5, 1.0), "certain": (1.0, 1.0)}, odds=1 / 3)
        {'certain': 1.0, 'one of two': 0.5, 'rare': 0.25}
    """
    sure = {cause: share * shifted(often, odds) for cause, (often, share) in found.items()}
    return dict(sorted(sure.items(), key=lambda pair: -pair[1]))


def drawn(numbers: Numbers, draws: int = DRAWS, seed: int = 0) -> dict[str, tuple[float, float]]:
    """In which share of the draws each cause is named, and which share of these it has where another is as likely.

    Args:
        numbers: Of a diagnosis.
        draws: How often they are drawn.
        seed: Of the draws.
    """
    own = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws, len(numbers.estimates), generator=own, dtype=torch.float64)
    varying = [(column, name, one) for column, (name, one) in enumerate(numbers.estimates.items()) if _varies(one)]
    columns = {name: noise[:, column].tolist() for column, name, _ in varying}
    measured = {one: one.find(numbers) for one in catalogue() if one.of_errors}
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for draw in range(draws):
        estimates = {**numbers.estimates, **{name: _drawn(one, columns[name][draw]) for _, name, one in varying}}
        for said in found(Numbers(estimates, numbers.kind, numbers.notes), measured):
            if said.holds or said.share < 1:  # one that can't be told from another has its share, whatever it is called
                shares[plain(said.cause)].append(said.share)
    of_errors = {said.cause for said in measured.values() if said is not None}
    certain = {said.cause for said in found(numbers) if said.holds} & of_errors
    told = {cause: (min(1.0, len(of) / draws), sum(of) / len(of)) for cause, of in shares.items()}
    return told | dict.fromkeys(certain, (1.0, 1.0))


def _varies(estimate: Estimate) -> bool:
    return estimate.value is not None and bool(estimate.error)


def _drawn(estimate: Estimate, e: float) -> Estimate:
    """One of the values that an estimate may have, taken for exact."""
    value = (estimate.value or 0.0) + e * (estimate.error or 0.0)
    return Estimate(value, 0.0, estimate.n, estimate.method, estimate.ceiling, estimate.note)
