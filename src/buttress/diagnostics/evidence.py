"""Everything measured on one model, and what it means: a frozen record that is a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from buttress.core.registry import from_plain
from buttress.diagnostics.estimate import Estimate, short
from buttress.diagnostics.finding import Finding
from buttress.runtime.plain_data import parse_json
from buttress.runtime.safe_files import read_text

__all__ = ["FORMAT", "NO_CAUSE", "Evidence", "Groups", "Verdict"]

FORMAT = 1
UNITS = "nats per example"
NO_CAUSE = "the cause is not known"
"""How a reason begins that is none: it says why no cause is named."""
SHOWN = 5
"""Remedies that a verdict is printed with; all of them are in ``advice``."""


def numbers(values: Sequence[float]) -> tuple[float | None, ...]:
    """Floats that JSON can hold.

    Example:
        >>> numbers([1.0, float("nan")])
        (1.0, None)
    """
    return tuple(float(v) if math.isfinite(v) else None for v in values)


@dataclass(frozen=True)
class Groups:
    """Numbers of each latent group; an entry is None where it is not known.

    Args:
        names: Of the G groups.
        rate: In nats per example.
        rate_error: Standard errors of these.
        variance_of_mean: Var_x(E_q[z_j]), in squared units of z; of the one-hot code where z is discrete.
        shape: How the groups lie in one z, as (7, 7, 1) for a map of codes; empty where that is not known.
        perplexity: Of the codes of each group alone, between 1 (always the same code) and K; empty where z is real.
        followed: The factor that each group tells most of, with the share of its entropy, such as "x 0.92", and ""
            where it tells hardly any; empty where the data have no known factors.

    Example:
        >>> Groups(("z0", "z1"), rate=(1.5, 0.0), rate_error=(0.1, 0.0), variance_of_mean=(0.9, 0.0)).rate
        (1.5, 0.0)
    """

    names: tuple[str, ...]
    rate: tuple[float | None, ...]
    rate_error: tuple[float | None, ...]
    variance_of_mean: tuple[float | None, ...]
    shape: tuple[int, ...] = ()
    perplexity: tuple[float | None, ...] = ()
    followed: tuple[str, ...] = ()
    critical_rate: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the numbers mean.

    Args:
        state: "used", "partly used", "collapsed" or "degenerate to a deterministic autoencoder"; "unknown" where
            a number that it rests on is not finite or not precise enough.
        cause: The first of the causes that hold, such as "inference lags"; None where nothing is wrong or the cause is
            not known. They are the files of ``diagnostics/causes/``.
        reasons: Sentences with the numbers that the state and the causes rest on, and what is not decided.
        advice: Names of remedies to try, the most promising first.
        borderline: Another state that the errors allow; empty where there is none.
        findings: Everything that was found: causes that hold, then borderline ones.

    Example:
        >>> Verdict("collapsed", "inference lags", ("z carries 0 nats (below 0.1)",), ("aggressive",)).advice
        ('aggressive',)
    """

    state: str
    cause: str | None
    reasons: tuple[str, ...]
    advice: tuple[str, ...]
    borderline: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """All causes that hold.

        Example:
            >>> Verdict("used", None, (), (), findings=(Finding("inference lags", "holds", ()),)).causes
            ('inference lags',)
        """
        return tuple(one.cause for one in self.findings if one.holds)

    def __str__(self) -> str:
        """As people read it.

        Example:
            >>> print(Verdict("collapsed", "inference lags", ("z carries nothing", "q does"), ("aggressive",)))
            collapsed (inference lags)
              because z carries nothing
              because q does
              try aggressive
            >>> lag = Finding("inference lags", "holds", (), confidence=0.97)
            >>> print(Verdict("collapsed", "inference lags", (), (), findings=(lag,)))
            collapsed (inference lags, confidence 0.97)
        """
        causes = "; ".join([one.named for one in self.findings if one.holds] or filter(None, [self.cause]))
        other = f", borderline: perhaps {self.borderline}" if self.borderline else ""
        head = (self.state or "no verdict") + other + (f" ({causes})" if causes else "")
        more = f" (and {len(self.advice) - SHOWN} more)" if len(self.advice) > SHOWN else ""
        tried = [f"try {', '.join(self.advice[:SHOWN])}{more}"] if self.advice else []
        because = (
            reason if reason.startswith(("not decided", "not known", NO_CAUSE)) else f"because {reason}"
            for reason in self.reasons
        )
        return "\n  ".join([head, *because, *tried])


def _cells(name: str, estimate: Estimate) -> tuple[str, ...]:
    """One line of the table of estimates."""
    ceiling = "" if estimate.ceiling is None else short(estimate.ceiling)
    method = f"{estimate.method} ({estimate.note})" if estimate.note else estimate.method
    return name, str(estimate), ceiling, str(estimate.n), method


@dataclass(frozen=True)
class Evidence:
    """Everything measured on one model.

    Args:
        n: Number of held-out examples.
        kind: Of the data: "image", "text" or "table".
        estimates: Name -> number.
        groups: Numbers of each latent group.
        settings: Samples, steps and seed that it was measured with.
        verdict: What it means.
        notes: What a reader must know of the model and the data that were measured.

    Example:
        >>> groups = Groups(("z0",), (1.5,), (0.1,), (0.9,))
        >>> found = Evidence(100, "table", {"rate": Estimate(1.5, 0.1, 100, "closed form")}, groups)
        >>> Evidence.from_json(found.to_json()) == found, str(found.estimates["rate"])
        (True, '1.5 ± 0.1')
    """

    n: int
    kind: str
    estimates: Mapping[str, Estimate]
    groups: Groups
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict = Verdict("", None, (), ())
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The verdict, with causes, confidence, evidence and first remedies, and below it the estimates as a table.

        Example:
            >>> print(Evidence(9, "table", {"rate": Estimate(1.25, 0.1, 9, "closed form")}, Groups((), (), (), ())))
            nats per example, 9 held-out examples
            estimate  value       at most  N  method
            rate      1.2 ± 0.1            9  closed form
        """
        heads = ("estimate", "value", "at most", "N", "method")
        rows = [heads, *(_cells(name, estimate) for name, estimate in self.estimates.items())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        verdict = [str(self.verdict), ""] if self.verdict.state else []
        notes = (f"note: {note}" for note in self.notes)
        return "\n".join([*verdict, f"{UNITS}, {self.n} held-out examples", *lines, *notes])

    def to_json(self) -> str:
        """The record as strict JSON: no NaN, no infinity."""
        plain = {
            "format": FORMAT,
            "n": self.n,
            "kind": self.kind,
            "units": UNITS,
            "estimates": {name: asdict(estimate) for name, estimate in self.estimates.items()},
            "groups": asdict(self.groups),
            "settings": dict(self.settings),
            "verdict": asdict(self.verdict),
            "notes": list(self.notes),
        }
        return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """The inverse of :meth:`to_json`.

        Errors:
            ValueError: The text is not JSON, or not evidence of a format we know.
        """
        plain = parse_json(text, "evidence")
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            came = plain.get("format") if isinstance(plain, dict) else type(plain).__name__
            raise ValueError(f"evidence: got format {came!r}, wanted {FORMAT}; measure again with this version")
        try:
            return cls(
                from_plain(int, plain["n"], "n"),
                from_plain(str, plain["kind"], "kind"),
                {name: from_plain(Estimate, estimate, name) for name, estimate in plain["estimates"].items()},
                from_plain(Groups, plain["groups"], "groups"),
                dict(plain["settings"]),
                from_plain(Verdict, plain["verdict"], "verdict"),
                from_plain(tuple[str, ...], plain.get("notes", ()), "notes"),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"evidence: a part is missing or unknown: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the record as a JSON file."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Evidence:
        """The record in a JSON file."""
        return cls.from_json(read_text(Path(path)))
