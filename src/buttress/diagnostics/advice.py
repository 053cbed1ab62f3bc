"""Which remedies to try: those that declare to cure what was found, and fit the data, z and the recipe."""

from __future__ import annotations

from collections.abc import Iterable

from buttress.core.remedy import cures
from buttress.diagnostics.finding import Finding

__all__ = ["advice"]


def advice(findings: Iterable[Finding], kind: str, codes: bool = False) -> tuple[str, ...]:
    """Names of remedies, in the order of the causes that hold; a borderline cause is no ground for advice.

    Args:
        findings: What was found, the first cause first.
        kind: Of the data.
        codes: Whether z is made of codes.

    Example:
        >>> lag = Finding("inference lags", "holds", ())
        >>> advice([lag], "text")[0], advice([Finding("inference lags", "borderline", ())], "text")
        ('aggressive', ())
    """
    named = [
        name for one in findings if one.holds for name in cures(one.remedies_for or one.cause, kind=kind, codes=codes)
    ]
    return tuple(dict.fromkeys(named))
