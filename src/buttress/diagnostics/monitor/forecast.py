r"""From the first tenth of a run, the probability that it ends collapsed.

A logistic regression on a few numbers of two looks, at 5 % and at 10 % of the run,

$$ p = \frac{1}{1 + \exp(-b - \sum_j w_j (f_j - m_j) / s_j)} $$

fitted to short runs over many data and decoders by ``buttress early-warning``, which writes b, w, m and s into
``early_warning.json`` beside this file, with the range of each f, to which values beyond it are moved. How good it is
on data that it was not fitted to: ``docs/early_warning.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from buttress.runtime.plain_data import parse_json

__all__ = ["COEFFICIENTS", "EARLIER", "EARLY", "NEEDED", "PARTS", "Forecast", "features", "forecast"]

EARLIER, EARLY = 0.05, 0.1
"""Shares of a run at which it is looked at."""
COEFFICIENTS = Path(__file__).with_name("early_warning.json")
"""Written by ``buttress early-warning``."""
PARTS = ("mean", "scale", "weight", "low", "high")
"""What is stored of each feature."""
SMALLEST = 0.003
"""Nats; less of them is taken for this, since estimates on a probe set can't tell it from nothing."""
LEAST_FALL = LEAST_FLOOR = 0.1
"""Nats; a smaller fall of the distortion between the looks is taken for this, and a floor is counted in it."""
NEEDED = ("elbo", "rate", "worth_shuffled")
"""Numbers without which there is no forecast."""


def features(
    earlier: Mapping[str, float],
    early: Mapping[str, float],
    weight: float = 1.0,
    weight_at_end: float = 1.0,
    floor: float = 0.0,
) -> dict[str, float]:
    """What the forecast rests on, by name: logs to base 10.

    Args:
        earlier: ELBO, rate and the worth of z, by the names of their estimates, at 5 % of the run.
        early: The same at 10 %, with ``optimum_ratio`` where it could be measured.
        weight: Of the rate in the loss at 10 %.
        weight_at_end: The same at the end.
        floor: Nats of free bits, of all groups together.

    Example:
        >>> numbers = {"elbo": -90.0, "rate": 0.1, "worth_shuffled": 0.01}
        >>> found = features(numbers, {**numbers, "elbo": -81.0, "rate": 1.1})
        >>> round(found["distortion_falls"], 6), round(found["rate_grows"], 3), found["worth"]
        (1.0, 1.041, -2.0)
    """
    worth, at_end = _log(early["worth_shuffled"]), max(weight_at_end, SMALLEST)
    grows = math.log10(at_end / max(weight, at_end / 100))
    falls = early["elbo"] + early["rate"] - earlier["elbo"] - earlier["rate"]
    ratio = early.get("optimum_ratio", math.nan)
    return {
        "rate": _log(early["rate"]),
        "rate_grows": _log(early["rate"]) - _log(earlier["rate"]),
        "worth": worth,
        "worth_grows": worth - _log(earlier["worth_shuffled"]),
        "distortion_falls": math.log10(max(falls, LEAST_FALL)),
        "weight_at_end": math.log10(at_end),
        "weight_grows": grows,
        "worth_and_weight_grows": worth * grows,
        "optimum": 0.0 if math.isnan(ratio) else math.log10(max(ratio, SMALLEST) / at_end),
        "floor": math.log10(1 + floor / LEAST_FLOOR),
    }


def _log(nats: float) -> float:
    return math.log10(max(nats, SMALLEST))


@dataclass(frozen=True)
class Forecast:
    """A logistic regression as numbers.

    Args:
        intercept: b.
        mean: m of each feature.
        scale: s of each feature.
        weight: w of each feature.
        low: The least value of each among the runs; a smaller one is taken for it.
        high: The largest; a larger one is taken for it.
        runs: How many runs it was fitted to.

    Example:
        >>> rate = {"mean": -1.0, "scale": 0.5, "weight": -2.0, "low": -2.0, "high": 1.0}
        >>> one = Forecast(0.0, **{part: {"rate": value} for part, value in rate.items()}, runs=100)
        >>> one.probability({"rate": -1.0}), one.probability({"rate": 1.0}) == one.probability({"rate": 9.0}) < 0.01
        (0.5, True)
    """

    intercept: float
    mean: Mapping[str, float]
    scale: Mapping[str, float]
    weight: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    runs: int

    def probability(self, values: Mapping[str, float]) -> float:
        """That a run with these features ends collapsed."""
        known = {name: min(max(values[name], self.low[name]), self.high[name]) for name in self.weight}
        total = self.intercept + sum(
            w * (known[name] - self.mean[name]) / self.scale[name] for name, w in self.weight.items()
        )
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def to_json(self) -> str:
        """As it is stored."""
        plain = {
            "about": "the probability that a run ends collapsed; written by buttress early-warning",
            "runs": self.runs,
            "intercept": round(self.intercept, 5),
            "features": {name: {part: round(getattr(self, part)[name], 5) for part in PARTS} for name in self.weight},
        }
        return json.dumps(plain, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Forecast:
        """The inverse of :meth:`to_json`, up to rounding."""
        plain = parse_json(text, COEFFICIENTS.name)
        columns = {part: {name: float(one[part]) for name, one in plain["features"].items()} for part in PARTS}
        return cls(float(plain["intercept"]), runs=int(plain["runs"]), **columns)


@cache
def forecast() -> Forecast:
    """The one that comes with the package.

    Example:
        >>> forecast().runs >= 100
        True
    """
    return Forecast.from_json(COEFFICIENTS.read_text("utf-8"))
